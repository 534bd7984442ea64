"""The one libc handle and the kernel calls Python does not wrap. Any process, init included.

Wrappers carry the kernel's name, take str or int, return int or None, and raise OSError with errno and path.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from typing import Any
else:
    from pyman.linux import cabi as ctypes

c_int, c_uint, c_ulong, c_long, c_char_p, c_void_p, c_size_t = (
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_ulong,
    ctypes.c_long,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
)

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = c_long
libc.mount.argtypes = (c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)
libc.umount2.argtypes = (c_char_p, c_int)
libc.unshare.argtypes = (c_int,)
libc.setns.argtypes = (c_int, c_int)
libc.prctl.argtypes = (c_int, c_ulong, c_ulong, c_ulong, c_ulong)

# x86_64 and aarch64 share these numbers except where the table says otherwise.
_MACHINE = os.uname().machine
_X86 = _MACHINE == "x86_64"
NR_pivot_root = 155 if _X86 else 41
NR_clone = 56 if _X86 else 220
NR_capset = 126 if _X86 else 91
NR_keyctl = 250 if _X86 else 219
NR_open_tree = 428
NR_move_mount = 429
NR_pidfd_open = 434
NR_pidfd_send_signal = 424
NR_close_range = 436
NR_openat2 = 437
NR_mount_setattr = 442
NR_clone3 = 435

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

# mount(2)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_REMOUNT = 1, 2, 4, 8, 16, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_MOVE, MS_REC, MS_SILENT = 1024, 2048, 4096, 8192, 16384, 32768
MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20
MS_RELATIME, MS_STRICTATIME = 1 << 21, 1 << 24
MNT_DETACH = 2

# clone(2), unshare(2), setns(2)
CLONE_NEWTIME = 0x80
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_PARENT = 0x8000
CLONE_INTO_CGROUP = 1 << 33

CLOSE_RANGE_CLOEXEC = 4
ENOSYS = 38

# openat2(2)
RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = 1, 2, 4, 8, 16
O_PATH = os.O_PATH

# prctl(2)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NAME = 1, 4, 8, 15
PR_SET_SECCOMP, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_SECUREBITS = 22, 23, 24, 28
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47


def raise_errno(call: str, path: str = "") -> None:
    """Raise OSError for the errno the last call left; the text names the call."""
    number = ctypes.get_errno()
    raise OSError(number, f"{call}: {os.strerror(number)}", path or None)


def _b(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def mount(source: str | None, target: str, fstype: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    if libc.mount(_b(source), _b(target), _b(fstype), flags, _b(data)) < 0:
        raise_errno("mount", target)


def umount2(target: str, flags: int = MNT_DETACH) -> None:
    """umount2(2); lazily unless told otherwise."""
    if libc.umount2(_b(target), flags) < 0:
        raise_errno("umount2", target)


def unshare(flags: int) -> None:
    """unshare(2)."""
    if libc.unshare(flags) < 0:
        raise_errno("unshare")


def setns(fd: int, nstype: int = 0) -> None:
    """setns(2) on a namespace descriptor or a pidfd."""
    if libc.setns(fd, nstype) < 0:
        raise_errno("setns")


def prctl(option: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
    """prctl(2) with integer arguments."""
    result = libc.prctl(option, a, b, c, d)
    if result < 0:
        raise_errno("prctl")
    return int(result)


def set_process_name(name: str) -> None:
    """PR_SET_NAME: at most 15 bytes are kept, shown by ps as the command's name."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    libc.prctl(PR_SET_NAME, ctypes.addressof(buffer), 0, 0, 0)


def arguments() -> Any:
    """The memory that /proc/PID/cmdline shows, as an array of c_char; None if it is not where it is taken to be."""
    words = b"".join(os.fsencode(word) + b"\0" for word in sys.orig_argv)
    try:
        first = c_void_p.in_dll(libc, "program_invocation_name").value
    except ValueError:
        return None  # not a libc that has it
    memory = (ctypes.c_char * len(words)).from_address(first) if first else None
    return memory if memory is not None and memory.raw == words else None


