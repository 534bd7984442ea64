"""linux.resources.devices as a BPF program on the cgroup (cgroup v2 has no files for it). Root of the host only.

The rules are read from the last to the first, the first match decides, nothing matching means no: one forward pass.
"""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure
from pyman.linux import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR
_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_MKNOD, _READ, _WRITE
_LOAD, _AND, _RSH, _MOV = 0x61, 0x54, 0x74, 0xBC  # 32 bit: ldx, and imm, rsh imm, mov reg
_JNE, _JNE_REG, _MOV_IMM, _EXIT = 0x55, 0x5D, 0xB7, 0x95
# Always allowed, as the spec's default devices need it: null zero full tty urandom random, ptys; mknod of anything.
DEFAULTS: list[dict[str, Any]] = [
    {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
    for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, -1))
] + [{"allow": True, "type": kind, "major": -1, "minor": -1, "access": "m"} for kind in "bc"]


def program(rules: list[dict[str, Any]]) -> bytes:
    """The instructions (8 bytes each) for the rules, with the defaults after them. ValueError for a rule that makes no sense."""
    code = [
        _ins(_LOAD, 2, 1, 0),  # r2 = access_type: kind in the low half, access in the high half
        _ins(_MOV, 3, 2),
        _ins(_AND, 2, imm=0xFFFF),
        _ins(_RSH, 3, imm=16),
        _ins(_LOAD, 4, 1, 4),  # r4 = major
        _ins(_LOAD, 5, 1, 8),  # r5 = minor
    ]
    for rule in reversed([*rules, *DEFAULTS]):
        code += _rule(rule)
    return b"".join([*code, _ins(_MOV_IMM, 0, imm=0), _ins(_EXIT)])


def _ins(opcode: int, target: int = 0, source: int = 0, offset: int = 0, imm: int = 0) -> bytes:
    return bytes((opcode, source << 4 | target)) + offset.to_bytes(2, "little", signed=True) + (imm & 0xFFFFFFFF).to_bytes(4, "little")


def _rule(rule: dict[str, Any]) -> list[bytes]:
    kind = str(rule.get("type") or "a")
    if kind not in ("a", "b", "c") or set(rule.get("access") or "rwm") - set(_ACCESS):
        raise ValueError(f"device rule {rule} is not understood")
    access = sum(_ACCESS[letter] for letter in set(rule.get("access") or "rwm"))
    tests: list[tuple[int, int, int, int]] = []  # opcode, register, register, immediate: jump past the rule when true
    body: list[bytes] = []
    if kind != "a":
        tests.append((_JNE, 2, 0, _KINDS[kind]))
    if access != 7:
        tests.append((_JNE_REG, 1, 3, 0))  # r1 = r3 & access differs from what is asked: something more is asked
    for register, key in ((4, "major"), (5, "minor")):
        value = rule.get(key)
        if value is not None and value >= 0 and kind != "a":
            tests.append((_JNE, register, 0, value))
    length = len(tests) + 2 + (2 if access != 7 else 0)
    for opcode, first, second, value in tests:
        if opcode == _JNE_REG:
            body += [_ins(_MOV, 1, 3), _ins(_AND, 1, imm=access)]
        body.append(_ins(opcode, first, second, length - len(body) - 1, value))
    return [*body, _ins(_MOV_IMM, 0, imm=int(bool(rule.get("allow")))), _ins(_EXIT)]


def attach(directory: str, rules: list[dict[str, Any]]) -> list[str]:
    """Put the rules on a cgroup. Returns notes: without the right to load BPF programs, permissions of the nodes decide alone. RuntimeFailure."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        bpf.attach_device_program(fd, program(rules))
    except PermissionError:
        return ["device rules were not set: loading a BPF program needs the host's CAP_BPF; nodes that are not there cannot be used anyway"]
    except OSError as err:
        why = f"this kernel takes no BPF program for devices: {err.strerror}"
        raise RuntimeFailure("cannot set linux.resources.devices", why, stage="cgroup", errno=err.errno or 0) from err
    finally:
        os.close(fd)
    return []
