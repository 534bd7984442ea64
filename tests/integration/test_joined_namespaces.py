"""Containers in namespaces of others, whichever user namespaces these and those have."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Run

NONE = ("--rm", "--network", "none")


@pytest.mark.parametrize("option", [(), ("--userns", "keep-id")])
def test_posix_shared_memory_is_that_of_the_ipc_namespace(pyman: Run, image: str, option: tuple[str, ...]) -> None:
    pyman("run", "-d", "--name", "there", *option, "--network", "none", image, "sleep", "600")
    pyman("exec", "there", "touch", "/dev/shm/its")
    done = pyman("run", *NONE, "--ipc", "container:there", image, "sh", "-c", "ls /dev/shm; touch /dev/shm/ours; cat /proc/mounts")
    assert done.stdout.startswith("its\n") and " /dev/mqueue mqueue " in done.stdout
    assert pyman("exec", "there", "ls", "/dev/shm").stdout.split() == ["its", "ours"]
    pyman("rm", "-f", "-t", "0", "there")


def test_no_shared_memory_of_a_container_without_it(pyman: Run, image: str) -> None:
    """What the host has there is nobody's."""
    pyman("run", "-d", "--name", "there", "--ipc", "none", "--network", "none", image, "sleep", "600")
    assert " /dev/shm " not in pyman("run", *NONE, "--ipc", "container:there", image, "cat", "/proc/mounts").stdout
    pyman("rm", "-f", "-t", "0", "there")


KINDS = {"network": "net", "pid": "pid", "ipc": "ipc", "uts": "uts", "cgroupns": "cgroup"}
SHOW = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in ("user", *KINDS.values()))


def test_namespaces_across_user_namespaces(pyman: Run, image: str) -> None:
    """With a user namespace of its own, the same or another one: each joins what any other has, and sees the file systems of that."""
    options = {"plain": (), "kept": ("--userns", "keep-id"), "mapped": ("--userns", "nomap")}
    for name, option in options.items():
        pyman("run", "-d", "--name", name, *option, "--network", "none", "--cap-add", "net_admin", image, "sleep", "600")
    has = {name: pyman("exec", name, "sh", "-c", SHOW).stdout.split() for name in options}
    for number, name in enumerate(options):
        pyman("exec", "-u", "0", name, "ip", "link", "set", "lo", "mtu", f"{number + 1000}")
        for option in options.values():
            line = [word for kind in KINDS for word in (f"--{kind}", f"container:{name}")]
            done = pyman("run", "--rm", *option, *line, image, "sh", "-c", f"{SHOW}; cat /sys/class/net/lo/mtu; ps; cat /proc/mounts")
            seen = done.stdout.split()
            assert seen[1 : 1 + len(KINDS)] == has[name][1:] and (seen[0] == has[name][0]) == (not option and name == "plain")
            assert seen[1 + len(KINDS)] == f"{number + 1000}" and "sleep 600" in done.stdout
            assert all(
                f" {path} {kind} " in done.stdout for path, kind in (("/sys", "sysfs"), ("/proc", "proc"), ("/dev/mqueue", "mqueue"))
            )
        done = pyman("run", "--rm", "--userns", f"container:{name}", image, "sh", "-c", f"{SHOW}; id -u; stat -c %u /bin; ip -o -4 addr")
        seen = done.stdout.split()
        assert seen[0] == has[name][0] and seen[6:8] == ["0", "0"] and not set(seen[1:6]) & set(has[name])
        assert "scope global" in done.stdout, "it has a network"
    pyman("rm", "-f", "-t", "0", *options)


def test_life_in_the_user_namespace_of_another(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "there", "--userns", "keep-id:uid=5,gid=6", "--network", "none", image, "sleep", "600")
    line = ("--userns", "container:there", "--network", "none", "--user", "7:8", "-v", "shared:/v", "--secret", "s,uid=7", image)
    pyman("secret", "create", "s", "-", input="word")
    pyman("run", "-d", "--name", "guest", *line, "sh", "-c", "touch /v/its; sleep 600")
    text = pyman("exec", "guest", "sh", "-c", "id -u; cat /run/secrets/s; echo; stat -c %u:%g /etc/hosts").stdout
    assert text.split() == ["7", "word", "0:0"]
    pyman("restart", "-t", "0", "guest")
    pyman("cp", "guest:/etc/passwd", "-")
    assert (
        pyman("exec", "-u", "0", "guest", "cat", "/proc/self/uid_map").stdout == pyman("exec", "there", "cat", "/proc/self/uid_map").stdout
    )
    pyman("rm", "-f", "-t", "0", "guest", "there")
    pyman("volume", "rm", "shared")
    pyman("secret", "rm", "s")


def test_who_joins_one_that_lives_in_the_hosts_namespaces_lives_there(pyman: Run, image: str) -> None:
    kinds = [kind for kind in KINDS if kind != "network"]
    pyman(
        "run",
        "-d",
        "--name",
        "there",
        *(word for kind in kinds for word in (f"--{kind}", "host")),
        "--network",
        "none",
        image,
        "sleep",
        "600",
    )
    line = [word for kind in kinds for word in (f"--{kind}", "container:there")]
    for option in ((), ("--userns", "keep-id")):
        done = pyman("run", *NONE, *option, *line, image, "sh", "-c", SHOW).stdout.split()
        assert done[2:] == pyman("exec", "there", "sh", "-c", SHOW).stdout.split()[2:]
    pyman("rm", "-f", "-t", "0", "there")


def test_the_oom_score_beside_processes_of_another(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "there", "--network", "none", image, "sleep", "600")
    done = pyman("run", *NONE, "--pid", "container:there", "--oom-score-adj", "500", image, "cat", "/proc/self/oom_score_adj")
    assert done.stdout == "500\n"
    pyman("rm", "-f", "-t", "0", "there")


def test_a_renamed_container_is_still_the_one(pyman: Run, image: str) -> None:
    """Whose namespaces a container joins is decided when it is made, as with Podman: another one with the name is not meant."""
    pyman("run", "-d", "--name", "there", "--userns", "keep-id", "--network", "none", image, "sleep", "600")
    kinds = (*KINDS, "userns")
    pyman("create", "--name", "guest", *(word for kind in kinds for word in (f"--{kind}", "container:there")), image, "sh", "-c", SHOW)
    pyman("rename", "there", "moved")
    pyman("run", "-d", "--name", "there", "--network", "none", image, "sleep", "600")
    assert pyman("start", "-a", "guest").stdout == pyman("exec", "moved", "sh", "-c", SHOW).stdout
    moved = json.loads(pyman("inspect", "moved").stdout)[0]
    shown = json.loads(pyman("inspect", "guest").stdout)[0]["HostConfig"]
    for field in ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupMode"):
        assert shown[field] == f"container:{moved['Id']}"
    assert shown["IDMappings"] == moved["HostConfig"]["IDMappings"] and shown["IDMappings"]["UidMap"][0].startswith("0:1:")
    pyman("rm", "-f", "-t", "0", "guest", "there", "moved")