def reap_children() -> None:
    """Let the kernel reap children as they end (SA_NOCLDWAIT), and tell nothing of those that stop; SIGCHLD keeps its default action."""
    # struct sigaction of glibc and musl on both machines: the handler, 128 bytes of mask, the flags, the restorer.
    action = ctypes.create_string_buffer(bytes(136) + (1 | 2).to_bytes(4, "little") + bytes(12), 152)
    if libc.sigaction(17, action, None) < 0:
        raise_errno("sigaction")


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    if libc.syscall(c_long(NR_pivot_root), c_char_p(_b(new_root)), c_char_p(_b(put_old))) < 0:
        raise_errno("pivot_root", new_root)


def u64s(*values: int) -> bytes:
    """A struct of 64 bit fields. (ctypes.Structure loads half of ctypes since Python 3.14, to compute a layout.)"""
    return b"".join(value.to_bytes(8, sys.byteorder) for value in values)


def u32s(*values: int) -> bytes:
    """A struct of 32 bit fields."""
    return b"".join(value.to_bytes(4, sys.byteorder) for value in values)


def openat2(dirfd: int, path: str, flags: int, mode: int = 0, resolve: int = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) -> int:
    """openat2(2): a descriptor (close-on-exec), the path resolved by the kernel inside `dirfd`."""
    how = c_char_p(u64s(flags | os.O_CLOEXEC, mode, resolve))  # struct open_how
    while True:
        fd = libc.syscall(c_long(NR_openat2), c_int(dirfd), c_char_p(_b(path)), how, c_size_t(24))
        if fd >= 0:
            return int(fd)
        # EAGAIN: a rename elsewhere raced with the look-up of "..": openat2(2) asks callers to try again.
        if ctypes.get_errno() != 11:
            raise_errno("openat2", path)


OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH = 4, 0x40


def open_tree(dirfd: int, path: str, flags: int) -> int:
    """open_tree(2): a descriptor of a (detached, with OPEN_TREE_CLONE) mount; close-on-exec."""
    fd = libc.syscall(c_long(NR_open_tree), c_int(dirfd), c_char_p(_b(path)), c_uint(flags | os.O_CLOEXEC))
    if fd < 0:
        raise_errno("open_tree", path)
    return int(fd)


def move_mount(
    from_fd: int, to_fd: int, from_path: str = "", to_path: str = "", flags: int = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
) -> None:
    """move_mount(2), by descriptors unless paths are given."""
    if libc.syscall(c_long(NR_move_mount), c_int(from_fd), c_char_p(_b(from_path)), c_int(to_fd), c_char_p(_b(to_path)), c_uint(flags)) < 0:
        raise_errno("move_mount", to_path)


def rename_new(old_fd: int, old: str, new_fd: int, new: str) -> None:
    """renameat2(2) with RENAME_NOREPLACE: FileExistsError rather than replacing something."""
    if libc.renameat2(c_int(old_fd), c_char_p(_b(old)), c_int(new_fd), c_char_p(_b(new)), c_uint(1)) < 0:
        raise_errno("renameat2", new)


def mount_setattr(
    dirfd: int, path: str, flags: int, attr_set: int = 0, attr_clr: int = 0, propagation: int = 0, userns_fd: int = 0
) -> None:
    """mount_setattr(2). Without it (Linux before 5.12) one mount that lies in the tree is remounted; else OSError with ENOSYS."""
    attr = c_char_p(u64s(attr_set, attr_clr, propagation, userns_fd))  # struct mount_attr
    if libc.syscall(c_long(NR_mount_setattr), c_int(dirfd), c_char_p(_b(path)), c_uint(flags), attr, c_size_t(32)) < 0:
        number = ctypes.get_errno()
        alone = not (flags & AT_RECURSIVE or propagation or userns_fd)
        if number == ENOSYS and alone and _remount(path or f"/proc/self/fd/{dirfd}", attr_set, attr_clr):
            return
        raise OSError(number, f"mount_setattr: {os.strerror(number)}", path or None)


