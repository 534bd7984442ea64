"""`pyman-runtime` state, list, ps, kill, delete, pause, resume, update, events, spec, features."""

from __future__ import annotations

import os
import sys
import time

from pyman.errors import NoSuchContainer, PymanError, StateError, StorageError, UsageError
from pyman.linux import process
from pyman.runtime import arguments, asides, cgroup, store
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Seconds that `state` waits for a creation under way: managers know "created" as the first answer of other runtimes.
_PATIENCE = 0.5


def run(verb: str, settings: dict[str, Any], args: list[str], opts: dict[str, Any]) -> int:
    """Exit code of one of the commands of this module. PymanError, OSError."""
    root = store.Root(settings.get("root") or "")
    if verb in ("features", "spec"):
        from pyman.runtime import template

        if verb == "features":
            return _print(template.features())
        return template.write_template(opts.get("bundle") or ".", bool(opts.get("rootless")))
    if verb in ("delete", "list"):
        asides.sweep(root.path)
    if verb == "list":
        return _list(root, settings, opts)
    if verb in ("delete", "kill"):
        return _end(root, verb, settings, args, opts)
    entry = root.load(args[0])
    if verb == "state":
        end = time.monotonic() + _PATIENCE
        while entry.status() == "creating" and time.monotonic() < end:
            time.sleep(0.005)
            entry = root.load(args[0])
        return _print(entry.state())
    entry.require_running({"ps": "list the processes of", "events": "show events of"}.get(verb, verb), created=True)
    if verb == "ps":
        return _ps(entry, opts, args[1:])
    if verb in ("pause", "resume"):
        return _freeze(entry, verb == "pause")
    if verb == "update":
        return _update(entry, opts)
    try:
        return _events(entry, opts)
    except BrokenPipeError:
        return 0  # whoever read them has enough


def _print(value: object) -> int:
    sys.stdout.write(fastjson.dumps(value, indent=2) + "\n")
    return 0


def _end(root: store.Root, verb: str, settings: dict[str, Any], args: list[str], opts: dict[str, Any]) -> int:
    """delete and kill, of one container or of all whose id the regular expression finds. UsageError for an invalid expression."""
    names = [args[0]]
    if opts.get("regex"):
        import re

        try:
            names = [name for name in root.ids() if re.search(args[0], name)]
        except re.error as err:
            raise UsageError(f"invalid regular expression {args[0]!r}", str(err)) from None
    for name in names:
        if verb == "delete":
            _delete(root, name, settings, bool(opts.get("force")))
        else:
            root.load(name).kill(args[1] if len(args) > 1 else "TERM", bool(opts.get("all")))
    return 0


def _delete(root: store.Root, container_id: str, settings: dict[str, Any], force: bool) -> int:
    from pyman.runtime import main

    try:
        failures = root.load(container_id).delete(force)
    except NoSuchContainer:
        if not force:
            raise
        root.discard(container_id)  # what a killed command may have left
        return 0  # it is gone, which is what was asked for
    except StorageError:
        if not force:
            raise
        from pyman.runtime import damaged

        known = damaged.clear(root, container_id)
        failures = [] if known else [f"the record of container {container_id} named no process: what it had may still run"]
    for failure in failures:
        main.log(settings, "warning", failure)
    return 0


def _owner(path: str) -> str:
    uid = os.stat(path).st_uid
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _list(root: store.Root, settings: dict[str, Any], opts: dict[str, Any]) -> int:
    style = opts.get("format") or "table"
    if style not in ("table", "json"):
        raise UsageError(f"invalid --format {style!r}", "table and json are known")
    found = []
    for name in root.ids():
        try:
            entry = root.load(name)
            created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.record.get("created") or 0))
            found.append(
                {**entry.state(), "created": created, "owner": _owner(entry.path), "rootfs": entry.spec().get("root", {}).get("path", "")}
            )
        except NoSuchContainer:
            continue  # being made or deleted right now
        except PymanError as err:
            from pyman.runtime import main

            main.log(settings, "warning", str(err))
    if opts.get("quiet"):
        sys.stdout.write("".join(f"{state['id']}\n" for state in found))
        return 0
    if style == "json":
        return _print(found)
    rows = [("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")]
    rows += [(s["id"], str(s["pid"]), s["status"], s["bundle"], s["created"], s["owner"]) for s in found]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n")
    return 0


def _members(entry: store.Entry) -> list[int]:
    """The container's processes: those of its cgroup, else those that share init's pid namespace."""
    if entry.cgroup:
        return cgroup.processes(entry.cgroup)
    return process.in_namespace_of(entry.pid)


