"""Damaged configurations: every value of a full spec replaced by values of other kinds gives a RuntimeFailure or is accepted."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from pyman.errors import PymanError, RuntimeFailure
from pyman.linux import seccomp
from pyman.runtime import cgroup_devices, cgroup_limits, hooks, plan, plan_program, rootfs_more, template, tuning, validate

ARGUMENT = {"index": 0, "value": 1, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}
SURROGATE = "half \ud800"


def full() -> dict[str, Any]:
    spec = template.template(rootless=True)
    spec["process"].update(
        scheduler={"policy": "SCHED_BATCH", "nice": 1, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 3},
        consoleSize={"height": 24, "width": 80},
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10}],
        execCPUAffinity={"initial": "0-1", "final": "0"},
    )
    spec["hooks"] = {"poststop": [{"path": "/x", "args": ["x"], "env": ["A=b"], "timeout": 3}]}
    spec["annotations"] = {"a": "b"}
    spec["linux"].update(
        resources={
            "cpu": {"shares": 5, "quota": 1000, "period": 1000, "cpus": "0"},
            "memory": {"limit": 1, "swap": 2},
            "pids": {"limit": 5},
            "blockIO": {"weight": 10, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 5}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 5}],
            "devices": [{"allow": False, "type": "c", "major": 1, "minor": 2, "access": "rwm"}],
            "unified": {"memory.high": "1"},
        },
        timeOffsets={"monotonic": {"secs": 5, "nanosecs": 6}},
        maskedPaths=["/proc/keys"],
        sysctl={"kernel.msgmax": "1"},
        devices=[{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}],
        personality={"domain": "LINUX"},
        memoryPolicy={"mode": "MPOL_BIND", "nodes": "0"},
        seccomp={
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ERRNO", "args": [dict(ARGUMENT)]}],
        },
    )
    spec["linux"]["namespaces"].append({"type": "time"})
    return spec


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


def check(spec: dict[str, Any]) -> None:
    validate.check(spec)
    hooks.check(spec["hooks"])
    tuning.check(spec["process"], spec["linux"])


def test_the_full_spec_is_accepted() -> None:
    check(full())


def test_the_number_of_a_node_is_none_below_zero() -> None:
    spec = full()
    spec["linux"]["devices"][0]["major"] = -1
    with pytest.raises(RuntimeFailure, match="major"):
        check(spec)


@pytest.mark.parametrize("missing", ["defaultAction", "names", "action"])
def test_what_a_filter_needs_is_not_guessed(missing: str) -> None:
    spec = full()
    filter_ = spec["linux"]["seccomp"]
    del (filter_ if missing == "defaultAction" else filter_["syscalls"][0])[missing]
    with pytest.raises(RuntimeFailure, match=r"linux\.seccomp\."):
        check(spec)


@pytest.mark.parametrize("wrong", [None, True, -1, 1 << 70, 1.5, "", "text\0", [], ["x", 5], {}, {"x": {"y": []}}], ids=repr)
def test_a_wrong_value_anywhere_is_one_clear_error(wrong: Any) -> None:
    refused = 0
    for path in list(places(full())):
        spec = full()
        place: Any = spec
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = copy.deepcopy(wrong)
        try:
            check(spec)
        except RuntimeFailure as err:
            refused += 1
            assert err.what and err.why
    assert refused > 10


def use(spec: dict[str, Any]) -> None:
    """What reads a checked spec and needs no privilege for that."""
    linux = spec["linux"]
    validate.unknown_capabilities(spec["process"])
    plan.container(spec, True)
    plan_program.program(spec["process"], True)
    cgroup_devices.program((linux.get("resources") or {}).get("devices") or [])
    cgroup_limits.settings(linux.get("resources") or {})
    if linux.get("seccomp"):
        seccomp._compile(linux["seccomp"])


EXTREMES = [-1, -(1 << 63) - 1, 1 << 16, 10**10, 1 << 31, 1 << 32, 1 << 63, 1 << 64, SURROGATE, "z", "missing"]


@pytest.mark.parametrize("wrong", EXTREMES, ids=ascii)
def test_what_was_checked_can_be_used(wrong: Any) -> None:
    """Numbers that fit nowhere, halves of characters and keys that are not there: the check refuses, or who reads the spec can do it."""
    for path in list(places(full())):
        spec = full()
        place: Any = spec
        for key in path[:-1]:
            place = place[key]
        if wrong == "missing":
            del place[path[-1]]
        else:
            place[path[-1]] = wrong
        try:
            check(spec)
            use(spec)
        except PymanError as err:
            assert err.what, path
        else:
            assert wrong != SURROGATE or path[:1] == ("ociVersion",), path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("linux.seccomp.syscalls.0.args.0.value", -1),
        ("linux.seccomp.syscalls.0.args.0.value", 1 << 64),
        ("linux.seccomp.syscalls.0.args.0.valueTwo", -1),
        ("linux.seccomp.syscalls.0.args.0.valueTwo", 1 << 64),
        ("linux.seccomp.syscalls.0.args.0.op", "SCMP_CMP"),
        ("linux.seccomp.syscalls.0.args.0", {"index": 0, "op": "SCMP_CMP_EQ"}),
        ("linux.seccomp.syscalls.0.errnoRet", 1 << 16),
        ("linux.timeOffsets.monotonic.secs", 1 << 64),
        ("linux.timeOffsets.monotonic.nanosecs", 10**9),
        ("linux.personality", {}),
        ("linux.resources.devices.0.access", "z"),
        ("linux.resources.devices.0.type", "z"),
        ("linux.maskedPaths.0", SURROGATE),
        ("mounts.0.type", SURROGATE),
        ("mounts.0.options", [SURROGATE]),
        ("annotations", {SURROGATE: "x"}),
        ("process.scheduler", {}),
        ("process.ioPriority", {}),
        ("process.scheduler.nice", 1 << 64),
        ("process.consoleSize.height", -1),
        ("process.args.0", SURROGATE),
        ("hooks.poststop.0.timeout", 10**10),
    ],
    ids=ascii,
)
def test_the_error_names_the_place(path: str, value: Any) -> None:
    spec = full()
    place: Any = spec
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for key in way:
        place = place[key]
    place[last] = value
    with pytest.raises(RuntimeFailure) as found:
        check(spec)
    place_of_it = re.sub(r"\.(\d+)", r"[\1]", path)
    assert str(found.value).startswith((place_of_it.rpartition(".")[0], place_of_it)), found.value


def test_bytes_of_the_command_line_are_no_half_characters() -> None:
    """`exec ID PROGRAM...` takes what the caller's shell gave it."""
    validate.check_process({"args": ["\udcff"], "env": ["A=\udcff"], "cwd": "/\udcff"})
    with pytest.raises(RuntimeFailure):
        validate.check_process({"args": ["x"], "cwd": "/", "apparmorProfile": "\udcff"})


def test_unknown_capabilities_are_taken_out() -> None:
    process = {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_X"], "effective": None}}
    assert validate.unknown_capabilities(process) == ["CAP_X"]
    assert process["capabilities"]["bounding"] == ["CAP_CHOWN"]


def test_the_label_of_mounts_is_an_option_of_those_that_take_one() -> None:
    spec = template.template(rootless=True)
    spec["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0:c1,c2"
    rootfs_more.label_mounts(spec)
    labelled = {entry["destination"]: entry["options"][-1] for entry in spec["mounts"] if "context=" in entry["options"][-1]}
    assert labelled == dict.fromkeys(("/dev", "/dev/pts", "/dev/shm"), 'context="system_u:object_r:container_file_t:s0:c1,c2"')
