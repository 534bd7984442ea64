"""The log driver journald, with a real systemd-journald in the user namespace of `pyman unshare`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run, beside, command

Journal = Callable[[str], str]
SETUP = """
pyman() { %s "$@"; }
until_true() { n=0; until "$@"; do n=$((n + 1)); [ $n -lt 6000 ]; sleep 0.02; done; }
journald() { /lib/systemd/systemd-journald >>journald.err 2>&1 & pid=$!; until_true test -S /run/systemd/journal/socket; }
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal "$XDG_RUNTIME_DIR"
journald
trap 'kill -9 $pid $(jobs -p) || :' EXIT
"""


@pytest.fixture
def journal(base: Path, image: str) -> Journal:
    """journal(script) runs a shell script beside a journald of its own; `pyman` is a function in it, $image the demo image. Its stdout."""

    def run(script: str) -> str:
        setup = SETUP.replace("%s", shlex.join(command()))
        return beside(base, image, "sh", "-eu", "-c", setup + script)

    return run


def test_fields_and_reading(journal: Journal) -> None:
    """Every kind of line comes back as it was written; the journal has Podman's fields."""
    script = r"echo one; echo two >&2; printf \"a\\001b\\n\\n\\n\"; head -c 40000 /dev/zero | tr \"\\0\" q; echo; printf end"
    run = 'pyman run --name jl --network none --log-driver journald --log-opt "tag={{.Name}}/{{.Config.Image}}" --log-opt label=SVC=web $image'
    out = journal(
        f"""
        {run} sh -c "{script}" >direct 2>direct.err
        pyman logs jl >read 2>read.err
        cmp direct read && cmp direct.err read.err
        pyman logs --tail 2 jl | cut -c1-8
        pyman logs --tail 0 jl
        pyman logs --since 1h --until 2020-01-01T00:00:00 jl
        pyman logs --since 2020-01-01 jl | head -n 1
        pyman logs -t jl | head -n 1 | cut -d' ' -f1 | grep -cE '^20[0-9-]{{8}}T[0-9:]{{8}}\\.[0-9]{{9}}Z$'
        pyman inspect --format '{{{{json .HostConfig.LogConfig}}}}' jl
        fields=CONTAINER_ID,CONTAINER_NAME,CONTAINER_TAG,CONTAINER_PARTIAL_MESSAGE,IMAGE_NAME,PRIORITY,SVC,SYSLOG_IDENTIFIER,MESSAGE
        id=$(pyman inspect --format '{{{{.Id}}}}' jl)
        journalctl -n 1 -o export --output-fields=$fields CONTAINER_ID_FULL=$id | grep -v ^_ | sort | sed "s/=$(echo $id | cut -c1-12)/=SHORT/"
        pyman why jl >/dev/null
        pyman rm jl
        """
    )
    image = "localhost/demo:latest"
    assert out.splitlines() == [
        "qqqqqqqq",
        "end",
        "one",
        "1",
        '{"Type":"journald","Config":null,"Path":"","Tag":"{{.Name}}/{{.Config.Image}}","Size":"-1B"}',
        "",
        "CONTAINER_ID=SHORT",
        "CONTAINER_NAME=jl",
        "CONTAINER_PARTIAL_MESSAGE=true",
        f"CONTAINER_TAG=jl/{image}",
        f"IMAGE_NAME={image}",
        "MESSAGE=end",
        "PRIORITY=6",
        "SVC=web",
        f"SYSLOG_IDENTIFIER=jl/{image}",
        "jl",
    ]


def test_following(journal: Journal) -> None:
    """Lines come as they are written, the last ones too; two containers are told apart; attach sees the same."""
    out = journal(
        """
        printf '[containers]\nlog_driver = "journald"\n' >"$HOME/.config/pyman/containers.toml" 2>/dev/null ||
            { mkdir -p "$HOME/.config/pyman"; printf '[containers]\nlog_driver = "journald"\n' >"$HOME/.config/pyman/containers.toml"; }
        trap 'kill -9 $pid $(jobs -p) || :; rm "$HOME/.config/pyman/containers.toml"' EXIT
        script='echo ready; while [ ! -e /go ]; do sleep 0.02; done; seq 1 2000; echo late >&2; echo last'
        for name in fa fb; do pyman run -d --name $name --network none $image sh -c "$script" >/dev/null; done
        pyman logs -f fa >fa.out 2>fa.err &
        reader=$!
        pyman logs -f -n --tail 1 fa fb >both 2>both.err &
        both=$!
        until_true grep -qs ready fa.out
        until_true grep -qs 'fb ready' both
        for name in fa fb; do pyman exec $name touch /go || :; done
        wait $reader $both
        { echo ready; seq 1 2000; echo last; } | cmp - fa.out
        cat fa.err; sort both.err; grep -c '^fb ' both; grep -c '^fa ' both
        pyman logs -f --tail 2 fb
        pyman rm fa fb >/dev/null
        """
    )
    assert out == "late\nfa late\nfb late\n2002\n2002\nlast\n"


