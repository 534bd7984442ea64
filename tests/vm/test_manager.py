"""Containers and systemd's manager: its limits hold, units of the older form, the journal. Podman beside it, where that is the reference."""

from __future__ import annotations

import json

from tests.vm.machine import Machine
from tests.vm.units import HELPERS, PATIENCE, container, files


def test_limits_of_the_manager_hold(units: Machine) -> None:
    """Who fails too often is not started again; who is never ready, or does not end, is ended when the unit's time is over. Nothing is left."""
    out = units(
        HELPERS
        + files(
            container__l_often=container(
                "exit 3", service="Restart=always\nRestartSec=100ms\n[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=3600"
            ),
            container__l_never=container("exec sleep 10000", "Notify=true", service="TimeoutStartSec=5s"),
            container__l_stuck=container("exec sleep 10000", "StopTimeout=1000", "StopSignal=SIGCONT", service="TimeoutStopSec=20s"),
        )
        + r"""
        systemctl --user start l-stuck
        systemctl --user start --no-block l-often l-never
        systemctl --user stop l-stuck
        given_up() { journalctl --user -u l-often --no-pager | grep -q 'repeated too quickly' && is l-often failed; }
        until_true given_up
        for unit in l-often l-never l-stuck; do
            until_true is $unit failed
            systemctl --user show -p Result -p NRestarts $unit | sort | xargs
        done
        empty() { [ -z "$(pyman ps -aq)" ]; }
        until_true empty
        systemctl --user list-units --all --plain --no-legend 'pyman-*.scope'
        """,
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert out == ["NRestarts=3 Result=exit-code", *["NRestarts=0 Result=timeout"] * 2]


def test_a_unit_of_the_older_form(units: Machine) -> None:
    """What `generate systemd` prints starts, restarts and stops a container; with --new it makes one each time,
    in place of one of its name."""
    out = units(
        HELPERS
        + r"""
        cd ~/.config/systemd/user
        pyman create --name gen --network none --stop-timeout 0 --restart always demo sleep 10000 >/dev/null
        for form in "" --new; do
            pyman generate systemd $form --name gen 2>/dev/null >container-gen.service
            systemctl --user daemon-reload
            systemctl --user start container-gen; first=$(of gen '{{.Id}} {{.State.Pid}}')
            state container-gen
            systemctl --user restart container-gen; second=$(of gen '{{.Id}} {{.State.Pid}}')
            [ "${first% *}" = "${second% *}" ] && echo same || echo new
            [ "${first#* }" = "${second#* }" ] || echo restarted
            kill -9 $(of gen '{{.State.ConmonPid}}') ${second#* }
            again() { third=$(of gen '{{.Id}} {{.State.Pid}}') && [ "${third#* }" != 0 ] && [ "${third#* }" != "${second#* }" ] && is container-gen active; }
            until_true again; echo again
            systemctl --user stop container-gen
            systemctl --user reset-failed
            pyman ps -a --format '{{.Names}}'
        done
        rm container-gen.service
        """,
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert out == ["active", "same", "restarted", "again", "gen", "active", "new", "restarted", "again"]


def test_logs_in_the_journal(units: Machine) -> None:
    """Entries have the fields that Podman's have, with the same values, and both tools' `logs` read back what was written."""
    out = units(
        HELPERS
        + r"""
        podman image exists localhost/demo || podman tag $(podman pull -q oci:/opt/demo:latest) localhost/demo
        for tool in pyman podman; do
            $tool run --name $tool-logs --network none --log-driver journald --log-opt tag=marked localhost/demo \
                sh -c 'echo one; echo two >&2; printf "a\tb\303\251\n"; echo last' >/dev/null 2>&1
            read_back() { [ "$($tool logs $tool-logs 2>&1 | grep -c -x -e last -e two)" = 2 ]; }
            until_true read_back
            $tool logs $tool-logs 2>/dev/null | xargs -d '\n' echo
            journalctl -o json CONTAINER_NAME=$tool-logs >/tmp/$tool.json
            $tool rm $tool-logs >/dev/null
        done
        podman rmi -f localhost/demo >/dev/null
        cat /tmp/pyman.json; echo --; cat /tmp/podman.json
        """,
        timeout=PATIENCE,
    ).stdout.splitlines()
    assert out[:2] == ["one a\tb\u00e9 last"] * 2
    middle = out.index("--")
    ours, theirs = ([json.loads(line) for line in lines] for lines in (out[2:middle], out[middle + 1 :]))
    ours, theirs = (
        sorted((entry for entry in entries if "CONTAINER_TAG" in entry), key=lambda entry: entry["MESSAGE"]) for entries in (ours, theirs)
    )
    assert len(ours) == len(theirs) == 4
    for own, other in zip(ours, theirs, strict=True):
        # Not what journald adds, nor the place in a program's source, nor the end of the line.
        fields = {key for key in other if not key.startswith(("_", "CODE_"))}
        assert {key for key in own if not key.startswith("_")} - {"IMAGE_NAME"} == fields
        assert own["MESSAGE"] == other["MESSAGE"].removesuffix("\n")
        for key in fields:
            if key.startswith("CONTAINER_ID"):
                assert len(own[key]) == len(other[key])
            else:
                assert own[key].strip() == other[key].strip().replace("podman-logs", "pyman-logs"), key
