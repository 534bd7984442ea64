"""--systemd: what a container gets in which systemd can be the first process, and that it boots there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.conftest import Run, until

LOOK = """
for place in /run /run/lock /tmp /var/log/journal; do grep -c " $place tmpfs rw,nosuid,nodev" /proc/mounts; done
echo "$container_uuid"
grep " /sys/fs/cgroup " /proc/mounts | cut -d' ' -f3,4 | cut -d, -f1
mkdir /sys/fs/cgroup/below /sys/fs/cgroup/below/deeper && echo made
"""


def test_what_systemd_needs(pyman: Run, image: str) -> None:
    pyman("run", "--name", "sd", "--systemd=always", "--network", "none", image, "sh", "-c", LOOK)
    lines = pyman("logs", "sd").stdout.splitlines()
    identifier = pyman("inspect", "--format", "{{.Id}} {{.Config.StopSignal}}", "sd").stdout.split()
    assert lines[:5] == ["1", "1", "1", "1", identifier[0][:32]] and identifier[1] == "SIGRTMIN+3"
    assert lines[5:] == ["cgroup2 rw", "made"]
    pyman("rm", "sd")  # the groups that it has made go with its own: no_leaks looks
    read_only = (
        "grep ' /sys/fs/cgroup ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1; echo $container_uuid; grep -c ' /run tmpfs' /proc/mounts"
    )
    plain = pyman("run", "--rm", "--network", "none", image, "sh", "-c", read_only + "; :").stdout
    assert plain.splitlines() == ["ro", "", "0"]


def test_which_commands_are_systemd(pyman: Run, image: str) -> None:
    def signal(*args: str) -> str:
        identifier = pyman("create", "--network", "none", *args).stdout.strip()
        found = json.loads(pyman("inspect", identifier).stdout)[0]["Config"]["StopSignal"]
        pyman("rm", identifier)
        return str(found)

    assert signal(image, "/sbin/init") == signal(image, "/usr/lib/systemd/systemd", "--user") == "SIGRTMIN+3"
    assert signal("--entrypoint", "/usr/sbin/init", image) == signal("--systemd=always", image, "true") == "SIGRTMIN+3"
    assert signal(image, "init") == signal("--systemd=false", image, "/sbin/init") == signal("--init", image, "/sbin/init") == "SIGTERM"
    assert signal("--stop-signal", "INT", image, "/sbin/init") == "SIGINT"
    assert "always" in pyman("create", "--systemd=perhaps", image, "true", rc=125).stderr
    assert "first process" in pyman("create", "--systemd=always", "--init", image, "true", rc=125).stderr
    size = pyman("run", "--rm", "--systemd=always", "--shm-size-systemd=5m", "--network", "none", image, "df", "-k", "/run").stdout
    assert "5120" in size


def debian(root: Path) -> None:
    """A root file system with this machine's systemd, the libraries that it needs, and a service of its own."""
    for path in ("etc/systemd/system", "var/log/journal", "root", "tmp", "run", "proc", "sys", "dev", "usr/bin", "usr/sbin", "usr/lib"):
        (root / path).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    programs = [
        f"/usr/bin/{name}" for name in ("systemctl", "systemd-detect-virt", "journalctl", "dash", "cat", "sleep", "mount", "umount")
    ]
    own = ["/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd-journald", "/usr/lib/systemd/systemd-executor"]
    told = subprocess.run(["ldd", *programs, *own], capture_output=True, text=True, check=False).stdout
    libraries = {word if word.startswith("/usr") else f"/usr{word}" for word in told.split() if word.startswith("/") and ".so" in word}
    for path in ("/usr/lib/systemd", *programs, *libraries):
        target = root / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-rL" if path in programs or ".so" in path else "-r", path, target], check=True)
    (root / "usr/bin/sh").symlink_to("dash")
    (root / "usr/sbin/init").symlink_to("../lib/systemd/systemd")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/machine-id").touch()
    units = root / "etc/systemd/system"
    (units / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    # What would need programs and users that are not there.
    for name in ("dbus.socket", "dbus.service", "systemd-sysusers.service", "systemd-tmpfiles-setup.service", "systemd-tmpfiles-setup-dev.service",
                 "systemd-tmpfiles-setup-dev-early.service", "systemd-logind.service", "getty.target", "systemd-tmpfiles-clean.timer"):  # fmt: skip
        (units / name).symlink_to("/dev/null")
    (units / "probe.service").write_text("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=sh -c 'echo served >/probe'\n")
    (units / "multi-user.target.wants").mkdir()
    (units / "multi-user.target.wants/probe.service").symlink_to("../probe.service")


def test_systemd_boots(pyman: Run, base: Path, tmp_path: Path) -> None:
    """Rootless, to a running state; its services run, its journal is there, it stops by its signal, and nothing of it is left."""
    root = tmp_path / "debian"
    debian(root)
    pyman("run", "-d", "--name", "sdb", "--network", "none", "--rootfs", str(root), "/sbin/init")

    def system() -> str:
        assert pyman("inspect", "--format", "{{.State.Status}}", "sdb").stdout == "running\n", pyman("logs", "sdb").stderr
        return pyman("exec", "sdb", "systemctl", "is-system-running", rc=None).stdout.strip()

    # Which units another version of systemd has that cannot work here is not this test's business.
    until(lambda: system() in ("running", "degraded"), seconds=600)
    look = "cat /proc/1/comm /probe; systemctl is-active systemd-journald probe; systemd-detect-virt --container"
    assert pyman("exec", "sdb", "sh", "-c", look).stdout.split() == ["systemd", "served", "active", "active", "podman"]
    until(lambda: "probe.service" in pyman("exec", "sdb", "journalctl", "--no-pager", "-u", "probe").stdout)
    pyman("stop", "-t", "600", "sdb", timeout=900)
    assert pyman("inspect", "--format", "{{.State.ExitCode}} {{.State.Status}}", "sdb").stdout == "0 exited\n"
    pyman("rm", "sdb")
    pyman("unshare", "rm", "-rf", str(root))
