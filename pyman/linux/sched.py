"""Scheduling of the calling process: policy, I/O priority, memory policy. Init and exec-init, when the spec asks for it."""

from __future__ import annotations

import os

from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
else:
    from pyman.linux import cabi as ctypes

_X86 = os.uname().machine == "x86_64"
NR_sched_setattr = 314 if _X86 else 274
NR_ioprio_set = 251 if _X86 else 30
NR_set_mempolicy = 238 if _X86 else 237


def sched_setattr(policy: int, flags: int, nice: int, priority: int, runtime: int, deadline: int, period: int) -> None:
    """sched_setattr(2); times in nanoseconds. OSError."""
    attributes = libc.u32s(48, policy) + libc.u64s(flags) + libc.u32s(nice & 0xFFFFFFFF, priority) + libc.u64s(runtime, deadline, period)
    if libc.libc.syscall(ctypes.c_long(NR_sched_setattr), ctypes.c_int(0), ctypes.c_char_p(attributes), ctypes.c_uint(0)) < 0:
        libc.raise_errno("sched_setattr")


def ioprio_set(kind: int, level: int) -> None:
    """ioprio_set(2) for the caller. OSError."""
    if libc.libc.syscall(ctypes.c_long(NR_ioprio_set), ctypes.c_int(1), ctypes.c_int(0), ctypes.c_int(kind << 13 | level)) < 0:
        libc.raise_errno("ioprio_set")


def set_mempolicy(mode: int, nodes: list[int]) -> None:
    """set_mempolicy(2); mode with its flags. OSError."""
    count = (max(nodes, default=0) // 64 + 1) * 64
    words = [sum(1 << (node - base) for node in nodes if base <= node < base + 64) for base in range(0, count, 64)]
    mask = ctypes.c_char_p(libc.u64s(*words)) if nodes else ctypes.c_char_p(None)
    # maxnode counts one more than the bits, by an old habit of this call
    if libc.libc.syscall(ctypes.c_long(NR_set_mempolicy), ctypes.c_int(mode), mask, ctypes.c_ulong(count + 1 if nodes else 0)) < 0:
        libc.raise_errno("set_mempolicy")