def _ps(entry: store.Entry, opts: dict[str, Any], options: list[str]) -> int:
    pids = _members(entry)
    style = opts.get("format") or "table"
    if style == "json":
        if options:
            raise UsageError("cannot list processes", f"{' '.join(options)} is for the table: --format json gives their numbers only")
        return _print(pids)
    if style != "table":
        raise UsageError(f"invalid --format {style!r}", "table and json are known")
    # The host's ps with the caller's options; its lines of other processes are left out.
    options = options or ["-ef"]
    read_end, write_end = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, write_end, 1)]
    try:
        child = os.posix_spawnp("ps", ["ps", *options], os.environ, file_actions=actions)
    except FileNotFoundError:
        raise UsageError("cannot list processes", "the host has no program ps", "install it, or use --format json") from None
    os.close(write_end)
    with open(read_end, encoding="utf-8", errors="replace") as output:
        lines = output.read().split("\n")
    if process.wait(child) != 0:
        raise UsageError("cannot list processes", f"ps {' '.join(options)} failed")
    titles = lines[0].split()
    if "PID" not in titles:
        raise UsageError("cannot list processes", "the output of ps has no PID column")
    column = titles.index("PID")
    wanted = {str(pid) for pid in pids}
    sys.stdout.write(lines[0] + "\n")
    sys.stdout.write("".join(line + "\n" for line in lines[1:] if len(line.split()) > column and line.split()[column] in wanted))
    return 0


def _freeze(entry: store.Entry, frozen: bool) -> int:
    if cgroup.is_frozen(entry.cgroup) == frozen and entry.cgroup:
        verb = "pause" if frozen else "resume"
        raise StateError(f"cannot {verb} container {entry.record['id']}", "it is paused already" if frozen else "it is not paused")
    cgroup.freeze(entry.cgroup, frozen)
    return 0


def _read_resources(path: str) -> dict[str, Any]:
    """The linux.resources object in a file, or on stdin for "-". UsageError, RuntimeFailure."""
    from pyman.runtime import given, validate  # update only

    try:
        resources = fastjson.loads(sys.stdin.buffer.read(1 << 20)) if path == "-" else given.read(path)
    except ValueError as err:
        raise UsageError("cannot use the resources on stdin", f"they are no JSON: {err}") from None
    if resources is None:
        raise UsageError(f"cannot read {path}", "no such file")
    if not isinstance(resources, dict):
        raise UsageError(f"cannot use the resources in {path}", "they must be an object such as linux.resources of a bundle")
    validate.check_resources(resources)
    return dict(resources)


def _update(entry: store.Entry, opts: dict[str, Any]) -> int:
    resources: dict[str, Any] = {}
    path = opts.get("resources")
    if path:
        resources = _read_resources(path)
    cpu, memory = resources.setdefault("cpu", {}) or {}, resources.setdefault("memory", {}) or {}
    for option, key in (
        ("cpu_burst", "burst"),
        ("cpu_idle", "idle"),
        ("cpu_period", "period"),
        ("cpu_quota", "quota"),
        ("cpu_share", "shares"),
        ("cpu_shares", "shares"),
    ):
        if option in opts:
            cpu[key] = arguments.number(opts, option)
    for option, key in (("cpuset_cpus", "cpus"), ("cpuset_mems", "mems")):
        if option in opts:
            cpu[key] = opts[option]
    for option, key in (("memory", "limit"), ("memory_reservation", "reservation"), ("memory_swap", "swap")):
        if option in opts:
            memory[key] = arguments.size(opts[option], "--" + option.replace("_", "-"))
    if "pids_limit" in opts:
        resources["pids"] = {"limit": arguments.number(opts, "pids_limit")}
    if "blkio_weight" in opts:
        resources["blockIO"] = {**(resources.get("blockIO") or {}), "weight": arguments.number(opts, "blkio_weight")}
    from pyman.runtime import cgroup_place  # update only

    cgroup_place.update(entry.cgroup, {**resources, "cpu": cpu, "memory": memory})
    return 0


def _seconds(text: str) -> float:
    """An interval as Go writes it, in one unit: 5s, 500ms, 2m. UsageError."""
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        body = text[: -len(unit)]
        if text.endswith(unit) and body.isascii() and body.replace(".", "", 1).isdigit():
            if float(body):
                return min(max(float(body) * factor, 0.001), 1e9)
    raise UsageError(f"invalid --interval {text!r}", "it must be like 5s or 500ms, and above 0")


def _events(entry: store.Entry, opts: dict[str, Any]) -> int:
    """One JSON line per interval, and one for each out-of-memory kill; with --stats one line and the end."""
    from pyman.runtime import cgroup_stats

    if not entry.cgroup:
        raise StateError(f"cannot show events of container {entry.record['id']}", "it has no cgroup")
    interval = _seconds(opts.get("interval") or "5s")
    name, kills = entry.record["id"], cgroup.events(entry.cgroup, "memory.events").get("oom_kill", 0)
    while entry.alive():
        sys.stdout.write(fastjson.dumps({"type": "stats", "id": name, "data": cgroup_stats.collect(entry.cgroup)}) + "\n")
        sys.stdout.flush()
        if opts.get("stats"):
            return 0
        time.sleep(interval)
        now = cgroup.events(entry.cgroup, "memory.events").get("oom_kill", 0)
        if now > kills:
            sys.stdout.write(fastjson.dumps({"type": "oom", "id": name}) + "\n")
        kills = now
    return 0
