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


def test_images_and_artifacts_are_pulled_by_their_units(units: Machine) -> None:
    """.image and .artifact files, from a registry that knows one image: what a container names is pulled before it starts."""
    serve = """
import http.server, json, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        index = json.load(open("/opt/demo/index.json"))["manifests"][0]
        place, _, name = self.path.rpartition("/")
        digest = name if name.startswith("sha256:") else index["digest"]
        path = "/opt/demo/blobs/" + digest.replace(":", "/")
        body = open(path, "rb").read() if place and os.path.exists(path) else b""
        self.send_response(200 if place.startswith("/v2") else 404)
        self.send_header("Content-Type", index["mediaType"] if place.endswith("/manifests") else "application/octet-stream")
        self.send_header("Docker-Content-Digest", digest)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.command == "HEAD" or self.wfile.write(body)
    do_HEAD = do_GET
http.server.ThreadingHTTPServer(("127.0.0.1", 18555), Answer).serve_forever()
"""
    source = "127.0.0.1:18555/demo:latest\nTLSVerify=false\n"
    out = units(
        HELPERS
        + f"cat >~/registry.py <<'EOF'\n{serve}EOF\nsystemd-run -q --user -u registry --collect python3 /home/dev/registry.py\n"
        + files(
            image__base=f"[Image]\nImage={source}[Service]\nTimeoutStartSec=900\n",
            artifact__model=f"[Artifact]\nArtifact={source}[Service]\nTimeoutStartSec=900\n",
            container__pulled=container(
                "ls /model | wc -l >&2; exec sleep 10000", "Mount=type=artifact,source=model.artifact,destination=/model"
            ).replace("localhost/demo:latest", "base.image"),
        )
        + r"""
        until_true curl -s -o /dev/null http://127.0.0.1:18555/v2/
        systemctl --user start pulled
        for unit in pulled base-image model-artifact; do state $unit; done
        of systemd-pulled '{{.ImageName}}'; pyman artifact ls --format '{{.Repository}}:{{.Tag}}'
        until_true sh -c 'pyman logs systemd-pulled 2>&1 | grep .'
        systemctl --user restart base-image model-artifact; until_true is pulled active
        systemctl --user stop pulled base-image model-artifact registry
        pyman artifact rm 127.0.0.1:18555/demo:latest >/dev/null; pyman rmi 127.0.0.1:18555/demo:latest >/dev/null; rm ~/registry.py *.image *.artifact
        """,
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert out[:5] == ["active", "active", "active", "127.0.0.1:18555/demo:latest", "127.0.0.1:18555/demo:latest"]
    assert len(out) == 6 and int(out[5]) >= 1


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
