"""Seccomp filters: compiled by libseccomp from the OCI description, cached by content, loaded by one call.

The compiled program depends on the description, the architecture and libseccomp only, so the hot path reads it from
the cache directory (private, owner checked) and libseccomp is not even opened. Process C compiles, init loads.
"""

from __future__ import annotations

import os
import sys

from pyman import paths
from pyman.errors import MissingProgram, PymanError, RuntimeFailure
from pyman.linux import libc
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from typing import Any
else:
    from pyman.linux import cabi as ctypes

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
ARCHES = {
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_ARM": 0x40000028,
    "SCMP_ARCH_MIPS": 0x00000008,
    "SCMP_ARCH_MIPS64": 0x80000008,
    "SCMP_ARCH_MIPS64N32": 0xA0000008,
    "SCMP_ARCH_MIPSEL": 0x40000008,
    "SCMP_ARCH_MIPSEL64": 0xC0000008,
    "SCMP_ARCH_MIPSEL64N32": 0xE0000008,
    "SCMP_ARCH_PPC": 0x00000014,
    "SCMP_ARCH_PPC64": 0x80000015,
    "SCMP_ARCH_PPC64LE": 0xC0000015,
    "SCMP_ARCH_S390": 0x00000016,
    "SCMP_ARCH_S390X": 0x80000016,
    "SCMP_ARCH_PARISC": 0x0000000F,
    "SCMP_ARCH_PARISC64": 0x8000000F,
    "SCMP_ARCH_RISCV64": 0xC00000F3,
    "SCMP_ARCH_LOONGARCH64": 0xC0000102,
    "SCMP_ARCH_M68K": 0x00000004,
    "SCMP_ARCH_SH": 0x4000002A,
    "SCMP_ARCH_SHEB": 0x0000002A,
}


_LARGEST = 1 << 18  # bytes of a cached filter: the kernel takes 32 KiB


def program(description: dict[str, Any]) -> bytes:
    """The BPF program of an OCI linux.seccomp object, from the cache or freshly compiled.

    MissingProgram without libseccomp; RuntimeFailure for a description it refuses.
    """
    import _blake2  # the C half of hashlib

    text = fastjson.dumps(description)
    key = _blake2.blake2b(f"2 {os.uname().machine} {text}".encode(), digest_size=24).hexdigest()
    directory = os.path.join(paths.cachedir(), "seccomp")
    path = os.path.join(directory, key + ".bpf")
    cached = _read_cached(path, key)
    if cached is not None:
        return cached
    data = _compile(description)
    try:
        paths.ensure_private(directory)
        temp = f"{path}.{os.getpid()}"
        with open(temp, "wb") as file:
            file.write(_blake2.blake2b(data, digest_size=16, key=key.encode()).digest() + data)
        os.rename(temp, path)
    except (OSError, PymanError):
        pass  # a full disk costs time at the next start, nothing else
    return data


def _read_cached(path: str, key: str) -> bytes | None:
    """The filter in a file of the cache; None if it is damaged, another description's, or no file of ours at all."""
    import _blake2

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        info = os.fstat(fd)
        if info.st_mode & 0o170022 != 0o100000 or info.st_uid != os.geteuid() or info.st_size > _LARGEST:  # a file that others do not write
            return None
        data = os.read(fd, _LARGEST)
    finally:
        os.close(fd)
    body = data[16:]
    if not body or len(body) % 8 or _blake2.blake2b(body, digest_size=16, key=key.encode()).digest() != data[:16]:
        return None
    return body


def _compile(description: dict[str, Any]) -> bytes:
    try:
        lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError as err:
        raise MissingProgram(
            "cannot compile the seccomp profile",
            "the library libseccomp.so.2 is not installed",
            "as root: apt-get install libseccomp2",
            stage="seccomp",
        ) from err
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = (ctypes.c_uint32,)
    lib.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    lib.seccomp_rule_add_array.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
    lib.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    lib.seccomp_release.argtypes = (ctypes.c_void_p,)
    lib.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    lib.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    default = _action(description.get("defaultAction", "SCMP_ACT_ERRNO"), description.get("defaultErrnoRet"))
    ctx = lib.seccomp_init(default)
    if not ctx:
        raise RuntimeFailure("cannot compile the seccomp profile", "libseccomp refused its default action", stage="seccomp")
    try:
        lib.seccomp_attr_set(ctx, 3, 0)  # SCMP_FLTATR_CTL_NNP: init decides about no_new_privs itself
        lib.seccomp_attr_set(ctx, 8, 2)  # SCMP_FLTATR_CTL_OPTIMIZE: binary tree, fewer instructions per call
        for arch in description.get("architectures") or []:
            if arch not in ARCHES:
                raise RuntimeFailure("cannot compile the seccomp profile", f"unknown architecture {arch!r}", stage="seccomp")
            lib.seccomp_arch_add(ctx, ARCHES[arch])  # -EEXIST for the native one
        for rule in description.get("syscalls") or []:
            _add_rule(lib, ctx, rule, default, bool(description.get("failUnknown")))
        fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        with open(fd, "r+b") as file:
            if lib.seccomp_export_bpf(ctx, fd) < 0:
                raise RuntimeFailure("cannot compile the seccomp profile", "libseccomp could not write the program", stage="seccomp")
            file.seek(0)
            return file.read()
    finally:
        lib.seccomp_release(ctx)