def _remount(path: str, attr_set: int, attr_clr: int) -> bool:
    """The flags of one mount by mount(2), those it has kept. False for a mount that lies nowhere yet."""
    now = os.statvfs(path).f_flag  # MS_RDONLY to MS_NODIRATIME have the same bits there
    flags = now & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME) | (MS_RELATIME if now & 4096 else 0)
    flags = flags & ~(attr_clr & 0xF) | attr_set & 0xF
    for bit, flag in ((0x10, MS_NOATIME), (0x20, MS_STRICTATIME), (0x80, MS_NODIRATIME), (0x200000, 256)):
        flags = flags & ~(flag if attr_clr & bit else 0) | (flag if attr_set & bit else 0)
    try:
        mount(None, path, None, MS_REMOUNT | MS_BIND | flags)
    except OSError as err:
        if err.errno == 22:
            return False
        raise
    return True


def pidfd_open(pid: int) -> int:
    """pidfd_open(2): readable once the process has ended."""
    fd = libc.syscall(c_long(NR_pidfd_open), c_int(pid), c_uint(0))
    if fd < 0:
        raise_errno("pidfd_open")
    return int(fd)


def pidfd_send_signal(pidfd: int, signum: int) -> None:
    """pidfd_send_signal(2)."""
    if libc.syscall(c_long(NR_pidfd_send_signal), c_int(pidfd), c_int(signum), c_void_p(None), c_uint(0)) < 0:
        raise_errno("pidfd_send_signal")


def inotify_init() -> int:
    """inotify_init1(2): a descriptor, non-blocking and close-on-exec; -1 where the user has too many."""
    return int(libc.inotify_init1(c_int(os.O_CLOEXEC | os.O_NONBLOCK)))


def inotify_add_watch(fd: int, path: str, mask: int) -> bool:
    """inotify_add_watch(2); false if it cannot be had."""
    return bool(libc.inotify_add_watch(c_int(fd), c_char_p(_b(path)), c_uint(mask)) >= 0)


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """close_range(2) (Linux 5.9); flags 4 (CLOSE_RANGE_CLOEXEC) marks instead of closing."""
    if libc.syscall(c_long(NR_close_range), c_uint(first), c_uint(last), c_uint(flags)) < 0:
        raise_errno("close_range")


def personality(persona: int) -> None:
    """personality(2)."""
    if libc.personality(c_ulong(persona)) < 0:
        raise_errno("personality")


def setrlimit(resource: int, soft: int, hard: int) -> None:
    """setrlimit(2); -1 is no limit."""
    if libc.setrlimit(c_int(resource), c_char_p(u64s(soft & (1 << 64) - 1, hard & (1 << 64) - 1))) < 0:
        raise_errno("setrlimit")


def getrlimit(resource: int) -> tuple[int, int]:
    """getrlimit(2): (soft, hard), -1 for no limit."""
    buffer = ctypes.create_string_buffer(bytes(16), 16)
    if libc.getrlimit(c_int(resource), buffer) < 0:
        raise_errno("getrlimit")
    soft, hard = (int.from_bytes(buffer.raw[at : at + 8], sys.byteorder) for at in (0, 8))
    return (-1 if soft >> 63 else soft), (-1 if hard >> 63 else hard)


def setdomainname(name: str) -> None:
    """setdomainname(2) of this UTS namespace."""
    data = os.fsencode(name)
    if libc.setdomainname(c_char_p(data), c_size_t(len(data))) < 0:
        raise_errno("setdomainname")


def new_session_keyring() -> None:
    """keyctl(KEYCTL_JOIN_SESSION_KEYRING): the caller's keys stay outside. Without it (quota, seccomp) nothing is lost."""
    libc.syscall(c_long(NR_keyctl), c_long(1), c_void_p(None), c_long(0), c_long(0), c_long(0))
