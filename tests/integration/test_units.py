"""Containers as units of a real service manager and journal, which run in the user namespace of `pyman unshare`.

Notification, socket activation, updates with a way back. What needs a machine of its own is in tests/vm.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, beside, command

Manager = Callable[[str], list[str]]
SETUP = r"""
[ ! -d /sys/fs/cgroup/unified ] || mount --bind /sys/fs/cgroup/unified /sys/fs/cgroup
# A manager takes over the whole group in which it starts: one of its own, or the tests themselves would be moved.
group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/manager
mkdir -p $group
echo $$ >$group/cgroup.procs
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/systemd/system /run/log/journal $XDG_RUNTIME_DIR/systemd ~/bin
printf '#!/bin/sh\nexec %s "$@"\n' >~/bin/pyman
chmod 755 ~/bin/pyman
PATH=~/bin:$PATH PYMAN=$HOME/bin/pyman
export PATH PYMAN
/lib/systemd/systemd-journald 2>journald.err &
journald=$!
trap 'systemctl --user exit || :; kill -9 $journald || :' EXIT
/usr/lib/systemd/systemd --user --unit=basic.target --log-target=journal 2>manager.err >&2 &
until_true() {
    n=0
    until "$@"; do
        n=$((n + 1))
        [ $n -lt 2400 ] || { echo "never: $*" >&2; systemctl --user status --no-pager -l >&2; journalctl -n 40 --no-pager >&2; exit 1; }
        sleep 0.1
    done
}
unit() { cat >~/.config/systemd/user/$1; }
state() { systemctl --user show -p ActiveState --value $1; }
is() { [ "$(state $1)" = $2 ]; }
mkdir -p ~/.config/systemd/user
until_true sh -c 'systemctl --user is-system-running 2>/dev/null | grep -qE "running|degraded"'
"""


@pytest.fixture
def manager(base: Path, image: str) -> Manager:
    """manager(script) runs a bash script beside a user manager and a journald of its own; $image is the demo image. The lines it prints."""

    def run(script: str) -> list[str]:
        setup = SETUP.replace("%s", shlex.join(command()))
        return beside(base, image, "bash", "-euo", "pipefail", "-c", setup + script).splitlines()

    return run


def test_notification(manager: Manager) -> None:
    """Each --sdnotify mode reaches active when it should; of a killed service nothing is left, and it restarts."""
    out = manager(
        r"""
        system="-v /usr/bin:/usr/bin:ro -v /usr/lib:/usr/lib:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro"
        wait='while [ ! -e /go ]; do sleep 0.1; done; '
        service() {
            unit n-$1.service <<EOF
[Service]
Type=$2
NotifyAccess=all
Delegate=yes
Environment=PODMAN_SYSTEMD_UNIT=%n
ExecStart=%h/bin/pyman run --replace --name n-$1 --network none --cgroups=split --sdnotify=$1 $3 $system $image sh -c "$4"
ExecStop=%h/bin/pyman stop --ignore -t 0 n-$1
ExecStopPost=%h/bin/pyman rm -f --ignore -t 0 n-$1
Restart=on-failure
TimeoutStartSec=600
EOF
        }
        service conmon notify -d 'exec sleep 1000'
        service ignore exec '' 'exec sleep 1000'
        service healthy notify "-d --health-interval=1s --health-retries=1000 '--health-cmd=test -e /go'" 'exec sleep 1000'
        service container notify -d "$wait /usr/bin/systemd-notify --no-block --ready '--status=said so'; exec sleep 1000"
        systemctl --user daemon-reload
        systemctl --user start n-conmon n-ignore
        state n-conmon; state n-ignore
        systemctl --user start --no-block n-healthy n-container
        for mode in healthy container; do
            until_true pyman exec n-$mode true 2>/dev/null
            state n-$mode
            pyman exec n-$mode touch /go
            until_true is n-$mode active
        done
        systemctl --user show -p StatusText --value n-container
        main=$(systemctl --user show -p MainPID --value n-container)
        cat /proc/$main/comm
        kill -9 $main $(pyman inspect --format '{{.State.Pid}}' n-container)  || :
        until_true sh -c '[ $(systemctl --user show -p NRestarts --value n-container) = 1 ]'
        until_true pyman exec n-container touch /go 2>/dev/null
        until_true is n-container active
        systemctl --user stop n-conmon n-ignore n-healthy n-container
        pyman ps -aq
        """
    )
    assert out == ["active", "active", "activating", "activating", "said so", "pyman:[monitor]"]


def test_activation_and_journal(manager: Manager) -> None:
    """The first request to a socket starts the container and is answered; its log is in the journal, under Podman's fields."""
    out = manager(
        r"""
        unit act.socket <<EOF
[Socket]
ListenStream=%t/act.sock
EOF
        cat >~/serve.py <<'EOF'
import os, socket
server = socket.socket(fileno=3)
print("serving", os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"], os.getpid(), flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(b"answer to " + connection.recv(100))
    connection.close()
EOF
        system="-v /usr/bin:/usr/bin:ro -v /usr/lib:/usr/lib:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro -v %h/serve.py:/serve.py:ro"
        unit act.service <<EOF
[Service]
Type=notify
NotifyAccess=all
Delegate=yes
ExecStart=%h/bin/pyman run -d --replace --name act --network none --sdnotify=conmon --log-driver=journald \
    --log-opt=tag={{.Name}}! $system $image /usr/bin/python3 -SI /serve.py
ExecStop=%h/bin/pyman stop --ignore -t 0 act
ExecStopPost=%h/bin/pyman rm -f --ignore -t 0 act
EOF
        systemctl --user daemon-reload
        systemctl --user start act.socket
        state act.service
        python3 - <<'EOF'
import os, socket
client = socket.socket(socket.AF_UNIX)
client.connect(os.environ["XDG_RUNTIME_DIR"] + "/act.sock")
client.sendall(b"the first")
print(client.recv(100).decode())
EOF
        until_true is act.service active  # the manager hears of it a moment after the client
        state act.service
        until_true sh -c "pyman logs act | grep -q serving"
        pyman logs act
        fields=CONTAINER_NAME,CONTAINER_TAG,SYSLOG_IDENTIFIER,IMAGE_NAME,PRIORITY,MESSAGE
        journalctl CONTAINER_NAME=act -n 1 -o export --output-fields=$fields | grep -v ^_ | sort | paste -sd' '
        systemctl --user stop act.socket act.service
        pyman ps -aq
        """
    )
    assert out[:4] == ["inactive", "answer to the first", "active", "serving 1 1 1"]
    assert (
        out[4]
        == " CONTAINER_NAME=act CONTAINER_TAG=act! IMAGE_NAME=localhost/demo:latest MESSAGE=serving 1 1 1 PRIORITY=6 SYSLOG_IDENTIFIER=act!"
    )
    assert out[5:] == []


