"""linux.resources to cgroup v2 files, and device rules to BPF: pure functions."""

from __future__ import annotations

from typing import Any

import pytest

from pyman.errors import RuntimeFailure
from pyman.runtime import cgroup_devices
from pyman.runtime.cgroup_limits import io_weight, settings, weight_of_shares


def lines(resources: dict[str, Any]) -> list[str]:
    return [repr(setting) for setting in settings(resources)]


def test_shares_become_weights_and_defaults_meet() -> None:
    assert [weight_of_shares(value) for value in (0, 1, 2, 1024, 262144, 1 << 30)] == [0, 1, 1, 100, 10000, 10000]
    weights = [weight_of_shares(value) for value in range(2, 262145, 511)]
    assert weights == sorted(weights) and min(weights) == 1 and max(weights) <= 10000


def test_io_weights_keep_the_ends_of_the_range() -> None:
    assert (io_weight(10), io_weight(1000)) == (1, 10000)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, []),
        ({"cpu": {"shares": 1024, "quota": 50000, "period": 100000}}, ["cpu.weight=100", "cpu.max=50000 100000"]),
        ({"cpu": {"quota": -1}}, ["cpu.max=max 100000"]),
        ({"cpu": {"idle": 1, "shares": 512}}, ["cpu.idle=1"]),
        ({"cpu": {"cpus": "0-1", "mems": "0", "burst": 10}}, ["cpu.max.burst=10", "cpuset.cpus=0-1", "cpuset.mems=0"]),
        ({"memory": {"limit": 100, "swap": 300, "reservation": 50}}, ["memory.swap.max=200", "memory.max=100", "memory.low=50"]),
        ({"memory": {"limit": -1}}, ["memory.swap.max=max", "memory.max=max"]),
        ({"memory": {"limit": 100, "swap": -1}}, ["memory.swap.max=max", "memory.max=100"]),
        ({"pids": {"limit": 7}}, ["pids.max=7"]),
        ({"pids": {"limit": -1}}, ["pids.max=max"]),
        ({"pids": {"limit": 0}}, []),
        ({"blockIO": {"weight": 10}}, ["io.bfq.weight=10", "io.weight=default 1"]),
        ({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 5}]}}, ["io.max=8:0 rbps=5"]),
        ({"blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}]}}, ["io.max=8:0 wiops=max"]),
        ({"blockIO": {"weightDevice": [{"major": 8, "minor": 16, "weight": 500}]}}, ["io.bfq.weight=8:16 500"]),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 9}]}, ["hugetlb.2MB.max=9", "hugetlb.2MB.rsvd.max=9"]),
        ({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 4}}}, ["rdma.max=mlx5_1 hca_handle=3 hca_object=4"]),
        ({"unified": {"memory.high": "1000", "cpu.max": "max"}}, ["memory.high=1000", "cpu.max=max"]),
    ],
)
def test_resources_become_files(resources: dict[str, Any], expected: list[str]) -> None:
    assert lines(resources) == expected


@pytest.mark.parametrize(
    "resources",
    [
        {"memory": {"swap": 100}},
        {"memory": {"limit": 100, "swap": 50}},
        {"memory": {"disableOOMKiller": True}},
        {"memory": {"swappiness": 10}},
        {"memory": {"limit": "1g"}},
        {"cpu": {"realtimeRuntime": 5}},
        {"cpu": {"shares": True}},
        {"blockIO": {"weight": 5}},
        {"blockIO": {"leafWeight": 50}},
        {"hugepageLimits": [{"pageSize": "../x", "limit": 1}]},
        {"unified": {"cgroup.procs": "1"}},
        {"unified": {"../memory.max": "1"}},
        {"unified": {"memory": "1"}},
        {"network": {"classID": 1}},
        {"cpu": 7},
    ],
)
def test_what_cannot_be_limited_is_an_error(resources: dict[str, Any]) -> None:
    with pytest.raises(RuntimeFailure, match=r"linux\.resources\."):
        settings(resources)


def allows(rules: list[dict[str, Any]], kind: str, major: int, minor: int, access: str) -> bool:
    """Run the program as the kernel would: the eight instructions it is made of."""
    code = cgroup_devices.program(rules)
    letters = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = [{"b": 1, "c": 2}[kind] | letters << 16, major, minor]
    registers = [0] * 11
    at = 0
    while True:
        opcode, pair = code[at * 8], code[at * 8 + 1]
        target, source = pair & 15, pair >> 4
        offset = int.from_bytes(code[at * 8 + 2 : at * 8 + 4], "little", signed=True)
        value = int.from_bytes(code[at * 8 + 4 : at * 8 + 8], "little")
        at += 1
        if opcode == 0x61:
            registers[target] = context[offset // 4]
        elif opcode == 0x54:
            registers[target] &= value
        elif opcode == 0x74:
            registers[target] >>= value
        elif opcode == 0xBC:
            registers[target] = registers[source]
        elif opcode == 0xB7:
            registers[target] = value
        elif opcode in (0x55, 0x5D):
            at += offset if registers[target] != (value if opcode == 0x55 else registers[source]) else 0
        else:
            assert opcode == 0x95
            return registers[0] == 1


def test_the_last_device_rule_that_fits_decides() -> None:
    deny = {"allow": False, "access": "rwm"}
    rules = [
        deny,
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        {"allow": True, "type": "b", "major": 8, "access": "r"},
    ]
    assert allows(rules, "c", 10, 229, "rw") and allows(rules, "c", 10, 229, "r")
    assert not allows(rules, "c", 10, 200, "r")
    assert allows(rules, "b", 8, 17, "r") and not allows(rules, "b", 8, 17, "w") and not allows(rules, "b", 9, 0, "r")
    rules.append({"allow": False, "type": "c", "major": 10, "minor": 229, "access": "w"})
    assert not allows(rules, "c", 10, 229, "w") and allows(rules, "c", 10, 229, "r")


def test_default_devices_are_allowed_whatever_the_rules_say() -> None:
    rules = [{"allow": False, "access": "rwm"}]
    assert allows(rules, "c", 1, 3, "rw") and allows(rules, "c", 136, 5, "rw") and allows(rules, "b", 7, 0, "m")
    assert not allows(rules, "c", 1, 1, "r")


def test_a_senseless_device_rule_is_an_error() -> None:
    with pytest.raises(ValueError, match="not understood"):
        cgroup_devices.program([{"allow": True, "type": "x"}])
