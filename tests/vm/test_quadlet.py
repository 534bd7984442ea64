"""Quadlet files in a real systemd: the units mean what Podman's mean, start, restart, stop, and survive a reload and a reboot."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest

from pyman.systemd.quadlet import keys
from tests import quadlets
from tests.conftest import ROOT
from tests.vm.machine import Machine
from tests.vm.units import FOLDER, GENERATORS, PATIENCE

NAMES = sorted(
    {path.stem for path in quadlets.FILES.rglob("*.container") if path.stem != "templated@"} - {"service-name"}
    | {"templated@first", "other-name"}
)
SERVICES = " ".join(f"{name}.service" for name in NAMES)


def push(vm: Machine, place: str) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add(quadlets.FILES, ".")
    vm(f"mkdir -p {place}; tar -x --no-same-owner -C {place}", input=stream.getvalue())


@pytest.fixture(scope="module")
def units(quadlet: Machine) -> Iterator[Machine]:
    """The files in the user's folder, pyman's generator in systemd's, Podman's hidden."""
    vm = quadlet
    push(vm, FOLDER)
    vm("systemctl --user daemon-reload")
    yield vm
    # Those of the volumes and networks too: they stay active, and would not be made again.
    generated = "$(systemctl --user list-unit-files --state=generated --no-legend | awk '{print $1}' | grep -v @.)"
    vm(f"systemctl --user stop {SERVICES} {generated}; rm -r {FOLDER}", timeout=PATIENCE)
    vm(f"rm {GENERATORS}/*", user="root")
    vm("systemctl --user daemon-reload; pyman volume rm -a -f; pyman network prune -f; systemctl --user reset-failed", rc=None)


def states(vm: Machine) -> dict[str, str]:
    shown = vm(f"systemctl --user show -p Id,ActiveState,SubState {SERVICES}").stdout.strip().split("\n\n")
    facts = [dict(line.split("=", 1) for line in block.split("\n")) for block in shown]
    return {fact["Id"].removesuffix(".service"): f"{fact['ActiveState']}/{fact['SubState']}" for fact in facts}


def wait_for_all(vm: Machine) -> None:
    """All are active; on the way none has failed."""
    script = f"until ! systemctl --user is-active {SERVICES} | grep -qv '^active'; do ! systemctl --user is-failed -q {SERVICES} || break; sleep 0.5; done"
    vm(script, timeout=PATIENCE)
    found = states(vm)
    wrong = {name: state for name, state in found.items() if state != ("active/exited" if name == "oneshot" else "active/running")}
    assert not wrong, vm("".join(f"systemctl --user status --no-pager -n 20 {name}; " for name in wrong), rc=None).stdout
    assert set(found) == set(NAMES)


def test_units_mean_what_podmans_mean(vm: Machine) -> None:
    """Podman's generator here is older: files with keys that it does not know are left out."""
    push(vm, "/tmp/quadlets")
    theirs = vm("QUADLET_UNIT_DIRS=/tmp/quadlets /usr/libexec/podman/quadlet --user --dryrun 2>/dev/null || :")
    ours = vm("QUADLET_UNIT_DIRS=/tmp/quadlets /opt/pyman/bin/pyman-quadlet --user --dryrun")
    version = tuple(int(part) for part in vm("/usr/libexec/podman/quadlet -version").stdout.split(".")[:2])
    found, expected = quadlets.units(ours.stdout), quadlets.units(theirs.stdout)
    newer = {key.name for kind in keys.KINDS for key in keys.of(kind).values() if tuple(map(int, key.since.split("."))) > version}
    lacking = {
        name for name in set(found) - set(expected) if newer & {entry.key for entries in found[name].sections.values() for entry in entries}
    }
    assert set(found) - lacking == set(expected)
    assert len(expected) >= 30
    if version < (5, 5):  # it does not know yet that After=x.container means a service
        del expected["after.service"]
    for name, unit in expected.items():
        assert quadlets.meaning(found[name]) == quadlets.by_name(quadlets.meaning(unit)), name


def test_a_unit_whose_processes_are_all_killed_comes_back(units: Machine) -> None:
    """kill -9 of the monitor and of the container, together: the manager starts the unit again, and nothing is left of the old container."""
    units("systemctl --user start restarts", timeout=PATIENCE)
    old = units("pyman inspect -f '{{.Id}}' systemd-restarts").stdout
    for _ in range(2):
        group = "/sys/fs/cgroup$(systemctl --user show -p ControlGroup --value restarts)"
        units(f"find {group} -name cgroup.procs -exec cat {{}} + | xargs kill -9 || :")
        new = units(
            f"until systemctl --user is-active -q restarts && new=$(pyman inspect -f '{{{{.Id}}}}' systemd-restarts 2>/dev/null)"
            f' && [ "$new" != {old.strip()} ]; do sleep 0.2; done; echo $new',
            timeout=PATIENCE,
        ).stdout
        assert units("pyman inspect -f '{{.State.Status}}' systemd-restarts").stdout == "running\n"
        assert old.strip() not in units("pyman ps -aq --no-trunc").stdout
        old = new


