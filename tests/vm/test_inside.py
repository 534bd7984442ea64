"""Containers that rule over their own control groups, as systemd does: exec, limits and health checks in them; Debian's systemd itself."""

from __future__ import annotations

from tests.vm.machine import Machine
from tests.vm.units import HELPERS, PATIENCE, container, files


def test_groups_in_a_container(units: Machine) -> None:
    """A container that has divided its control group takes processes of exec and health checks in its first one's group."""
    out = units(
        HELPERS
        + r"""
        pyman run -d --name divided --systemd=always --memory 64m --network none --stop-signal KILL \
            --health-cmd 'cat /proc/self/cgroup' --health-interval 1s --health-timeout 5m demo sh -c '
                mkdir /sys/fs/cgroup/inner; echo 1 >/sys/fs/cgroup/inner/cgroup.procs
                until echo +memory >/sys/fs/cgroup/cgroup.subtree_control; do sleep 0.1; done 2>/dev/null  # not while a check runs
                touch /divided; exec sleep 10000' >/dev/null
        until_true pyman exec divided test -e /divided 2>/dev/null
        pyman exec divided cat /proc/self/cgroup /sys/fs/cgroup/memory.max /sys/fs/cgroup/cgroup.subtree_control
        # Also with checks that begin now: the process that runs them is made again.
        pyman update --health-interval 2s divided >/dev/null
        checked() { of divided '{{json .State.Health.Log}}' | grep -q '"ExitCode":0,"Output":"0::/inner'; }
        until_true checked
        until_true says divided '{{.State.Health.Status}}' healthy
        pyman exec divided sh -c 'tail /dev/zero' || echo "code $?"
        """,
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert out == ["0::/inner", "67108864", "memory", "code 137"]


def test_systemd_in_a_container(units: Machine) -> None:
    """An image of Debian with systemd as a unit: all its units start, within the limit; a service is set up, runs, and ends with its stop signal."""
    out = units(
        HELPERS
        + """pyman image exists debian || pyman import -q -c 'CMD ["/sbin/init"]' /opt/debian.tar localhost/debian:latest >/dev/null\n"""
        + files(
            container__booted=container(
                "",
                *(
                    "Memory=400m",
                    "Notify=healthy",
                    "HealthInterval=5s",
                    "HealthTimeout=5m",
                    "HealthRetries=10000",
                    "Volume=%h/ended:/ended",
                ),
                "HealthCmd=systemctl is-system-running | grep -x -e running -e degraded",
            )
            .replace("localhost/demo", "localhost/debian")
            .replace("Exec=sh -c ''\nStopTimeout=0", "StopTimeout=600")
        )
        + r"""
        rm -rf ~/ended; mkdir ~/ended
        systemctl --user start booted
        pyman exec systemd-booted sh -c '
            cat /proc/1/comm /sys/fs/cgroup/memory.max; grep -c "[.][.]" /proc/self/cgroup; systemctl is-system-running
            systemctl --failed --no-legend --plain --no-pager
            systemctl is-active dbus systemd-logind; systemd-detect-virt --container
            printf "[Service]\nMemoryMax=32M\nExecStart=sh -c \"echo served; exec sleep 10000\"\nExecStop=touch /ended/by-systemd\n" >/etc/systemd/system/probe.service
            systemctl daemon-reload; systemctl start probe; systemctl is-active probe
            journalctl --no-pager -u probe -o cat | grep -x served; cat /sys/fs/cgroup/system.slice/probe.service/cgroup.procs | wc -l
            cat /sys/fs/cgroup/system.slice/probe.service/memory.max'
        of systemd-booted '{{.Config.StopSignal}}'
        systemctl --user stop booted
        state booted; systemctl --user show -p Result --value booted; ls ~/ended; rm -r ~/ended
        """,
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert out[:4] == ["systemd", "419430400", "0", "running"]
    assert out[4:11] == ["active", "active", "podman", "active", "served", "1", "33554432"]
    assert out[11:] == ["SIGRTMIN+3", "inactive", "success", "by-systemd"]
