"""What the kernel's log says of processes that a seccomp filter killed, where the user may read it. CLI process, for `why`."""

from __future__ import annotations

import os

from pyman.linux.seccomp import ARCHES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
else:
    from pyman.linux import cabi as ctypes

_MOST = 20_000  # records that are looked at


def denied_calls(since: float, until: float) -> list[str] | None:
    """Names of the system calls for which processes were killed between two moments; None if the log may not be read."""
    try:
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None  # kernel.dmesg_restrict
    found: list[str] = []
    try:
        for _ in range(_MOST):
            try:
                record = os.read(fd, 8192)
            except BrokenPipeError:
                continue  # overwritten while it was being read: the next one comes
            except OSError:
                break  # EAGAIN: that was the last
            call = call_of(record.decode("utf-8", "replace"), since, until)
            if call and call not in found:
                found.append(call)
    finally:
        os.close(fd)
    return found


def call_of(record: str, since: float, until: float) -> str:
    """The call that one record tells of; empty if it is about something else, or of another time."""
    if "type=1326 " not in record or " sig=31 " not in record:
        return ""
    stamp = record.partition("audit(")[2].partition(":")[0]
    fields = dict(word.split("=", 1) for word in record.split() if "=" in word)
    try:
        if not since <= float(stamp) <= until:
            return ""
        return _name(int(fields["arch"], 16), int(fields["syscall"]))
    except (ValueError, KeyError):
        return ""


def _name(arch: int, number: int) -> str:
    """The call's name by libseccomp, which knows the numbers of every architecture; the number without it."""
    token = next((value for value in ARCHES.values() if value == arch), 0)
    try:
        lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        return f"number {number}"
    if not token:
        return f"number {number}"
    resolve = lib.seccomp_syscall_resolve_num_arch
    resolve.restype, resolve.argtypes = ctypes.c_char_p, (ctypes.c_uint, ctypes.c_int)
    name = resolve(token, number)  # never freed: a few bytes, once
    return name.decode() if name else f"number {number}"
