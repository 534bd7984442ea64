"""From a built root to the user's program: directory, limits, ids, capabilities, seccomp, exec. Init and exec-init."""

from __future__ import annotations

import errno
import os
import stat

from pyman.errors import CannotInvoke, CommandNotFound, PymanError, RuntimeFailure
from pyman.linux import caps, fs, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

RLIMITS = {
    name: number
    for number, name in enumerate(
        "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME".split()
    )
}
_ARCH_NAMES = {0x3E: "x86-64", 0xB7: "arm64", 0x28: "arm", 0x03: "x86", 0xF3: "riscv64", 0x15: "ppc64", 0x16: "s390x"}
_HANDLERS = {0x3E: "x86_64", 0xB7: "aarch64", 0x28: "arm", 0x03: "i386", 0xF3: "riscv64", 0x15: "ppc64le", 0x16: "s390x"}
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def enter_directory(path: str) -> None:
    """chdir to the process's cwd and prove that it lies inside the root. RuntimeFailure."""
    what = f"cannot enter working directory {path}"
    try:
        fd = libc.openat2(libc.AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, 0, libc.RESOLVE_NO_MAGICLINKS)
        os.fchdir(fd)
        os.close(fd)
    except FileNotFoundError as err:
        raise RuntimeFailure(
            what, "No such file or directory in the container", "create it in the image, or choose another --workdir", stage="workdir"
        ) from err
    except OSError as err:
        why = "it is a magic link of procfs, which may lead outside" if err.errno == errno.ELOOP else err.strerror or str(err)
        raise RuntimeFailure(what, why, stage="workdir", errno=err.errno or 0) from err
    # A directory outside the root has no path from here: the guard against descriptors leaked from the host.
    try:
        inside = os.getcwd().startswith("/")
    except OSError:
        inside = False
    if not inside:
        raise RuntimeFailure(what, "it lies outside the container's root", stage="workdir")


def close_at_exec(preserve: tuple[int, ...]) -> None:
    """Mark every descriptor from 3 on close-on-exec but those of `preserve`; the channel must live until exec."""
    first = 3
    for fd in sorted(preserve):
        if fd > first:
            libc.close_range(first, fd - 1, libc.CLOSE_RANGE_CLOEXEC)
        first = fd + 1
    libc.close_range(first, flags=libc.CLOSE_RANGE_CLOEXEC)


def set_personality(linux: dict[str, Any]) -> None:
    """The execution domain (config-linux.md "Personality"). RuntimeFailure."""
    domain = str((linux.get("personality") or {}).get("domain") or "")
    if not domain:
        return
    if domain not in ("LINUX", "LINUX32"):
        raise RuntimeFailure(f"cannot set the personality {domain!r}", "it must be LINUX or LINUX32", stage="personality")
    libc.personality(8 if domain == "LINUX32" else 0)


def limits(process: dict[str, Any]) -> list[tuple[int, int, int]]:
    """(resource's number, soft, hard) of each rlimit; -1: no limit. Limits with unknown names are left out."""
    found = []
    for limit in process.get("rlimits") or []:
        name = str(limit["type"]).removeprefix("RLIMIT_")
        if name in RLIMITS:
            found.append((RLIMITS[name], _limit(limit["soft"]), _limit(limit["hard"])))
    return found


def set_limits(process: dict[str, Any]) -> None:
    """rlimits. RuntimeFailure names the limit."""
    for limit in process.get("rlimits") or []:
        name = str(limit["type"]).removeprefix("RLIMIT_")
        if name not in RLIMITS:
            raise RuntimeFailure(f"cannot set limit {limit['type']}", "no such limit", stage="rlimits")
        try:
            libc.setrlimit(RLIMITS[name], _limit(limit["soft"]), _limit(limit["hard"]))
        except (OSError, ValueError) as err:
            raise RuntimeFailure(
                f"cannot set limit {name.lower()} to {limit['soft']}:{limit['hard']}",
                f"{err}",
                f"the hard limit of your session is {libc.getrlimit(RLIMITS[name])[1]}",
                stage="rlimits",
            ) from err


