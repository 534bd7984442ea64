"""The six kinds of hooks (config.md "POSIX-platform Hooks"): the container's state on stdin, an environment of their own, a time limit.

kind             who runs it, where               when
prestart         runtime, its own namespaces      the container's root is built, before pivot_root (deprecated)
createRuntime    runtime, its own namespaces      after prestart
createContainer  init, the container's namespaces after createRuntime, before pivot_root: the path is the host's
startContainer   init, in the container           after `start`, before the user's program: the path is the container's
poststart        runtime                          after the user's program was executed
poststop         runtime                          after the container was deleted
"""

from __future__ import annotations

import os
import select

from pyman.errors import RuntimeFailure
from pyman.linux import libc, process
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_OUTPUT = 4096  # bytes of a failed hook's output that its error shows


def check(hooks: dict[str, Any]) -> None:
    """RuntimeFailure for a hook that cannot be run."""
    for kind, entries in hooks.items():
        if kind not in KINDS:
            raise RuntimeFailure(f"cannot use hooks.{kind}", f"known are {', '.join(KINDS)}")
        if not isinstance(entries, list):
            raise RuntimeFailure(f"cannot use hooks.{kind}", "it is not a list")
        for hook in entries:
            if not isinstance(hook, dict) or not str(hook.get("path", "")).startswith("/"):
                raise RuntimeFailure(f"cannot use hooks.{kind}", "each hook needs an absolute path")
            timeout = hook.get("timeout")
            if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int) or not 0 < timeout < 1 << 31):
                raise RuntimeFailure(f"cannot use hooks.{kind}", f"timeout {timeout!r} is not a number of seconds above 0")


def run_all(kind: str, entries: list[dict[str, Any]], state: dict[str, Any]) -> None:
    """Run the hooks in order. RuntimeFailure names the first that failed, with its exit code and the end of its output."""
    for hook in entries:
        run(kind, hook, state)


def run_leniently(kind: str, entries: list[dict[str, Any]], state: dict[str, Any]) -> list[str]:
    """Run all hooks whatever happens; the failures as texts. For poststart and poststop, which come too late to stop anything."""
    failures = []
    for hook in entries:
        try:
            run(kind, hook, state)
        except RuntimeFailure as err:
            failures.append(str(err))
    return failures


def run(kind: str, hook: dict[str, Any], state: dict[str, Any], netns: int = -1) -> None:
    """Run one hook, in the network namespace of that descriptor if there is one. RuntimeFailure."""
    path = hook["path"]
    args = [str(arg) for arg in hook.get("args") or [path]]
    env = dict(entry.split("=", 1) for entry in hook.get("env") or [] if "=" in entry)
    if hook.get("env") is None and "PATH" in os.environ:
        env["PATH"] = os.environ["PATH"]  # the caller's: a script must find its programs
    output = os.memfd_create("hook", os.MFD_CLOEXEC)
    stdin = os.memfd_create("state", os.MFD_CLOEXEC)
    os.write(stdin, fastjson.dumps(state).encode())
    os.lseek(stdin, 0, os.SEEK_SET)

    def body() -> int:
        if kind != "startContainer":
            try:
                os.chdir(state["bundle"])  # as crun does: what a hook names lies there
            except (KeyError, OSError):
                pass  # a hook may have removed it
        os.dup2(stdin, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if netns >= 0:
            libc.setns(netns, libc.CLONE_NEWNET)
        os.setsid()  # so that all of it can be killed when its time is over
        libc.close_range(3)
        process.reset_signals()
        try:
            os.execve(path, args, env)
        except OSError as err:
            os.write(2, f"{err.strerror}".encode())
        return 127

    try:
        pid = process.fork(body, "pyman:[hook]", tuple(fd for fd in (stdin, output, netns) if fd >= 0))
        status = _wait(pid, hook.get("timeout"))
        if status != 0:
            os.lseek(output, max(0, os.fstat(output).st_size - _OUTPUT), os.SEEK_SET)
            text = os.read(output, _OUTPUT).decode(errors="replace").strip()
            how = f"was not done after {hook['timeout']} s" if status < 0 else f"failed with exit code {status}"
            raise RuntimeFailure(f"{kind} hook {how}", f"{path}: {text}" if text else path, stage=f"hook {kind}")
    finally:
        os.close(stdin)
        os.close(output)


def _wait(pid: int, timeout: int | None) -> int:
    """Exit code, or -1 after the time limit (it is killed with its children)."""
    if timeout:
        pidfd = libc.pidfd_open(pid)
        ready, _, _ = select.select([pidfd], [], [], timeout)
        os.close(pidfd)
        if not ready:
            try:
                os.killpg(pid, 9)
            except ProcessLookupError:
                os.kill(pid, 9)
            process.wait(pid)
            return -1
    return process.wait(pid)
