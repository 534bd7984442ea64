"""`pyman-runtime` exec: the process from --process FILE or from the options, then runtime/exec.py."""

from __future__ import annotations

import os

from pyman.digits import is_whole
from pyman.errors import PymanError, RuntimeFailure, StateError, UsageError
from pyman.linux import caps
from pyman.runtime import cgroup, foreground, store, validate
from pyman.runtime import exec as execution
from pyman.runtime.exec_extras import ExecExtras

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Of a process object the parts that are the container's where it does not say otherwise, as with runc: rights, labels, limits.
_INHERITED = ("capabilities", "apparmorProfile", "selinuxLabel", "rlimits", "ioPriority", "scheduler", "execCPUAffinity")


def run(settings: dict[str, Any], args: list[str], opts: dict[str, Any]) -> int:
    """Exit code of `exec`. PymanError, OSError."""
    entry, command = store.Root(settings.get("root") or "").load(args[0]), args[1:]
    spec = entry.spec()
    process = _process(spec, command, opts)
    for text in validate.vain_ambient(process):
        from pyman.runtime import main

        main.log(settings, "warning", text)
    state = entry.state()
    entry.require_running("execute a command in", created=True, status=state["status"])
    place = entry.cgroup
    if state["status"] == "paused" and not opts.get("ignore_paused"):
        raise StateError(f"cannot execute a command in container {entry.record['id']}", "it is paused", "resume it, or use --ignore-paused")
    if opts.get("cgroup"):
        place = _sub_cgroup(place, str(opts["cgroup"]))
    if process.get("terminal") and opts.get("detach") and not opts.get("console_socket"):
        raise RuntimeFailure("cannot create a terminal", "a detached process needs --console-socket for it", stage="config")
    if opts.get("console_socket") and not process.get("terminal"):
        raise RuntimeFailure("cannot use --console-socket", "the process asks for no terminal: give --tty too", stage="config")
    if not any(entry.startswith("HOME=") for entry in process.get("env") or []):
        from pyman.runtime import home

        home.add_running(process, entry.pid)
    linux = spec.get("linux") or {}
    if not opts.get("detach"):
        foreground.hold_signals()
    extras = ExecExtras(process, linux, state, place, entry.pid)
    if "/user@" in place and not os.access(f"{cgroup.path_of()}/cgroup.procs", os.W_OK):
        from pyman.runtime import scopes  # called from a login session, whose processes only the service manager can move there

        extras.attach = scopes.mover(place)
    created = execution.exec_process(
        entry.pid,
        process,
        stdio=(0, 1, 2),
        preserve=foreground.preserved(opts),
        seccomp_spec=linux.get("seccomp"),
        extras=extras,
        alone=True,
    )
    try:
        if any(opts.get(name) for name in foreground.HANDED_OVER):
            from pyman.runtime import handover

            foreground.end_with_an_error(f"cannot execute a command in container {entry.record['id']}")
            if not opts.get("detach"):
                foreground.release_signals()
            handover.hand_over(created, opts)
            if not opts.get("detach"):
                foreground.hold_signals()
    except PymanError:
        os.kill(created.pid, 9)
        raise
    return 0 if opts.get("detach") else foreground.attend(created.pid, created.console)


def _process(spec: dict[str, Any], command: list[str], opts: dict[str, Any]) -> dict[str, Any]:
    """The process object of exec: --process FILE, or the container's own; the options are applied to both. UsageError, RuntimeFailure."""
    path = opts.get("process")
    if path:
        if command:
            raise UsageError("cannot execute a command", "--process FILE and a command were both given")
        from pyman.runtime import given  # --process only

        process = given.read(path)
        if process is None:
            raise UsageError(f"cannot read {path}", "no such file")
        for key in _INHERITED:
            if process.get(key) is None and spec["process"].get(key):
                process[key] = spec["process"][key]
        process["cwd"] = process.get("cwd") or "/"
        validate.check_process(process)
    else:
        if not command:
            raise UsageError("no command given", "exec needs --process FILE or a command")
        process = {**spec["process"], "args": command, "terminal": False}
    _apply(process, opts)
    validate.check_process(process)
    validate.unknown_capabilities(process)
    return process


def _apply(process: dict[str, Any], opts: dict[str, Any]) -> None:
    if opts.get("tty"):
        process["terminal"] = True
    process["env"] = [*(process.get("env") or []), *(opts.get("env") or [])]
    if opts.get("cwd"):
        process["cwd"] = opts["cwd"]
    if opts.get("no_new_privs"):
        process["noNewPrivileges"] = True
    for option, key in (("apparmor", "apparmorProfile"), ("process_label", "selinuxLabel")):
        if opts.get(option):
            process[key] = opts[option]
    if opts.get("cap"):
        process["capabilities"] = _with_caps(process.get("capabilities") or {}, opts["cap"])
    user = opts.get("user")
    if user:
        uid, colon, gid = str(user).partition(":")
        process["user"] = {"uid": _id(uid, user), "gid": _id(gid, user) if colon else 0}
    if opts.get("additional_gids"):
        gids = [_id(text, text) for item in opts["additional_gids"] for text in item.split(",")]
        user = process.get("user") or {}
        process["user"] = {**user, "additionalGids": [*(user.get("additionalGids") or []), *gids]}


def _id(text: str, whole: object) -> int:
    if not is_whole(text) or int(text) > (1 << 32) - 2:
        raise UsageError(f"invalid user or group {whole!r}", "give numbers: UID[:GID]")
    return int(text)


def _with_caps(sets: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """--cap: into bounding, effective and permitted; not into the inheritable set, which a later exec would take over."""
    wanted = []
    for name in (text.strip().upper() for item in names for text in item.split(",")):
        full = name if name.startswith("CAP_") else "CAP_" + name
        if full not in caps.NUMBERS:
            raise UsageError(f"unknown capability {name}", "see capabilities(7)")
        wanted.append(full)
    return {
        kind: sorted({*(value or []), *(wanted if kind in ("bounding", "effective", "permitted") else [])})
        for kind, value in {"bounding": [], "effective": [], "permitted": [], **sets}.items()
    }


def _sub_cgroup(directory: str, name: str) -> str:
    """exec --cgroup: a cgroup below the container's own. UsageError."""
    if not directory:
        raise UsageError(f"cannot use cgroup {name}", "the container has none")
    path = os.path.join(directory, name.partition(":")[2].strip("/") if ":" in name else name.strip("/"))
    if ".." in path.split("/") or not os.path.isdir(path):
        raise UsageError(f"cannot use cgroup {name}", "there is no such cgroup below the container's")
    return path