def set_oom_score(process: dict[str, Any]) -> None:
    """oom_score_adj, through the host's procfs: called before the container's root or namespaces are entered."""
    if process.get("oomScoreAdj") is None:
        return
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            if fs.magic(fd) == fs.PROC_SUPER_MAGIC:
                os.write(fd, str(process["oomScoreAdj"]).encode())
        finally:
            os.close(fd)
    except OSError as err:
        # Lowering needs privilege. The caller's value stays, which suits managers that know that; others are told.
        if process.get("oomScoreMust"):
            raise RuntimeFailure(
                f"cannot set process.oomScoreAdj {process['oomScoreAdj']}",
                f"{err.strerror}; a value below the caller's own needs privileges on the host",
                stage="process",
            ) from err


def _limit(value: int) -> int:
    return -1 if value < 0 or value >= 1 << 63 else value


def become(process: dict[str, Any], bpf: bytes, load: Callable[[bytes], None] | None = None) -> None:
    """Ids, capabilities, no_new_privs, seccomp, umask: after this the process has what the user's program gets."""
    wanted = process.get("capabilities") or {}
    sets = {kind: caps.mask(wanted.get(kind) or []) for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    no_new_privs = bool(process.get("noNewPrivileges"))
    user = process.get("user") or {}
    uid, gid = user.get("uid", 0), user.get("gid", 0)
    if bpf and load is None:
        from pyman.linux import seccomp  # who made the program has loaded it

        load = seccomp.load
    if load and bpf and not no_new_privs:
        load(bpf)  # needs CAP_SYS_ADMIN, so before the capabilities go
    caps.drop_bounding(sets["bounding"])
    try:
        if not process.get("keepGroups"):  # not of the spec: the runtime program sets it
            os.setgroups(user.get("additionalGids") or [])
    except PermissionError:
        if user.get("additionalGids"):
            raise RuntimeFailure(
                "cannot set supplementary groups",
                "your user namespace has one group only (single-id mode)",
                "as root: usermod --add-subgids 100000-165535 " + str(os.getuid()),
                stage="user",
            ) from None
    libc.prctl(libc.PR_SET_KEEPCAPS, 1)
    try:
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as err:
        raise RuntimeFailure(
            f"cannot become user {uid}:{gid}",
            f"{err.strerror}: the id is not mapped in the user namespace",
            "pyman doctor shows your id ranges",
            stage="user",
        ) from err
    os.umask(user.get("umask", 0o022))
    caps.capset(sets["effective"], sets["permitted"], sets["inheritable"])
    if sets["ambient"]:
        caps.raise_ambient(sets["ambient"])
    libc.prctl(libc.PR_SET_KEEPCAPS, 0)
    if no_new_privs:
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        if load and bpf:
            load(bpf)


def environment(process: dict[str, Any]) -> dict[str, str]:
    """The environment as a mapping; the last of equal names counts, entries without `=` are dropped."""
    result = {}
    for entry in process.get("env") or []:
        name, separator, value = entry.partition("=")
        if separator and name:
            result[name] = value
    return result


def find_program(args: list[str], env: dict[str, str]) -> str:
    """args[0] looked up in the container's PATH. CommandNotFound (127), CannotInvoke (126)."""
    name = args[0]
    if not name:
        raise CannotInvoke("cannot run the container's command", "its name is empty")
    if "/" in name:
        _check_executable(name)
        return name
    found_but = ""
    for directory in (env.get("PATH") or DEFAULT_PATH).split(":"):
        candidate = f"{directory or '.'}/{name}"
        try:
            info = os.stat(candidate)
        except OSError:
            continue
        if stat.S_ISREG(info.st_mode) and info.st_mode & 0o111:
            return candidate
        found_but = found_but or candidate
    if found_but:
        raise CannotInvoke(f"cannot run {name}", f"{found_but} is not an executable file", f"in the image: chmod +x {found_but}")
    raise CommandNotFound(f"cannot run {name}", "no such program in the container's PATH", f"PATH is {env.get('PATH') or DEFAULT_PATH}")


def _check_executable(path: str) -> None:
    try:
        info = os.stat(path)
    except FileNotFoundError:
        raise CommandNotFound(f"cannot run {path}", "no such file in the container") from None
    except OSError as err:
        raise CannotInvoke(f"cannot run {path}", err.strerror or str(err)) from err
    if not stat.S_ISREG(info.st_mode):
        kind = "a directory" if stat.S_ISDIR(info.st_mode) else "no regular file"
        raise CannotInvoke(f"cannot run {path}", f"it is {kind}")
    if not info.st_mode & 0o111:
        raise CannotInvoke(
            f"cannot run {path}", f"it is not executable (mode {info.st_mode & 0o7777:04o})", f"in the image: chmod +x {path}"
        )


def execute(path: str, args: list[str], env: dict[str, str]) -> None:
    """execve(2); does not return. The error says why the kernel refused: interpreter, format, permission."""
    try:
        os.execve(path, args, env)
    except OSError as err:
        raise _explain(path, err) from err


def run_program(init: Any, process: dict[str, Any]) -> None:
    """The last steps, shared with exec-init. Does not return."""
    env = environment(process)
    # The directory may be closed to the user and open to root, or the other way round (a FUSE mount): one of both must do.
    init.stage = "workdir"
    cwd, failure = process.get("cwd") or "/", None
    try:
        enter_directory(cwd)
    except PymanError as err:
        failure = err
    # After the last descriptor was opened: a container may have a limit of none.
    init.stage = "rlimits"
    set_limits(process)
    init.stage = "user"
    if init.extras is None:
        become(process, init.bpf)
    else:
        become(process, init.bpf, init.extras.load_filter)
    if getattr(init, "die_with_parent", False):
        # After the change of ids, which clears it. If the parent has died before this, no signal will come: look once.
        libc.prctl(libc.PR_SET_PDEATHSIG, 9)
        if not init.channel.peer_alive():
            os._exit(1)
    if failure is not None:
        init.stage = "workdir"
        enter_directory(cwd)
    init.stage = "exec"
    path = find_program(process["args"], env)
    execute(path, process["args"], env)


def _head(path: str) -> bytes:
    """The first bytes of a regular file, else nothing: to open a FIFO would wait, to open a device could do anything."""
    try:
        fd = libc.openat2(libc.AT_FDCWD, path, os.O_PATH, 0, libc.RESOLVE_NO_MAGICLINKS)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return b""
            with open(f"/proc/self/fd/{fd}", "rb") as file:
                return file.read(256)
        finally:
            os.close(fd)
    except OSError:
        return b""


def _explain(path: str, err: OSError) -> RuntimeFailure:
    head = _head(path)
    what = f"cannot run {path}"
    if err.errno == errno.ENOENT:
        if head.startswith(b"#!"):
            line = head[2:].split(b"\n")[0].decode(errors="replace")
            if line.endswith("\r"):
                return CommandNotFound(
                    what,
                    f"its first line ends with a carriage return, so the kernel looks for {line.strip()!r} + CR",
                    "save the script with Unix line ends (dos2unix)",
                )
            return CommandNotFound(
                what,
                f"its interpreter {line.split()[0] if line.split() else ''!r} does not exist in the container",
                "install the interpreter in the image, or correct the first line",
            )
        if head.startswith(b"\x7fELF"):
            return CommandNotFound(
                what,
                "its dynamic loader does not exist in the container",
                "the image lacks the C library this program was built for (glibc or musl); use a static build",
            )
        return CommandNotFound(what, "no such file in the container")
    if err.errno == errno.ENOEXEC:
        if head.startswith(b"\x7fELF"):
            machine = int.from_bytes(head[18:20], "little")
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
        return _denied(what, path, head)
    if err.errno == errno.ELOOP:
        return CannotInvoke(what, "too many symbolic links, or interpreters that need interpreters")
    if err.errno == errno.ETXTBSY:
        return CannotInvoke(what, "somebody has the file open for writing")
    return CannotInvoke(what, err.strerror or str(err))


def _denied(what: str, path: str, head: bytes) -> CannotInvoke:
    """EACCES: a mount without exec, the mode of the file or of its interpreter, or a directory on the way."""
    words = head[2:].split(b"\n")[0].split() if head.startswith(b"#!") else []
    interpreter = words[0].decode(errors="replace") if words else ""
    for file, name in ((path, "it"), *([(interpreter, f"its interpreter {interpreter}")] if interpreter else [])):
        try:
            noexec = os.statvfs(file).f_flag & os.ST_NOEXEC
        except OSError:
            continue
        if noexec:
            return CannotInvoke(
                what, f"permission denied: {name} lies on a file system that is mounted noexec", "mount the volume without noexec"
            )
        if not os.access(file, os.X_OK, effective_ids=True):
            why = f"permission denied: {name} is not executable for user {os.geteuid()}:{os.getegid()}"
            return CannotInvoke(what, why, "check its mode and owner, those of the directories above it, and --user")
    return CannotInvoke(
        what, "permission denied: a security module of the kernel (SELinux, AppArmor) forbids it", "look at the kernel's log"
    )
