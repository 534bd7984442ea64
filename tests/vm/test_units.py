"""Containers as units of a real systemd: when a unit is ready, watched, called through a socket, updated."""

from __future__ import annotations

from tests.vm.machine import Machine
from tests.vm.units import HELPERS, PATIENCE, SYSTEM, container, files


def test_ready_watched_and_restarted(units: Machine) -> None:
    """Each way of notification makes a unit active when it should; who does not keep in touch is started again, and so is the unhealthy."""
    wait = "while [ ! -e /go ]; do sleep 0.2; done;"
    said = "/usr/bin/systemd-notify --ready --status=serving; while [ ! -e /mute ]; do /usr/bin/systemd-notify WATCHDOG=1; sleep 1; done;"
    out = units(
        HELPERS
        + files(
            container__n_conmon=container("exec sleep 10000", service="WatchdogSec=20s\nRestart=always"),
            container__n_container=container(
                f"{wait} {said} exec sleep 10000", "Notify=true", SYSTEM, service="WatchdogSec=45s\nRestart=on-failure"
            ),
            container__n_healthy=container(
                "exec sleep 10000", "Notify=healthy", "HealthCmd=test -e /go", "HealthInterval=1s", "HealthRetries=10000"
            ),
            container__n_mended=container(
                "rm -f /bad; exec sleep 10000",
                *("HealthCmd=test ! -e /bad", "HealthInterval=1s", "HealthRetries=1", "HealthOnFailure=restart"),
            ),
            container__n_ignore=container(
                "exec sleep 10000", "PodmanArgs=-d --sdnotify=ignore", service="Type=oneshot\nRemainAfterExit=yes"
            ),
        ).replace("PodmanArgs=-d --sdnotify=ignore", "PodmanArgs=-d --sdnotify=ignore")
        + r"""
        systemctl --user start n-conmon n-mended n-ignore
        state n-mended; state n-ignore
        systemctl --user start --no-block n-healthy n-container
        for mode in healthy container; do
            until_true pyman exec systemd-n-$mode true 2>/dev/null
            state n-$mode
            pyman exec systemd-n-$mode touch /go
            until_true is n-$mode active
        done
        systemctl --user show -p StatusText --value n-container
        main() { [ "$(systemctl --user show -p MainPID --value $1)" = "$(of systemd-$1 '{{.State.ConmonPid}}')" ]; }
        for unit in n-conmon n-healthy n-container; do until_true main $unit; done
        cat /proc/$(systemctl --user show -p MainPID --value n-healthy)/comm

        seen=$(systemctl --user show -p WatchdogTimestampMonotonic --value n-conmon)
        sign() { [ "$(systemctl --user show -p WatchdogTimestampMonotonic --value n-conmon)" != $seen ]; }
        mute=$(of systemd-n-container '{{.Id}}')
        until_true pyman exec systemd-n-container touch /mute 2>/dev/null

        unit=$(of systemd-n-mended '{{.Id}}')
        until_true pyman exec systemd-n-mended touch /bad 2>/dev/null
        restarted() { count=$(of systemd-n-mended '{{.RestartCount}}') && [ $count -ge 1 ]; }
        until_true restarted
        until_true says systemd-n-mended '{{.State.Health.Status}}' healthy
        until_true main n-mended
        says systemd-n-mended '{{.Id}}' $unit && state n-mended

        until_true sign
        other() { id=$(of systemd-n-container '{{.Id}}') && [ $id != $mute ]; }
        until_true other
        journalctl --user -u n-container --no-pager | grep -c -m 1 'Watchdog timeout'
        systemctl --user stop n-conmon n-healthy n-container n-mended n-ignore
        pyman ps -aq
        """,
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert out == ["active", "active", "activating", "activating", "serving", "pyman:[monitor]", "active", "1"]


def test_the_first_request_is_answered(units: Machine) -> None:
    """A socket of systemd's starts the container, which takes the connection that was made before it ran."""
    serve = """
import os, socket
server = socket.socket(fileno=3)
while True:
    connection, _ = server.accept()
    connection.sendall(b"answer to " + connection.recv(100) + os.environ["LISTEN_FDS"].encode())
    connection.close()
"""
    ask = """
import os, socket
client = socket.socket(socket.AF_UNIX)
client.connect(os.environ["XDG_RUNTIME_DIR"] + "/act.sock")
client.sendall(b"the first ")
print(client.recv(100).decode())
"""
    out = units(
        HELPERS
        + f"cat >~/serve.py <<'EOF'\n{serve}EOF\nprintf '[Socket]\\nListenStream=%%t/act.sock\\n' >~/.config/systemd/user/act.socket\n"
        + files(container__act=container("exec /usr/bin/python3 -SI /serve.py", SYSTEM, "Volume=%h/serve.py:/serve.py:ro"))
        + f"systemctl --user start act.socket; state act\npython3 - <<'EOF'\n{ask}EOF\nstate act; systemctl --user stop act.socket",
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert out == ["inactive", "answer to the first 1", "active"]


def test_an_update_that_fails_is_taken_back(units: Machine) -> None:
    """A new image is used; one with which the container does not become healthy is given up for the one before."""
    out = units(
        HELPERS
        + "pyman tag demo localhost/up:1\n"
        + files(
            container__up=container(
                "cat /version 2>/dev/null || echo first; exec sleep 10000",
                *(
                    "Notify=healthy",
                    "HealthCmd=test ! -e /bad",
                    "HealthInterval=1s",
                    "HealthRetries=1",
                    "HealthTimeout=5m",
                    "HealthOnFailure=kill",
                ),
                "AutoUpdate=local",
            ).replace("localhost/demo:latest", "localhost/up:1")
        )
        + r"""
        change() {
            pyman run --name change --network none demo sh -c "$1"; pyman commit -q change localhost/up:1 >/dev/null; pyman rm change >/dev/null
        }
        look() { until_true sh -c 'pyman logs systemd-up 2>/dev/null | grep -q .'; pyman logs systemd-up; state up; }
        systemctl --user start up
        look
        change 'echo second >/version'
        pyman auto-update --format '{{.Unit}} {{.ContainerName}} {{.Policy}} {{.Updated}}'
        look
        change 'echo third >/version; touch /bad'
        pyman auto-update --format '{{.Updated}}' || echo "exit code $?"
        look
        systemctl --user stop up
        pyman rmi localhost/up:1 >/dev/null
        """,
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert out[:3] == ["first", "active", "up.service systemd-up local true"]
    assert out[3:] == ["second", "active", "rolled back", "second", "active"]
