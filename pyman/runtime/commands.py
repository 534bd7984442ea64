"""`pyman-runtime` create, run, start, exec: the commands that make processes."""

from __future__ import annotations

import os

from pyman.errors import PymanError, RuntimeFailure, StateError, UsageError
from pyman.runtime import arguments, bundle, cgroup, create, exec, hooks, start, store, validate
from pyman.runtime.exec_extras import ExecExtras
from pyman.runtime.extras import Extras

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.create import Created


def run(verb: str, settings: dict[str, Any], args: list[str], opts: dict[str, Any]) -> int:
    """Exit code of one of the commands of this module. PymanError, OSError."""
    root = store.Root(settings.get("root") or "")
    if verb in ("create", "run"):
        return _create(root, args[0], settings, opts, verb == "run")
    entry = root.load(args[0])
    if verb == "start":
        entry.start()
        _poststart(entry, settings)
        return 0
    return _exec(entry, args[1:], opts)


def _note(settings: dict[str, Any], text: str) -> None:
    from pyman.runtime import main

    main.log(settings, "warning", text)


def _poststart(entry: store.Entry, settings: dict[str, Any]) -> None:
    for failure in hooks.run_leniently("poststart", (entry.spec().get("hooks") or {}).get("poststart") or [], entry.state()):
        _note(settings, failure)


def _preserved(opts: dict[str, Any]) -> tuple[int, ...]:
    """Descriptors 3.. of --preserve-fds N and, as systemd passes them, of LISTEN_FDS. UsageError for one that is not open."""
    count = arguments.number(opts, "preserve_fds") + _listen_fds()
    for fd in range(3, 3 + count):
        try:
            os.fstat(fd)
        except OSError:
            raise UsageError(f"cannot preserve {count} descriptors", f"descriptor {fd} is not open") from None
    return tuple(range(3, 3 + count))


def _listen_fds() -> int:
    text = os.environ.get("LISTEN_FDS") or ""
    return int(text) if text.isdigit() and int(text) < 1024 and os.environ.get("LISTEN_PID") in (None, "", str(os.getpid())) else 0


def _create(root: store.Root, container_id: str, settings: dict[str, Any], opts: dict[str, Any], then_start: bool) -> int:
    directory = os.path.abspath(opts.get("bundle") or ".")
    spec = bundle.load(directory, opts.get("config") or "config.json")
    console_socket = opts.get("console_socket") or ""
    terminal = bool(spec["process"].get("terminal"))
    detached = bool(opts.get("detach")) or not then_start
    if terminal and detached and not console_socket:
        raise RuntimeFailure("cannot create the container's terminal", "process.terminal needs --console-socket", stage="config")
    if console_socket and not terminal:
        raise RuntimeFailure("cannot use --console-socket", "the bundle asks for no terminal", stage="config")
    for name in validate.unknown_capabilities(spec["process"]):
        _note(settings, f"unknown capability {name} was left out")
    if (spec.get("annotations") or {}).get("run.oci.keep_original_groups") in ("1", "true"):
        spec["process"]["keepGroups"] = True  # crun's annotation, which managers set for --group-add keep-groups
    preserve = _preserved(opts)
    if _listen_fds():
        spec["process"]["env"] = [*(spec["process"].get("env") or []), f"LISTEN_FDS={_listen_fds()}", "LISTEN_PID=1"]
    entry = root.make(container_id, directory, spec)
    if not detached:
        _hold_signals()
    created: Created | None = None
    try:
        linux = spec["linux"]
        place, notes = cgroup.create(
            linux.get("cgroupsPath") or "", container_id, linux.get("resources") or {}, bool(settings.get("systemd_cgroup"))
        )
        entry.record.update(cgroup=place, notes=notes)
        entry.save()
        for note in notes:
            _note(settings, note)
        extras = Extras(spec, {**entry.state(), "status": "creating"}, place)
        extras.no_pivot, extras.no_new_keyring = bool(opts.get("no_pivot")), bool(opts.get("no_new_keyring"))
        created = create.begin(
            spec,
            bundle=directory,
            container_id=container_id,
            stdio=(0, 1, 2),
            preserve=preserve,
            gate=entry.gate(),
            extras=extras,
        )
        entry.created(created)
        create.wait_created(created)
        entry.finished_creating()
        if created.console >= 0 and console_socket:
            bundle.send_console(console_socket, created.console)
            os.close(created.console)
            created.console = -1
        if opts.get("pidfd_socket"):
            bundle.send_pidfd(opts["pidfd_socket"], created.pid)
        if opts.get("pid_file"):
            bundle.write_pid(opts["pid_file"], created.pid)
        if not then_start:
            return 0
        start.start_gated(created, entry.gate())
        entry.mark_started()
        _poststart(entry, settings)
    except BaseException:
        entry.abandon()
        raise
    if opts.get("detach"):
        return 0
    code = _attend(created)
    if not opts.get("keep"):
        for failure in entry.delete(True):
            _note(settings, failure)
    return code


def _hold_signals() -> None:
    """Signals for a process in the foreground wait until there is one to forward them to (runtime/foreground.py)."""
    import _signal

    _signal.pthread_sigmask(_signal.SIG_BLOCK, (1, 2, 3, 10, 12, 15))


def _attend(created: Created) -> int:
    """Stay with a process in the foreground: its terminal, signals to it; returns its exit code."""
    from pyman.runtime import foreground

    return foreground.attend(created.pid, created.console)


def _exec(entry: store.Entry, command: list[str], opts: dict[str, Any]) -> int:
    spec = entry.spec()
    process = bundle.exec_process(spec, command, opts)
    entry.require_running("execute a command in", created=True)
    place = entry.cgroup
    if cgroup.is_frozen(place) and not opts.get("ignore_paused"):
        raise StateError(f"cannot execute a command in container {entry.record['id']}", "it is paused", "resume it, or use --ignore-paused")
    if opts.get("cgroup") and place:
        place = bundle.sub_cgroup(place, str(opts["cgroup"]))
    console_socket = opts.get("console_socket") or ""
    if process.get("terminal") and opts.get("detach") and not console_socket:
        raise RuntimeFailure("cannot create a terminal", "a detached process needs --console-socket for it", stage="config")
    linux = spec.get("linux") or {}
    if not opts.get("detach"):
        _hold_signals()
    created = exec.exec_process(
        entry.pid,
        process,
        stdio=(0, 1, 2),
        preserve=_preserved(opts),
        seccomp_spec=linux.get("seccomp"),
        extras=ExecExtras(process, linux, entry.state(), place),
    )
    try:
        if created.console >= 0 and console_socket:
            bundle.send_console(console_socket, created.console)
            os.close(created.console)
            created.console = -1
        if opts.get("pidfd_socket"):
            bundle.send_pidfd(opts["pidfd_socket"], created.pid)
        if opts.get("pid_file"):
            bundle.write_pid(opts["pid_file"], created.pid)
    except PymanError:
        os.kill(created.pid, 9)
        raise
    return 0 if opts.get("detach") else _attend(created)
