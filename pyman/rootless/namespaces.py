"""pyman's user namespace, and a network namespace in it, made by a native program while the command loads its modules.

`begin` starts shims/namespaces.c, where the launcher has not done so, and waits for nothing; `claim` gives the descriptors. The program ends when its pipe
closes: a command that fails, is killed, or never needs the namespaces leaves nothing behind. CLI process.
"""

from __future__ import annotations

import errno
import os

from pyman.errors import MissingProgram, RootlessError
from pyman.linux import process
from pyman.rootless import early
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.errors import PymanError
    from pyman.rootless.idmap import IdMap


class Holder:
    """The process that holds the namespaces; once claimed, descriptors of them (-1: none)."""

    __slots__ = ("life_fd", "netns_fd", "pid", "result_fd", "userns_fd")

    def __init__(self, pid: int, result_fd: int, life_fd: int) -> None:
        self.pid = pid
        self.result_fd = result_fd
        self.life_fd = life_fd
        self.userns_fd = self.netns_fd = -1


def begin(idmap: IdMap, join_fd: int = -1, ahead: bool = False) -> Holder:
    """Start making a user namespace with `idmap` (or join that of join_fd) and a network namespace. MissingProgram, RootlessError.

    ahead: what the launcher has begun is taken over, and what is wanted noted for it.
    """
    how, passed = _how(idmap, join_fd)
    begun = early.take(how) if ahead else None
    if begun:
        return Holder(*begun)
    holder = _start(how, passed)
    if ahead and how[0] == "maps":
        at = how.index("--")
        early.note(how[2:at], how[at + 2 :])
    return holder


def begin_own() -> Holder:
    """Start making a user namespace alone, whose maps the caller writes: of the holder's process, once it is claimed. MissingProgram, RootlessError.

    A process that is open to have its ids mapped is open to others, too: to the root of a container that sees it and owns the new namespace.
    This program was executed in the caller's user namespace, so that, closed as it is, its /proc entry belongs to that one's root.
    """
    return _start(["own", "-"], [])


def _start(how: list[str], passed: list[int]) -> Holder:
    path = os.path.join(os.path.dirname(os.path.dirname(__file__)), "_native", "pyman-namespaces")
    result_r, result_w = os.pipe()
    life_r, life_w = os.pipe()
    passed = [*passed, result_w, life_r]
    for fd in passed:
        os.set_inheritable(fd, True)
    try:
        pid = os.posix_spawn(path, ["pyman-namespaces", str(result_w), str(life_r), *how], {})
    except OSError as err:
        os.close(result_r)
        os.close(life_w)
        if err.errno == errno.EAGAIN:
            raise RootlessError(
                "cannot start a process",
                f"{err.strerror}: you have as many processes as you may, or the machine has",
                "look at: ulimit -u; ps -u $USER; systemctl status user-$UID.slice",
                errno=err.errno,
            ) from err
        raise MissingProgram(
            "cannot run the program pyman-namespaces",
            f"{path}: {err.strerror}",
            "install pyman again with a C compiler present (gcc, libc6-dev)",
        ) from err
    finally:
        for fd in passed:
            os.set_inheritable(fd, False)
        os.close(result_w)
        os.close(life_r)
    return Holder(pid, result_r, life_w)


def _how(idmap: IdMap, join_fd: int) -> tuple[list[str], list[int]]:
    """Arguments that say how the user namespace comes to be, and the descriptors they name."""
    if join_fd >= 0:
        return ["join", str(join_fd)], [join_fd]
    mapper = os.environ.get("PYMAN_MAPPER_FD")
    if mapper:  # root's part writes the maps: see rootless/asroot.py
        return ["ask", mapper], [int(mapper)]
    if idmap.single:
        return ["single", f"0 {os.getuid()} 1", f"0 {os.getgid()} 1"], []
    uids, gids = ([str(number) for item in ranges for number in item] for ranges in (idmap.uids, idmap.gids))
    return ["maps", find_program("newuidmap"), *uids, "--", find_program("newgidmap"), *gids], []


def find_program(tool: str) -> str:
    """Path of newuidmap or newgidmap. MissingProgram."""
    for directory in (os.environ.get("PATH") or os.defpath).split(":"):
        if directory and os.access(f"{directory}/{tool}", os.X_OK):
            return f"{directory}/{tool}"
    raise MissingProgram(
        f"cannot find the program {tool}",
        "it maps your subordinate ids into the container",
        "as root: apt-get install uidmap",
        stage="userns",
    )


def claim(holder: Holder) -> Holder:
    """Wait for the namespaces and open them; the holder may end then. RootlessError."""
    if holder.userns_fd >= 0:
        return holder
    with open(holder.result_fd, "rb") as pipe:
        answer = pipe.read().decode(errors="replace")
    holder.result_fd = -1
    if answer not in ("u", "n"):
        raise _explain(answer)
    try:
        # Its /proc entry is ours to open: it belongs to this user and has executed no program of other rights.
        holder.userns_fd = os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        if answer == "n":
            holder.netns_fd = os.open(f"/proc/{holder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        raise RootlessError("cannot prepare the user namespace", f"its holder ended: {err.strerror}", stage="userns") from err
    return holder


def release(holder: Holder) -> None:
    """Let the holder end, and reap it; the namespaces live on through whoever has entered them."""
    for fd in (holder.life_fd, holder.result_fd, holder.userns_fd, holder.netns_fd):
        if fd >= 0:
            os.close(fd)
    process.wait(holder.pid)


def _explain(answer: str) -> PymanError:
    """The program's report ("E WHAT ERRNO TEXT") as an error with its cause."""
    _, what, number, text = (answer.split(" ", 3) + ["", "", "", ""])[:4]
    code = int(number) if number.isdigit() else 0
    if what == "unshare":
        return unshare_error(code)
    if what in ("newuidmap", "newgidmap"):
        return RootlessError(
            "cannot map the subordinate ids into the user namespace",
            f"{what} failed: {text.strip() or 'no message'}",
            f"check that {what} is setuid root or has its file capability (reinstall the package uidmap), and the ranges in /etc/subuid and /etc/subgid; see: pyman doctor",
            stage="userns",
        )
    if what in ("setgroups", "uid_map", "gid_map"):
        return RootlessError(
            "cannot map your user into the user namespace", f"writing {what}: {os.strerror(code)}", "see: pyman doctor", stage="userns"
        )
    if what == "ask":
        return RootlessError("cannot map ids into the user namespace", text or "the parent process has ended", stage="userns")
    return RootlessError(
        "cannot prepare the user namespace", f"{what}: {os.strerror(code)}" if what else "its holder was killed", stage="userns"
    )


def unshare_error(number: int) -> RootlessError:
    """Why unshare(CLONE_NEWUSER) failed with errno `number`, with the setting that forbids it."""
    why = os.strerror(number)
    hint = "pyman doctor tells which setting forbids it"
    limit = store.read_text("/proc/sys/user/max_user_namespaces", 64) or ""
    if limit.strip() == "0":
        why, hint = "user.max_user_namespaces is 0", "as root: sysctl -w user.max_user_namespaces=28633"
    elif (store.read_text("/proc/sys/kernel/unprivileged_userns_clone", 64) or "").strip() == "0":
        why, hint = "kernel.unprivileged_userns_clone is 0", "as root: sysctl -w kernel.unprivileged_userns_clone=1"
    elif (store.read_text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 64) or "").strip() == "1":
        why += " (AppArmor restricts unprivileged user namespaces)"
        hint = "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    return RootlessError("cannot create a user namespace", why, hint, stage="userns", errno=number)
