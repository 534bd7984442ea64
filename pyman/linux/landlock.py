"""Landlock (landlock(7), Linux 5.13): take file-system rights away from this process for good. Unpack workers.

Used on top of what confines a worker already; a kernel without it confines a little less.
"""

from __future__ import annotations

import os

from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
else:
    from pyman.linux import cabi as ctypes

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_READ = _READ_FILE | _READ_DIR
_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14  # rights a rule for a file may have: also TRUNCATE
# access rights the kernel knows, by ABI version: 13 at first, then REFER, TRUNCATE, IOCTL_DEV
_BITS = {1: 13, 2: 14, 3: 15, 4: 15}


def abi() -> int:
    """The kernel's Landlock version; 0 if there is none or it is switched off."""
    version = libc.libc.syscall(ctypes.c_long(_CREATE), ctypes.c_void_p(None), ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(0, int(version))


def restrict(read: list[str], write: list[str]) -> bool:
    """Allow reading below `read`, everything but executing below `write`, nothing else; false without Landlock.

    The caller has set no_new_privs or has CAP_SYS_ADMIN. Paths that do not exist are left out. OSError.
    """
    version = abi()
    if not version:
        return False
    handled = (1 << _BITS.get(version, 16)) - 1
    attribute = libc.u64s(handled)
    ruleset = int(libc.libc.syscall(ctypes.c_long(_CREATE), ctypes.c_char_p(attribute), ctypes.c_size_t(8), ctypes.c_uint(0)))
    if ruleset < 0:
        libc.raise_errno("landlock_create_ruleset")
    try:
        for paths, access in ((read, _READ), (write, handled & ~_EXECUTE)):
            for path in paths:
                _allow(ruleset, path, access & handled)
        if libc.libc.syscall(ctypes.c_long(_RESTRICT), ctypes.c_int(ruleset), ctypes.c_uint(0)) < 0:
            libc.raise_errno("landlock_restrict_self")
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            access &= _FILE
        rule = libc.u64s(access) + libc.u32s(fd)  # struct landlock_path_beneath_attr, packed
        if libc.libc.syscall(ctypes.c_long(_ADD), ctypes.c_int(ruleset), ctypes.c_int(1), ctypes.c_char_p(rule), ctypes.c_uint(0)) < 0:
            libc.raise_errno("landlock_add_rule", path)
    finally:
        os.close(fd)
