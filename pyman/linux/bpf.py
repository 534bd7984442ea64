"""bpf(2): the device program of a cgroup. The runtime program, with the host's privileges only."""

from __future__ import annotations

import os

from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
else:
    from pyman.linux import cabi as ctypes

NR_bpf = 321 if os.uname().machine == "x86_64" else 280
_PROG_LOAD, _PROG_ATTACH = 5, 8
_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI = 15, 6, 2


def _bpf(command: int, attributes: bytes) -> int:
    result = libc.libc.syscall(ctypes.c_long(NR_bpf), ctypes.c_int(command), ctypes.c_char_p(attributes), ctypes.c_size_t(len(attributes)))
    if result < 0:
        libc.raise_errno("bpf")
    return int(result)


def attach_device_program(cgroup_fd: int, code: bytes) -> None:
    """Load a BPF_PROG_TYPE_CGROUP_DEVICE program and attach it. OSError; PermissionError without CAP_BPF and CAP_SYS_ADMIN."""
    buffer = ctypes.create_string_buffer(code, len(code))
    license_text = ctypes.create_string_buffer(b"Apache-2.0")
    # union bpf_attr for BPF_PROG_LOAD: type, instruction count, instructions, licence
    attributes = (
        libc.u32s(_TYPE_CGROUP_DEVICE, len(code) // 8) + libc.u64s(ctypes.addressof(buffer), ctypes.addressof(license_text)) + bytes(96)
    )
    fd = _bpf(_PROG_LOAD, attributes)
    try:
        _bpf(_PROG_ATTACH, libc.u32s(cgroup_fd, fd, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI) + bytes(112))
    finally:
        os.close(fd)
