"""Damaged configurations: every value of a full spec replaced by values of other kinds gives a RuntimeFailure or is accepted."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from pyman.errors import RuntimeFailure
from pyman.runtime import hooks, rootfs_more, template, tuning, validate


def full() -> dict[str, Any]:
    spec = template.template(rootless=True)
    spec["process"].update(
        scheduler={"policy": "SCHED_BATCH", "nice": 1, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 3},
        execCPUAffinity={"initial": "0-1", "final": "0"},
    )
    spec["hooks"] = {"poststop": [{"path": "/x", "args": ["x"], "env": ["A=b"], "timeout": 3}]}
    spec["annotations"] = {"a": "b"}
    spec["linux"].update(
        resources={"memory": {"limit": 1}, "devices": [{"allow": False, "access": "rwm"}], "unified": {"memory.high": "1"}},
        sysctl={"kernel.msgmax": "1"},
        devices=[{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}],
        personality={"domain": "LINUX"},
        memoryPolicy={"mode": "MPOL_BIND", "nodes": "0"},
        seccomp={
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}],
        },
    )
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