def test_a_broken_file_is_a_failed_unit_with_its_reason(units: Machine) -> None:
    units(f"printf '[Container]\\nImage=x\\nVolum=/a:/b\\n[Install]\\nWantedBy=default.target\\n' > {FOLDER}/broken.container")
    try:
        units("systemctl --user daemon-reload")
        assert units("systemctl --user start broken", rc=None).returncode != 0
        said = units("systemctl --user status --no-pager --full broken", rc=None).stdout
        assert "broken.container:3: unknown key Volum= in [Container]; did you mean Volume=" in said
        assert "broken.service" in units("systemctl --user list-units --failed --plain").stdout
        checked = units("pyman quadlet check -q; :", rc=None).stdout
        assert "broken.container:3: unknown key" in checked
        shown = units("pyman quadlet ls --format '{{.Name}} {{.Status}}' -f 'name=*roken*' -f name=plain.container").stdout
        assert "broken.container failed/failed (" in shown
    finally:
        units(f"rm {FOLDER}/broken.container; systemctl --user daemon-reload; systemctl --user reset-failed broken", rc=None)


def test_what_is_not_there_yet_is_a_failed_unit_with_its_reason(units: Machine) -> None:
    out = units(
        f"cd {FOLDER}\n"
        + r"""
        printf '[Pod]\n[Install]\nWantedBy=default.target\n' >later.pod
        printf '[Kube]\nYaml=x.yaml\n' >clusters.kube
        printf '[Build]\nImageTag=x\nFile=./Containerfile\n' >made.build
        printf '[Container]\nImage=localhost/demo:latest\nPod=later.pod\n' >member.container
        printf '[Image]\nImage=localhost/demo:latest\nDecryptionKey=/key\n' >sealed.image
        systemctl --user daemon-reload
        for unit in later-pod clusters made-build member sealed-image; do
            systemctl --user start $unit 2>/dev/null || systemctl --user show -p ActiveState --value $unit
            { systemctl --user status --no-pager -l $unit || :; } | grep -m 1 -o -e 'later.pod: pods .*' -e '[a-z]*[.][a-z]*:[0-9]: .*' -e '[a-z]*[.][a-z]*: pyman does .*' || echo none
        done
        rm later.pod clusters.kube made.build member.container sealed.image
        systemctl --user daemon-reload; systemctl --user reset-failed
        """,
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert out[::2] == ["failed"] * 5
    assert out[1::2] == [
        "later.pod: pods are not part of this release: there are no .pod units yet",
        "clusters.kube: pyman does not read Kubernetes' files yet: there are no .kube units",
        "made.build: pyman does not build images yet: there are no .build units",
        "member.container:3: Pod= cannot be used: pods are not part of this release; put the containers on one network,"
        " or use Network=NAME.container",
        "sealed.image:3: DecryptionKey= cannot be used: encrypted images are not supported",
    ]


def test_systemd_has_nothing_against_the_units(units: Machine) -> None:
    """check passes all units through systemd-analyze, and tells what that says about a wrong one."""
    assert "systemd:" not in units("pyman quadlet check -q").stdout
    wrong = "[Container]\\nImage=quay.io/x/y\\n[Service]\\nRestart=perhaps\\nExecStartPre=relative\\n"
    units(f"printf '{wrong}' > /tmp/wrong.container")
    done = units("pyman quadlet check -q /tmp/wrong.container", rc=None)
    assert "systemd: " in done.stdout and "wrong.service" in done.stdout and done.returncode == 1


def test_install_and_remove(units: Machine) -> None:
    units("printf '[Container]\\nImage=localhost/demo:latest\\nExec=sleep 1000\\n' > /tmp/extra.container")
    assert units("pyman quadlet install /tmp/extra.container").stdout == f"{FOLDER}/extra.container\n"
    units("systemctl --user start extra", timeout=PATIENCE)
    refused = units("pyman quadlet rm extra.container", rc=125)
    assert "active/running" in refused.stderr
    assert units("pyman quadlet rm --force extra.container").stdout == "extra.container\n"
    assert "extra.service" not in units("systemctl --user list-unit-files").stdout
    assert "systemd-extra" not in units("pyman ps -a --format '{{.Names}}'").stdout


def test_thirty_units_start_reload_restart_stop_and_come_back(units: Machine) -> None:
    assert len(NAMES) >= 30
    units(f"systemctl --user start {SERVICES}", timeout=PATIENCE)
    wait_for_all(units)
    looks(units)
    # A reload makes all units anew; what runs goes on.
    before = units("pyman ps -q --no-trunc | sort").stdout
    units("systemctl --user daemon-reload")
    assert units("pyman ps -q --no-trunc | sort").stdout == before
    wait_for_all(units)
    units("systemctl --user reload reload reload-signal")
    units("pyman exec systemd-reload test -e /tmp/reloaded; until pyman exec systemd-reload-signal test -e /tmp/hup; do sleep 0.1; done")
    units(f"systemctl --user restart {SERVICES}", timeout=PATIENCE)
    wait_for_all(units)
    assert not set(units("pyman ps -q --no-trunc").stdout.split()) & set(before.split())
    units(f"systemctl --user stop {SERVICES}", timeout=PATIENCE)
    # A first process that does not heed SIGTERM is killed, which systemd notes as a failure, with Podman's units too.
    assert set(states(units).values()) <= {"inactive/dead", "failed/failed"}
    units("systemctl --user reset-failed")
    assert units("pyman ps -aq").stdout == ""
    assert "systemd-data" in units("pyman volume ls -q").stdout.split()
    with_restart_policies(units)
    units.reboot()
    wait_for_all(units)
    looks(units)
    assert units("pyman exec systemd-volumes cat /data/file").stdout == "kept\n"
    restart_policies_were_kept(units)


def with_restart_policies(vm: Machine) -> None:
    """Containers of each policy, pyman-restart.service for the next boot, and a service manager whose umask lets the group write."""
    service = (ROOT / "shims/systemd/pyman-restart.service").read_text().replace("@PYMAN@", "/usr/local/bin/pyman")
    out = vm(
        f"cat >~/.config/systemd/user/pyman-restart.service <<'EOF'\n{service}EOF\n"
        + r"""
        systemctl --user daemon-reload
        rm -f ~/.local/share/pyman/restart-told
        run() { name=$1; shift; pyman run -d --name $name --stop-timeout 0 --network none "$@" demo sleep 10000 2>&1 >/dev/null; }
        run back --restart=always | grep -o 'to change that: .*'
        systemctl --user enable -q pyman-restart.service
        run kept --restart=unless-stopped
        rm ~/.local/share/pyman/restart-told; pyman update --restart=always back 2>&1 >/dev/null
        run stopped --restart=unless-stopped
        run plain
        pyman stop stopped >/dev/null
        { pyman doctor || :; } | grep '^restart at boot' | tr -s ' '
        """
    ).stdout.splitlines()
    back = "will be back after a reboot: lingering is on and pyman-restart.service is enabled"
    assert out[:2] == ["to change that: systemctl --user enable pyman-restart.service", f"Note: this container {back}"]
    assert out[2] == f"restart at boot ok containers with --restart=always {back}"
    vm("printf '[Service]\nUMask=0002\n' >/etc/systemd/system/user@.service.d/umask.conf", user="root")


def restart_policies_were_kept(vm: Machine) -> None:
    """What a policy asks for was started, but not what the user has stopped; whoever is in the group gained nothing."""
    out = vm(
        r"""
        until systemctl --user is-active -q pyman-restart; do ! systemctl --user is-failed -q pyman-restart || break; sleep 0.2; done
        pyman ps -a --sort names --filter 'name=^(back|kept|plain|stopped)$' --format '{{.Names}} {{.State}}'
        systemd-run --user -P -q sh -c umask; stat -c %a $XDG_RUNTIME_DIR/pyman ~/.local/share/pyman
        systemctl --user disable -q pyman-restart; systemctl --user stop pyman-restart; rm ~/.config/systemd/user/pyman-restart.service
        pyman rm -f -t 0 back kept plain stopped >/dev/null
        """,
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert out[:4] == ["back running", "kept running", "plain exited", "stopped exited"]
    assert out[4:] == ["0002", "700", "700"]
    vm("rm /etc/systemd/system/user@.service.d/umask.conf; systemctl daemon-reload", user="root")


def looks(vm: Machine) -> None:
    """What is in some of the containers is what their files say."""
    assert vm("pyman exec named-by-key hostname").stdout.strip() == "named.example"
    assert vm("pyman exec systemd-environment env").stdout.count("\nTWO=two words\n") == 1
    assert vm("pyman exec systemd-environment sh -c 'echo $FROM_FILE $FOUR'").stdout == "yes a b\n"
    assert vm("pyman exec systemd-limits cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max").stdout.split() == ["67108864", "50"]
    assert vm("pyman exec systemd-arguments sh -c 'echo $FROM'").stdout == "podman args\n"
    assert vm("pyman exec systemd-templated_second sh -c 'echo $NAME'", rc=None).stdout == "second\n"
    assert vm("pyman inspect -f '{{.Config.Labels.every}}' systemd-nested").stdout == "one\n"
    assert vm("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:18080/; true").stdout in ("404", "200")
