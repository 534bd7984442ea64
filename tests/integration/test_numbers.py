"""Numbers, times and lengths of time that nobody has: an error of the usage or the nearest that there is, never all there is to remove."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Run

HUGE = "9" * 20  # more than 64 bits hold
LARGEST = str((1 << 63) - 1)
NONE = ("--network", "none")


@pytest.fixture
def box(pyman: Run, image: str) -> Iterator[str]:
    pyman("run", "-d", "--name", "box", *NONE, image, "sh", "-c", "trap 'exit 3' TERM; echo hi; while :; do usleep 10000; done")
    pyman("create", "--name", "idle", *NONE, image, "true")
    pyman("volume", "create", "kept")
    yield "box"
    pyman("rm", "-f", "-t", "0", "box", "idle")
    pyman("volume", "rm", "kept")


@pytest.mark.parametrize(
    "value", [HUGE, LARGEST, "253402300800", "1e30", "999999999999h", "-1", "-1h", "nan", "inf", "1_000", "", "²", "٣"]
)
def test_nothing_is_pruned_for_a_time_that_is_none(pyman: Run, box: str, value: str) -> None:
    for kind in ("volume", "container", "network", "image", "system"):
        words = [*kind.split(), "prune", "-f", "--filter", f"until={value}"]
        assert "for the filter until" in pyman(*words, rc=125).stderr, words
    for words in (["ps", "-a"], ["images"], ["volume", "ls"], ["network", "ls"]):
        assert "for the filter until" in pyman(*words, "--filter", f"until={value}", rc=125).stderr, words
    assert pyman("volume", "ls", "-q").stdout == "kept\n"
    assert pyman("ps", "-aq", "--filter", "name=idle").stdout


def test_times_of_a_log(pyman: Run, box: str) -> None:
    """Those beyond its first and last line are taken, as Podman does, and ask for what is there."""
    for value in ("-1", "0", "-1e30", "1e3", "+5", "0001-01-01T00:00:00Z"):
        assert pyman("logs", "--since", value, box).stdout == "hi\n", value
        assert pyman("logs", f"--until={value}", box).stdout == "", value
        assert pyman("events", "--stream=false", f"--until={value}").stdout == "", value
        assert pyman("events", f"--until={value}").stdout == "", value
    for value in (HUGE, LARGEST, "1e30", "1e999", "253402300800", "9999-12-31T23:59:59.999999999Z"):
        assert pyman("logs", "--since", value, box).stdout == "", value
        assert pyman("logs", "--until", value, box).stdout == "hi\n", value
        assert pyman("events", "--stream=false", "--since", value).stdout == "", value
        assert " container start " in pyman("events", "--stream=false", "--until", value, "--filter", "container=box").stdout, value
    assert pyman("logs", "--since=-1h", box).stdout == ""  # in an hour
    for value in ("999999999999h", "nan", "inf", "1_000", "²", "٣", "-"):
        for words in (("logs", f"--since={value}", box), ("logs", f"--until={value}", box), ("events", f"--since={value}")):
            assert f"invalid value {value!r} for --" in pyman(*words, rc=125).stderr, words


@pytest.mark.parametrize("value", [HUGE, "-" + HUGE, "²", "٣", "x"])
def test_numbers_that_are_refused(pyman: Run, box: str, image: str, value: str) -> None:
    run = ("run", "--rm", *NONE)
    for words in (
        ("stop", "-t", value, box),
        ("restart", "-t", value, box),
        ("rm", "-f", "-t", value, "nobody"),
        ("ps", "--last", value),
        ("ps", "--watch", value),
        ("stats", "--no-stream", "--interval", value, box),
        ("wait", "--interval", value.removeprefix("-"), "idle"),
        ("logs", "--tail", value.removeprefix("-"), box),
        ("kill", "-s", value, box),
        ("search", "--filter", f"stars={value}", "127.0.0.1:9/x"),
        ("volume", "create", "--uid", value),
        ("ps", "--filter", f"exited={value}"),
        (*run, "--stop-timeout", value, image, "true"),
        (*run, "--timeout", value, image, "true"),
        (*run, "--pids-limit", value, image, "true"),
        (*run, "--cpu-quota", value, image, "true"),
        (*run, "--shm-size", value, image, "true"),
        (*run, "--memory", value, image, "true"),
        (*run, "--ulimit", f"nofile={value}", image, "true"),
        (*run, "--umask", value, image, "true"),
        (*run, "--log-opt", f"max-size={value}", image, "true"),
        (*run, "--log-opt", f"max-file={value}", image, "true"),
        (*run, "--userns", f"keep-id:uid={value}", image, "true"),
        ("create", *NONE, "--restart", f"on-failure:{value}", image, "true"),
    ):
        assert pyman(*words, rc=125).stderr.startswith("Error: "), words


def test_waits_longer_than_a_clock_counts(pyman: Run, box: str, image: str) -> None:
    for value in (LARGEST, "4294967296"):
        pyman("restart", "-t", value, box)
        assert pyman("stats", "--no-stream", "--format", "{{.Name}}", "--interval", value, box).stdout == "box\n"
        pyman(
            "run",
            "-d",
            "--name",
            "late",
            *NONE,
            "--stop-timeout",
            value[:18],
            image,
            "sh",
            "-c",
            "trap 'exit 4' TERM; while :; do usleep 10000; done",
        )
        pyman("kill", "-s", "TERM", "late")
        assert pyman("wait", "--interval", "9999999999999", "late").stdout == "4\n"
        pyman("rm", "late")
        assert "68 years at most" in pyman("create", "--timeout", value[:18], image, "true", rc=125).stderr
    for interval in ("1m30s", "500us", "-1", "1000h"):
        assert pyman("wait", "--condition", "running", "--interval", interval, box).stdout == "-1\n"
    for interval in ("nan", "1e3", "9999999h", "9" * 20, "5" * 30 + "h"):
        assert "invalid value" in pyman("wait", "--interval", interval, box, rc=125).stderr
