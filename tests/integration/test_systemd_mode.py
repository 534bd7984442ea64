"""--systemd: what a container gets in which systemd can be the first process; it boots in tests/vm/test_units.py."""

from __future__ import annotations

import json

from tests.conftest import Run

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
