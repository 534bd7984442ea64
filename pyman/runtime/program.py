"""From a built root to the user's program: directory, limits, ids, capabilities, seccomp, exec. Init and exec-init."""

from __future__ import annotations

import errno
import os

from pyman.errors import CannotInvoke, CommandNotFound, PymanError, RuntimeFailure
from pyman.linux import caps, fs, libc
from pyman.runtime.refusals import explain, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.plan import Step

RLIMITS = {
    name: number
    for number, name in enumerate(
        "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME".split()
    )
}
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
            what,
            "No such file or directory in the container",
            "create it in the image, or choose another --workdir",
            stage="workdir",
            errno=errno.ENOENT,
        ) from err
    except OSError as err:
        why = err.strerror or str(err)
        if err.errno == errno.ELOOP and _leads_somewhere(path):
            why = "it is a magic link of procfs, which may lead outside"
        raise RuntimeFailure(what, why, stage="workdir", errno=err.errno or 0) from err
    # A directory outside the root has no path from here: the guard against descriptors leaked from the host.
    try:
        inside = os.getcwd().startswith("/")
    except OSError:
        inside = False
    if not inside:
        raise RuntimeFailure(what, "it lies outside the container's root", stage="workdir")


def _leads_somewhere(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_PATH | os.O_CLOEXEC))
    except OSError as err:
        return err.errno != errno.ELOOP  # links that lead to each other end nowhere for anybody
    return True


def close_at_exec(preserve: tuple[int, ...]) -> None:
    """Mark every descriptor from 3 on close-on-exec but those of `preserve`; the channel must live until exec."""
    first = 3
    for fd in sorted(preserve):
        if fd > first:
            libc.close_range(first, fd - 1, libc.CLOSE_RANGE_CLOEXEC)
        first = fd + 1
    libc.close_range(first, flags=libc.CLOSE_RANGE_CLOEXEC)


def limits(process: dict[str, Any]) -> list[tuple[int, int, int]]:
    """(resource's number, soft, hard) of each rlimit; -1: no limit. Limits with unknown names are left out."""
    found = []
    for limit in process.get("rlimits") or []:
        name = str(limit["type"]).removeprefix("RLIMIT_")
        if name in RLIMITS:
            found.append((RLIMITS[name], _limit(limit["soft"]), _limit(limit["hard"])))
    return found


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


def environment(process: dict[str, Any]) -> dict[str, str]:
    """The environment as a mapping; the last of equal names counts, entries without `=` are dropped."""
    result = {}
    for entry in process.get("env") or []:
        name, separator, value = entry.partition("=")
        if separator and name:
            result[name] = value
    return result


def find_program(args: list[str], env: dict[str, str], hidden: bool = False) -> str:
    """args[0] looked up in the container's PATH, which is not told where it is `hidden`. CommandNotFound (127), CannotInvoke (126)."""
    name = args[0]
    if not name:
        raise CommandNotFound("cannot run the container's command", "its name is empty")
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
        if info.st_mode & 0o170000 == 0o100000 and info.st_mode & 0o111:
            return candidate
        found_but = found_but or candidate
    if found_but and hidden:
        raise CannotInvoke(f"cannot run {name}", "a file of that name in its PATH is not executable")
    if found_but:
        raise CannotInvoke(f"cannot run {name}", f"{found_but} is not an executable file", f"in the image: chmod +x {found_but}")
    path = "a secret" if hidden else env.get("PATH") or DEFAULT_PATH
    raise CommandNotFound(f"cannot run {name}", "no such program in the container's PATH", f"PATH is {path}")


def look_up(process: dict[str, Any]) -> None:
    """Whether the program is there. CommandNotFound (127), CannotInvoke (126)."""
    try:
        enter_directory(process.get("cwd") or "/")
    except PymanError:
        return  # its user may enter it, or the mount comes later
    find_program(process["args"], environment(process), "hidden_path" in process)
    os.chdir("/")


def _check_executable(path: str) -> None:
    try:
        info = os.stat(path)
    except FileNotFoundError:
        raise CommandNotFound(f"cannot run {path}", "no such file in the container") from None
    except OSError as err:
        raise CannotInvoke(f"cannot run {path}", err.strerror or str(err)) from err
    if info.st_mode & 0o170000 != 0o100000:
        kind = "a directory" if info.st_mode & 0o170000 == 0o040000 else "no regular file"
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
        raise explain(path, err) from err