def test_the_last_lines_of_one_that_writes(journal: Journal) -> None:
    """What it writes between the look for them and their being read is not among them."""
    out = journal(
        """
        script='i=0; while :; do i=$((i+1)); echo line $i; usleep 300; done'
        pyman run -d --name writes --network none --log-driver journald $image sh -c "$script" >/dev/null
        until_true sh -c "journalctl -o cat CONTAINER_NAME=writes -n 1 | grep -q line"
        for turn in 1 2 3 4 5; do pyman logs --tail 3 writes | wc -l; done
        pyman rm -f -t 0 writes >/dev/null
        """
    )
    assert out == "3\n" * 5


def test_slow_and_lost_journal(journal: Journal) -> None:
    """A journal that is stopped, or restarted under a new socket, costs no line; one that stays away does not keep a container."""
    out = journal(
        """
        kill -STOP $pid
        pyman run -d --name slow --network none --log-driver journald $image sh -c 'seq 1 40000; touch /done; sleep 1000' >/dev/null
        test "$(pyman exec slow ls /done 2>/dev/null)" = ""
        kill -CONT $pid
        until_true pyman exec slow test -e /done
        until_true sh -c "journalctl -o cat CONTAINER_NAME=slow -n 1 | grep -qx 40000"
        kill -9 $pid
        wait $pid || :
        rm /run/systemd/journal/socket
        pyman exec slow sh -c 'seq 40001 60000 >/proc/1/fd/1' &
        writer=$!
        journald
        wait $writer
        pyman stop -t 0 slow >/dev/null
        seq 1 60000 >expected
        pyman logs slow | cmp - expected
        pyman rm slow >/dev/null
        pyman run -d --name lost --network none --log-driver journald $image sh -c 'while [ ! -e /go ]; do sleep 0.02; done; seq 1 10; exit 7' >/dev/null
        kill -9 $pid
        wait $pid || :
        rm /run/systemd/journal/socket
        pyman exec lost touch /go || :
        pyman wait lost
        pyman why lost | grep -c "the journal has not taken all of its lines"
        pyman start lost 2>&1 || echo refused
        journald
        pyman rm lost
        """
    )
    lines = out.splitlines()
    assert lines[0] == "7" and lines[-2:] == ["refused", "lost"], out
    assert "there is no /run/systemd/journal/socket" in out and "k8s-file" in out


def test_refusals(pyman: Run, image: str) -> None:
    """What the journal cannot do, and where there is none, is said before a container is made."""
    for option, words in (
        ("path=/x", "journald.conf"),
        ("max-size=1m", "journald.conf"),
        ("label=lower=1", "capital letters"),
        ("label=_UID=0", "capital letters"),
        *((f"label={name}=x", f"pyman writes {name} itself") for name in ("MESSAGE", "PRIORITY", "IMAGE_NAME", "SYSLOG_IDENTIFIER")),
        *((f"label=CONTAINER_{name}=x", f"pyman writes CONTAINER_{name} itself") for name in ("ID_FULL", "PARTIAL_MESSAGE", "TAG", "NEW")),
        ("tag={{json .}}", "fields of `inspect`"),
        ("tag={{.Name", "fields of `inspect`"),
    ):
        assert words in pyman("create", "--log-driver", "journald", "--log-opt", option, image, rc=125).stderr


def test_why_looks_at_the_lines_of_each_run(journal: Journal) -> None:
    out = journal(
        """
        script='test -e /b && exit 7; touch /b; echo No space left on device; exit 1'
        pyman run --name jw --network none --log-driver journald $image sh -c "$script" >/dev/null || :
        pyman start -a jw || :
        pyman why jw
        pyman rm jw >/dev/null
        """
    )
    assert out.startswith("jw ended by itself with exit code 7, ") and "its last line:" not in out
    assert out.endswith("ended with exit code 1 when a disk was full\n")