def _action(name: str, errno_ret: object) -> int:
    if name not in ACTIONS:
        raise RuntimeFailure(
            "cannot compile the seccomp profile",
            f"action {name!r} is not supported",
            "use SCMP_ACT_ALLOW, _ERRNO, _KILL_PROCESS, _LOG, _NOTIFY, _TRACE or _TRAP",
            stage="seccomp",
        )
    value = ACTIONS[name]
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        value |= errno_ret if isinstance(errno_ret, int) else 1
    return value


def _add_rule(lib: Any, ctx: int, rule: dict[str, Any], default: int, strict: bool) -> None:
    action = _action(rule.get("action", ""), rule.get("errnoRet"))
    if action == default:
        return  # libseccomp refuses rules that say what the default says
    # struct scmp_arg_cmp: unsigned arg, enum op, two 64 bit values
    for compare in rule.get("args") or []:
        if compare.get("op") not in OPERATORS or not 0 <= compare.get("index", -1) < 6:
            raise RuntimeFailure("cannot compile the seccomp profile", f"comparison {compare} is not understood", stage="seccomp")
    compares = [libc.u32s(a["index"], OPERATORS[a["op"]]) + libc.u64s(a["value"], a.get("valueTwo", 0)) for a in rule.get("args") or []]
    array = ctypes.create_string_buffer(b"".join(compares)) if compares else None
    for name in rule.get("names") or []:
        number = lib.seccomp_syscall_resolve_name(str(name).encode())
        if number == -1:  # a call this libseccomp does not know: its default action applies
            if strict:
                raise RuntimeFailure("cannot compile the seccomp profile", f"unknown system call {name!r}", stage="seccomp")
            continue
        result = lib.seccomp_rule_add_array(ctx, action, number, len(compares), ctypes.cast(array, ctypes.c_void_p) if array else None)
        if result < 0 and result != -17:
            raise RuntimeFailure("cannot compile the seccomp profile", f"rule for {name}: {os.strerror(-result)}", stage="seccomp")


def load(bpf: bytes) -> None:
    """Install a compiled filter for this process (needs no_new_privs or CAP_SYS_ADMIN)."""
    buffer = ctypes.create_string_buffer(bpf, len(bpf))
    # struct sock_fprog: unsigned short len, padding, pointer
    length = (len(bpf) // 8).to_bytes(2, sys.byteorder)
    fprog = ctypes.create_string_buffer(length + bytes(6) + libc.u64s(ctypes.addressof(buffer)))
    libc.prctl(libc.PR_SET_SECCOMP, 2, ctypes.addressof(fprog))


FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
_NEW_LISTENER, _TSYNC_ESRCH = 8, 16
_NR_SECCOMP = 317 if os.uname().machine == "x86_64" else 277


def notifies(description: dict[str, Any]) -> bool:
    """Whether a linux.seccomp object names a listener, or has calls that one decides."""
    return bool(description.get("listenerPath")) or any(
        rule.get("action") == "SCMP_ACT_NOTIFY" for rule in description.get("syscalls") or []
    )


def load_with(bpf: bytes, description: dict[str, Any], listener: bool) -> int:
    """Install a filter with the flags of its description; a notification descriptor with `listener`, else -1. RuntimeFailure, OSError."""
    flags = _NEW_LISTENER if listener else 0
    for name in description.get("flags") or []:
        if name not in FLAGS:
            raise RuntimeFailure("cannot load the seccomp filter", f"unknown flag {name!r}; known are {', '.join(FLAGS)}", stage="seccomp")
        flags |= FLAGS[name]
    if not listener:
        flags &= ~FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]  # about what a listener decides: the kernel refuses it without one
    if listener and flags & 1:
        flags |= _TSYNC_ESRCH  # both answer with a number: this one makes the other an error
    if not flags:
        load(bpf)
        return -1
    buffer = ctypes.create_string_buffer(bpf, len(bpf))
    fprog = (len(bpf) // 8).to_bytes(2, sys.byteorder) + bytes(6) + libc.u64s(ctypes.addressof(buffer))
    result = libc.libc.syscall(ctypes.c_long(_NR_SECCOMP), ctypes.c_uint(1), ctypes.c_uint(flags), ctypes.c_char_p(fprog))
    if result < 0:
        libc.raise_errno("seccomp")
    return int(result) if listener else -1
