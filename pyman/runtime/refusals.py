"""Why the kernel did not execute the user's program: interpreter, format, permission; and what a step was about that it refused. Init and exec-init.

They load this before they need it.
"""

from __future__ import annotations

import errno
import os

from pyman.errors import CannotInvoke, CommandNotFound, RuntimeFailure
from pyman.linux import caps, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyman.runtime.plan import Step

_ARCH_NAMES = {0x3E: "x86-64", 0xB7: "arm64", 0x28: "arm", 0x03: "x86", 0xF3: "riscv64", 0x15: "ppc64", 0x16: "s390x"}
_HANDLERS = {0x3E: "x86_64", 0xB7: "aarch64", 0x28: "arm", 0x03: "i386", 0xF3: "riscv64", 0x15: "ppc64le", 0x16: "s390x"}
_WORDS = {"i686": "i386", "armv7l": "arm", "armv8l": "arm"}  # uname's machine, where it has another name
_MOST_INTERPRETERS = 5  # scripts whose interpreters are scripts; the kernel goes no further
_ELF_HEADER = 64  # bytes, of a 64-bit program

# Operations of a plan (runtime/plan.py) whose own errors are the kernel's bare words; {0} is the first argument.
_PURPOSES = {
    "hostname": "set the host name {0!r}",
    "domainname": "set the domain name {0!r}",
    "root": "use the root {0}",
    "device": "make device {0[path]}",
    "bind_device": "make device {1}",
    "device_links": "make the links in /dev",
    "console": "make the terminal of the container",
    "readonly": "make the mounts read-only that have others inside",
    "mask": "hide linux.maskedPaths and protect linux.readonlyPaths",
    "pivot": "enter the root",
    "entered": "set linux.rootfsPropagation",
    "personality": "set the personality {0}",
    "filter": "load the filter of linux.seccomp",
    "keep_capabilities": "keep the capabilities over the change of the user",
    "no_new_privs": "set process.noNewPrivileges",
    "die_with_parent": "end the process with its parent",
}


def failed(step: Step, err: OSError) -> RuntimeFailure:
    """The error of a step of a plan that the kernel refused: stage, object, cause."""
    stage, operation, *arguments = step
    why = err.strerror or str(err)
    if operation == "capabilities":
        effective, permitted, inheritable = arguments
        what = f"set the capabilities: permitted {_names(permitted)}, effective {_names(effective)}, inheritable {_names(inheritable)}"
        if effective & ~permitted:
            what, why = f"set the effective capabilities {_names(effective & ~permitted)}", f"they are not permitted ones, too: {why}"
        elif inheritable & ~permitted:
            what, why = f"set the inheritable capabilities {_names(inheritable & ~permitted)}", f"they are not permitted ones, too: {why}"
    elif operation in ("ambient", "bounding"):
        what = f"set the {operation} capabilities {_names(arguments[0])}"
    elif operation in _PURPOSES:
        what = _PURPOSES[operation].format(*arguments)
    else:
        what = f"start the container: stage {stage}"
    where = f": {os.fspath(err.filename)}" if err.filename else ""
    return RuntimeFailure(f"cannot {what}", why + where, stage=stage, errno=err.errno or 0)


def _names(mask: int) -> str:
    return " ".join(f"CAP_{name}" for number, name in enumerate(caps.NAMES) if mask >> number & 1) or "none"


def explain(path: str, err: OSError) -> RuntimeFailure:
    """Why execve(2) of `path` failed with `err`: CommandNotFound (127) or CannotInvoke (126)."""
    head = _head(path)
    what = f"cannot run {path}"
    if err.errno == errno.ENOENT:
        if head.startswith(b"#!"):
            return _without_interpreter(what, path)
        if head.startswith(b"\x7fELF"):
            return CommandNotFound(
                what,
                "its dynamic loader does not exist in the container",
                "the image lacks the C library this program was built for (glibc or musl); use a static build",
            )
        return CommandNotFound(what, "no such file in the container")
    if err.errno == errno.ENOEXEC:
        if head.startswith(b"#!") and not _interpreter(head):
            return _nameless(what, "it")
        if head.startswith(b"\x7fELF"):
            machine = int.from_bytes(head[18:20], "big" if head[5:6] == b"\2" else "little")  # EI_DATA
            if len(head) < _ELF_HEADER or _HANDLERS.get(machine) in (os.uname().machine, _WORDS.get(os.uname().machine)):
                return CannotInvoke(
                    what, "exec format error: it begins as an ELF program, and is cut off or damaged", "put it into the image anew"
                )
            return CannotInvoke(
                what,
                f"exec format error: the program is for {_ARCH_NAMES.get(machine, hex(machine))}, this machine is {os.uname().machine}",
                f"use an image for this platform (--platform), or install qemu-user-static: the handler qemu-{_HANDLERS.get(machine, '*')} "
                "is not registered in /proc/sys/fs/binfmt_misc",
            )
        return CannotInvoke(
            what, "exec format error: it is neither an ELF program nor a script with a #! line", "add a first line such as #!/bin/sh"
        )
    if err.errno == errno.EACCES:
        return _denied(what, path)
    if err.errno == errno.ELOOP:
        return CannotInvoke(what, "too many symbolic links, or interpreters that need interpreters")
    if err.errno == errno.ETXTBSY:
        return CannotInvoke(what, "somebody has the file open for writing")
    return CannotInvoke(what, err.strerror or str(err))