class Program:
    """Carries out steps of runtime/plan.py. Here those that init and exec-init share: `do_` and the operation's name, with its arguments."""

    __slots__ = ("bpf", "channel", "extras", "failure", "process", "stage")

    def __init__(self, process: dict[str, Any], channel: Any, bpf: bytes) -> None:
        self.process = process
        self.channel = channel
        self.bpf = bpf
        self.extras: Any = None  # what only some containers and processes ask for
        self.failure: PymanError | None = None
        self.stage = "start"

    def carry_out(self, steps: list[Step]) -> None:
        """Each step in its order; the first that fails ends it. PymanError."""
        for step in steps:
            self.stage = step[0]
            try:
                getattr(self, f"do_{step[1]}")(*step[2:])
            except OSError as err:
                raise failed(step, err) from err

    def do_try_directory(self, cwd: str) -> None:
        """The working directory with root's rights; see do_directory."""
        try:
            enter_directory(cwd)
        except PymanError as err:
            self.failure = err

    def do_directory(self, cwd: str) -> None:
        """It is entered already, or the user must be able to."""
        if self.failure is not None:
            enter_directory(cwd)

    def do_limit(self, kind: str, soft: int, hard: int) -> None:
        """One rlimit. RuntimeFailure names it."""
        name = kind.removeprefix("RLIMIT_")
        if name not in RLIMITS:
            raise RuntimeFailure(f"cannot set limit {kind}", "no such limit", stage="rlimits")
        try:
            libc.setrlimit(RLIMITS[name], _limit(soft), _limit(hard))
        except (OSError, ValueError) as err:
            why = f"the hard limit of your session is {libc.getrlimit(RLIMITS[name])[1]}"
            raise RuntimeFailure(f"cannot set limit {name.lower()} to {soft}:{hard}", f"{err}", why, stage="rlimits") from err

    def do_filter(self) -> None:
        """The seccomp filter."""
        if self.extras is not None:
            self.extras.load_filter(self.bpf)
            return
        from pyman.linux import seccomp  # who made the program has loaded it

        seccomp.load(self.bpf)

    def do_bounding(self, kept: int) -> None:
        """The capabilities that no later program can have go."""
        caps.drop_bounding(kept)

    def do_groups(self, gids: list[int]) -> None:
        """Supplementary groups. RuntimeFailure."""
        try:
            os.setgroups(gids)
        except OSError as err:
            if gids or err.errno != errno.EPERM:
                why, hint = f"{err.strerror}: one of them is not mapped in the user namespace", ""
                if err.errno == errno.EPERM:
                    why = "your user namespace has one group only (single-id mode)"
                    hint = f"as root: usermod --add-subgids 100000-165535 {os.getuid()}"
                raise RuntimeFailure(
                    f"cannot set supplementary groups {' '.join(map(str, gids))}", why, hint, stage="user", errno=err.errno or 0
                ) from None

    def do_keep_capabilities(self, keep: bool) -> None:
        """Over the change of ids, which would clear them."""
        libc.prctl(libc.PR_SET_KEEPCAPS, int(keep))

    def do_ids(self, uid: int, gid: int) -> None:
        """All user and group ids. RuntimeFailure."""
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

    def do_umask(self, mask: int) -> None:
        """The mask of new files' modes."""
        os.umask(mask)

    def do_capabilities(self, effective: int, permitted: int, inheritable: int) -> None:
        """Three of the sets."""
        caps.capset(effective, permitted, inheritable)

    def do_ambient(self, mask: int) -> None:
        """The set that an unprivileged program keeps."""
        caps.raise_ambient(mask)

    def do_no_new_privs(self) -> None:
        """From now on no program gets more by set-user-ID or file capabilities."""
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)

    def do_die_with_parent(self) -> None:
        """If the parent has died before this, no signal will come: look once."""
        libc.prctl(libc.PR_SET_PDEATHSIG, 9)
        if not self.channel.peer_alive():
            os._exit(1)

    def do_execute(self, args: list[str]) -> None:
        """The program. Does not return. CommandNotFound (127), CannotInvoke (126)."""
        env = environment(self.process)
        execute(find_program(args, env, "hidden_path" in self.process), args, env)
