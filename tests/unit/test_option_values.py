"""Option values that Podman refuses are refused before a container is made; those it takes are taken."""

from __future__ import annotations

import pytest

from pyman.cli import parse
from pyman.config import schema
from pyman.engine import create, id_maps, names, option_checks
from pyman.errors import UsageError
from pyman.monitor import logs

REFUSED = """\
--stop-timeout -5
--timeout -3
--retry -3
--preserve-fds -1
--detach-keys bogus
--expose abc
--expose 5000-4000
--expose 80/foo
--attach bogus
--device /dev/null:zz
--device /dev/null:/dev/x:zz
--device /dev/null:/dev/x:
--oom-score-adj 5000
--add-host foo
--add-host foo:bar
--add-host a:1.2.3.4 --no-hosts
--dns bogus
--dns 1.2.3.4 --network none
--dns-option x --network none
--dns-search x --network container:y
--dns none --dns-search .
--ipc host --shm-size 5m
--uts host --hostname foo
--hostname aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
--security-opt no-new-privileges=bogus
--security-opt bogus
--annotation x
--sysctl foo
--umask 999
--personality bogus
--shm-size abc
--tmpfs foo
--ulimit nofile=10:5
--ulimit nofile=abc
--ulimit core=unlimited:5
--cap-add FOO
--memory abc
--retry-delay bogus
--hosts-file /nope
--pid bogus
--ipc ns:/nope
--userns bogus
--env-merge PATH
--authfile /nope
--replace
--platform linux/amd64 --arch amd64
--init --pid host
--image-volume bogus
--image-volume bind
--security-opt proc-opts=bogus"""
TAKEN = """\
--stop-timeout 0
--detach-keys ctrl-a,b
--expose 80 --expose 80-90/udp
--attach STDOUT
--device /dev/null:rw --device /dev/null:/dev/x:rwm
--oom-score-adj -5
--add-host a;b:::1 --add-host c:host-gateway --add-host d:[::1]
--dns fe80::1 --dns 1.2.3.4
--dns none
--uts private --hostname foo
--security-opt no-new-privileges --security-opt no-new-privileges:true
--annotation a=
--ulimit nofile=5:10 --ulimit core=0:unlimited --ulimit host
--env-merge PATH=/x:$PATH
--replace --name x
--init --pid private
--image-volume tmpfs
--security-opt proc-opts=hidepid=2,subset=pid"""


def _check(line: str) -> None:
    parsed = parse.parse(["create", *line.split(), "image"])
    assert create.CHECKED & parsed.options.given or "--attach" in line or "stop-timeout" in line
    option_checks.check(parsed.options, schema.defaults())


@pytest.mark.parametrize("line", REFUSED.split("\n"))
def test_refused(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        _check(line)
    assert caught.value.why and caught.value.exit_code == 125


@pytest.mark.parametrize("line", TAKEN.split("\n"))
def test_taken(line: str) -> None:
    _check(line)


def test_id_maps_that_change_others() -> None:
    class Ids:
        uids = [(0, 1000, 1), (1, 100000, 65536)]
        gids = uids

    def shown(*uidmap: str) -> list[tuple[int, ...]]:
        return [tuple(entry.values()) for entry in id_maps.explicit(list(uidmap), [], Ids)[0]]

    assert shown("+0:5:1") == [(0, 5, 1), (1, 0, 1), (2, 1, 4), (6, 6, 65531)]
    assert shown("0:1:10", "+0:50:1") == [(0, 50, 1), (1, 2, 9)]
    assert shown("0:0:10", "+3:20:2") == [(0, 0, 1), (1, 1, 2), (3, 20, 2), (5, 5, 5)]
    assert shown("5:@100004:1") == [(5, 5, 1)]
    for bad in ("+", "0", "0:1:x", "a:b:c", "0:@5:1", "0:65530:100", "0:1:0"):
        with pytest.raises(UsageError):
            shown(bad)


def test_times_keep_their_nanoseconds() -> None:
    """A float of today's seconds holds seven digits of a fraction: a line's own time would lie before or after the line."""
    for text in ("2026-11-26T08:13:36.123456789Z", "2026-11-26T08:13:36.999999999Z", "2026-11-26T08:13:36.000000001"):
        assert logs.stamp_of(text, "--since") == text.rstrip("Z")
    assert logs.stamp_of("2026-11-26T09:13:36.5+01:00", "--since") == "2026-11-26T08:13:36.500000000"
    assert logs.stamp_of("1795680816.000000007", "--since").endswith(":36.000000007")
    assert logs.stamp_of("1.5m", "--since") < logs.stamp_of("1m", "--since") < logs.stamp_of("0.5s", "--since")


def test_a_host_name_is_never_a_number() -> None:
    """One id in 280 would begin with twelve decimal digits."""
    assert not any(names.random_id()[:12].isdigit() for _ in range(5000))