def test_update_with_a_way_back(manager: Manager) -> None:
    """A new image is used; one whose program does not get ready is given up for the old one."""
    out = manager(
        r"""
        pyman tag $image localhost/up:1
        pyman create --name up --label io.containers.autoupdate=local --network none localhost/up:1 \
            sh -c 'cat /version 2>/dev/null || echo first; [ ! -e /bad ] || exit 1; exec sleep 1000' >/dev/null
        pyman generate systemd --new --name --stop-timeout 0 up | unit container-up.service
        pyman rm up >/dev/null
        systemctl --user daemon-reload
        systemctl --user start container-up
        look() { until_true sh -c 'pyman logs up | grep -q .'; pyman logs up; pyman inspect --format '{{index .Config.Labels "PODMAN_SYSTEMD_UNIT"}}' up; }
        look
        update() { pyman auto-update --format '{{.ContainerName}} {{.Policy}} {{.Updated}}' "$@" || echo "exit code $?"; }
        update --dry-run
        change() { pyman run --name change --network none $image sh -c "$1"; pyman commit -q change localhost/up:1 >/dev/null; pyman rm change >/dev/null; }
        change 'echo second >/version'
        update --dry-run
        update
        look
        sed -i 's/--sdnotify=conmon/--sdnotify=healthy --health-interval=1s --health-retries=1 "--health-cmd=test ! -e \/bad"/; s/^Restart=.*/Restart=no\nTimeoutStartSec=600/' \
            ~/.config/systemd/user/container-up.service
        systemctl --user daemon-reload
        systemctl --user restart container-up
        change 'echo third >/version; touch /bad'
        update
        state container-up
        look
        systemctl --user stop container-up
        pyman rmi localhost/up:1 >/dev/null
        pyman ps -aq
        """
    )
    unit = "container-up.service"
    assert out[:4] == ["first", unit, "up local false", "up local pending"]
    assert out[4:7] == ["up local true", "second", unit]
    assert out[7:] == ["up local rolled back", "active", "second", unit]


def test_restart_policies_at_boot(manager: Manager) -> None:
    """pyman-restart.service starts what a policy asks for, and stops it for a shutdown; what is missing for a reboot is told."""
    unit = (ROOT / "shims/systemd/pyman-restart.service").read_text().replace("@PYMAN@", "%h/bin/pyman")
    out = manager(
        f"unit pyman-restart.service <<'EOF'\n{unit}EOF\n"
        + r"""
        systemctl --user daemon-reload
        rm -f ~/.local/share/pyman/restart-told
        run() { name=$1; shift; pyman run -d --name $name --stop-timeout 0 --network none "$@" $image sleep 1000 2>&1 >/dev/null; }
        run back --restart=always | grep -o 'systemctl --user enable .*'
        run kept --restart=unless-stopped | grep -c 'will not be back after a reboot'
        run stopped --restart=unless-stopped >/dev/null
        run plain
        systemctl --user enable -q pyman-restart.service
        pyman doctor | grep -c 'enable pyman-restart' || :
        mount -t tmpfs tmpfs /var/lib/systemd; mkdir /var/lib/systemd/linger; touch /var/lib/systemd/linger/{root,$(id -un)}
        pyman create --name later --restart=always $image true 2>&1 >/dev/null
        rm ~/.local/share/pyman/restart-told
        pyman create --name first --restart=always $image true 2>&1 >/dev/null
        pyman update --restart=unless-stopped later 2>&1 >/dev/null
        { pyman doctor || :; } | grep -o 'will be back after .*'
        pyman rm first later >/dev/null
        pyman stop stopped >/dev/null
        systemctl --user start pyman-restart
        states() { pyman ps -a --sort names --format '{{.Names}} {{.State}}'; }
        systemctl --user stop pyman-restart
        states
        systemctl --user start pyman-restart
        states
        systemctl --user disable -q pyman-restart.service
        pyman rm -f -a >/dev/null
        """
    )
    assert out[:3] == ["systemctl --user enable pyman-restart.service && loginctl enable-linger", "1", "0"]
    back = "will be back after a reboot: lingering is on and pyman-restart.service is enabled"
    assert out[3:5] == [f"Note: this container {back}", back]
    assert out[5:9] == ["back exited", "kept exited", "plain exited", "stopped exited"]
    assert out[9:] == ["back running", "kept running", "plain exited", "stopped exited"]