def _interpreter(head: bytes) -> str:
    """What the first line of a script names, as the kernel reads it; empty if it names nothing."""
    return head[2:].split(b"\n")[0].strip(b" \t").replace(b"\t", b" ").replace(b"\0", b" ").split(b" ")[0].decode(errors="replace")


def _chain(path: str) -> Iterator[tuple[str, str, bytes]]:
    """(file, what it is called, its first bytes): the program, and the interpreters that its first line and theirs ask for."""
    name = "it"
    for _ in range(_MOST_INTERPRETERS):
        head = _head(path)
        yield path, name, head
        path = _interpreter(head) if head.startswith(b"#!") else ""
        if not path:
            return
        name = f"its interpreter {path}"


def _nameless(what: str, name: str) -> CannotInvoke:
    whose = "its #! line" if name == "it" else f"the #! line of {name}"
    return CannotInvoke(what, f"exec format error: {whose} names no interpreter", "complete the first line, such as #!/bin/sh")


def _without_interpreter(what: str, path: str) -> CommandNotFound:
    """ENOENT of a script: the file exists, so an interpreter does not."""
    lacking = next((file for file, _, _ in _chain(path) if not os.path.exists(file)), path)
    if lacking.endswith("\r"):
        return CommandNotFound(
            what,
            f"its first line ends with a carriage return, so the kernel looks for {lacking.strip()!r} + CR",
            "save the script with Unix line ends (dos2unix)",
        )
    return CommandNotFound(
        what,
        f"its interpreter {lacking!r} does not exist in the container",
        "install the interpreter in the image, or correct the first line",
    )


def _denied(what: str, path: str) -> CannotInvoke:
    """EACCES: what is no regular file, a mount without exec, the mode of the file or of an interpreter, or a directory on the way."""
    for file, name, head in _chain(path):
        try:
            mode, noexec = os.stat(file).st_mode, os.statvfs(file).f_flag & os.ST_NOEXEC
        except OSError:
            continue
        if mode & 0o170000 != 0o100000:
            kind = "a directory" if mode & 0o170000 == 0o040000 else "no regular file"
            return CannotInvoke(what, f"permission denied: {name} is {kind}", "correct the first line, such as #!/bin/sh")
        if noexec:
            return CannotInvoke(
                what, f"permission denied: {name} lies on a file system that is mounted noexec", "mount the volume without noexec"
            )
        if not os.access(file, os.X_OK, effective_ids=True):
            why = f"permission denied: {name} is not executable for user {os.geteuid()}:{os.getegid()}"
            return CannotInvoke(what, why, "check its mode and owner, those of the directories above it, and --user")
        if head.startswith(b"#!") and not _interpreter(head):
            return _nameless(what, name)
    return CannotInvoke(
        what, "permission denied: a security module of the kernel (SELinux, AppArmor) forbids it", "look at the kernel's log"
    )


def _head(path: str) -> bytes:
    """The first bytes of a regular file, else nothing: to open a FIFO would wait, to open a device could do anything."""
    try:
        fd = libc.openat2(libc.AT_FDCWD, path, os.O_PATH, 0, libc.RESOLVE_NO_MAGICLINKS)
        try:
            if os.fstat(fd).st_mode & 0o170000 != 0o100000:
                return b""
            with open(f"/proc/self/fd/{fd}", "rb") as file:
                return file.read(256)
        finally:
            os.close(fd)
    except OSError:
        return b""
