"""`pyman-runtime` create, run, start."""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure
from pyman.linux import process
from pyman.runtime import bundle, cgroup_place, create, foreground, hooks, start, store, validate
from pyman.runtime.extras import Extras

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.channel import Created


def run(verb: str, settings: dict[str, Any], args: list[str], opts: dict[str, Any]) -> int:
    """Exit code of one of the commands of this module. PymanError, OSError."""
    root = store.Root(settings.get("root") or "")
    if verb in ("create", "run"):
        return _create(root, args[0], settings, opts, verb == "run")
    entry = root.load(args[0])
    sock = _notified(entry)
    entry.start()
    _poststart(entry, entry.spec())
    if sock is not None:
        from pyman.runtime import notify

        notify.pass_on(sock, entry.pid)
    return 0


def _note(settings: dict[str, Any], text: str, level: str = "warning") -> None:
    from pyman.runtime import main

    main.log(settings, level, text)


def _poststart(entry: store.Entry, spec: dict[str, Any]) -> None:
    """The poststart hooks; one that fails ends the container (runtime.md "Lifecycle"). RuntimeFailure."""
    found = (spec.get("hooks") or {}).get("poststart")
    if not found:
        return
    try:
        hooks.run_all("poststart", found, entry.state())
    except RuntimeFailure:
        entry.abandon()
        raise


def _notified(entry: store.Entry) -> Any:
    """The socket on which the container says that it is ready, or None."""
    if not os.environ.get("NOTIFY_SOCKET"):
        return None
    from pyman.runtime import notify

    return notify.listen(entry.path)


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
    for text in validate.vain_ambient(spec["process"]):
        _note(settings, text)
    if spec.get("annotations"):
        _heed(spec, opts)
    preserve = foreground.preserved(opts)
    if foreground.listen_fds():
        spec["process"]["env"] = [*(spec["process"].get("env") or []), f"LISTEN_FDS={foreground.listen_fds()}", "LISTEN_PID=1"]
    if not detached:
        foreground.hold_signals()
    foreground.end_with_an_error(f"cannot create container {container_id}")
    entry = root.make(container_id, directory, spec)
    spec["process"]["oomScoreMust"] = True  # not of the spec
    created: Created | None = None
    extras: Extras | None = None
    try:
        if not then_start:
            os.mkfifo(start.outcome_of(entry.gate()), 0o600)
        if os.environ.get("NOTIFY_SOCKET"):
            from pyman.runtime import notify

            notify.add_mount(spec, entry.path)
        linux = spec["linux"]
        place, notes = _group(linux, container_id, settings)
        entry.record.update(cgroup=place, notes=notes)
        entry.save()
        for note in notes:
            _note(settings, note, "debug")
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
        _finish(entry, created, opts, detached)
        if not then_start:
            return 0
        sock = _notified(entry)
        start.start_gated(created, entry.gate())
        entry.mark_started()
        if extras.devices is not None:
            extras.devices.close()
        _poststart(entry, spec)
    except BaseException:
        foreground.ignore_ends()
        if extras is not None and extras.devices is not None:
            extras.devices.bring_back()
        entry.abandon()
        if created is not None:
            process.wait(created.pid)  # killed by now: no zombie is left to whoever is next above
        raise
    if opts.get("detach"):
        if sock is not None:
            notify.pass_on(sock, created.pid)
        return 0
    code = foreground.attend(created.pid, created.console, sock)
    if not opts.get("keep"):
        for failure in entry.delete(True):
            _note(settings, failure)
    return code


def _finish(entry: store.Entry, created: Created, opts: dict[str, Any], detached: bool) -> None:
    """Give the caller what belongs to him; the container is a created one when its terminal has been taken, before the pid file is there."""
    if not any(opts.get(name) for name in foreground.HANDED_OVER):
        entry.finished_creating()
        return
    from pyman.runtime import handover

    if not detached:
        foreground.release_signals()
    handover.sockets(created, opts)
    if not detached:
        foreground.hold_signals()
    entry.finished_creating()
    handover.pid_file(created, opts)


def _heed(spec: dict[str, Any], opts: dict[str, Any]) -> None:
    """The annotations that crun has given a meaning and managers set."""
    notes = spec["annotations"]
    if notes.get("run.oci.keep_original_groups") in ("1", "true"):  # for --group-add keep-groups
        spec["process"]["keepGroups"] = True  # not of the spec
    if notes.get("run.oci.seccomp_fail_unknown_syscall") == "1" and spec["linux"].get("seccomp"):
        spec["linux"]["seccomp"]["failUnknown"] = True  # not of the spec
    if notes.get("run.oci.pidfd_receiver"):
        opts.setdefault("pidfd_socket", notes["run.oci.pidfd_receiver"])


def _group(linux: dict[str, Any], container_id: str, settings: dict[str, Any]) -> tuple[str, list[str]]:
    """The container's cgroup, in a scope of the service manager's where that was asked for and one is there. RuntimeFailure."""
    where, resources = linux.get("cgroupsPath") or "", linux.get("resources") or {}
    if settings.get("cgroup_manager") == "disabled":
        return "", ["no cgroup was made, and no limit set: --cgroup-manager disabled"]
    systemd = bool(settings.get("systemd_cgroup"))
    if systemd and ":" in where:
        from pyman.runtime import scopes  # --systemd-cgroup only

        base = scopes.of_spec(where, container_id)
        if base:
            return cgroup_place.create("container", container_id, resources, base=base)
    return cgroup_place.create(where, container_id, resources, systemd)
