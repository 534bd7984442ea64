"""`pyman-runtime`: the OCI runtime as a program, with runc's command line: create start state kill delete run exec list spec features."""

from __future__ import annotations

import os
import sys

from pyman.errors import PymanError, UsageError
from pyman.runtime import bundle, create, exec, start, store
from pyman.state import fastjson
from pyman.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

# option -> whether it takes a value
_GLOBAL = {
    "--root": True,
    "--log": True,
    "--log-format": True,
    "--debug": False,
    "--systemd-cgroup": False,
    "--version": False,
    "--rootless": True,
    "--cgroup-manager": True,
}
_CREATE = {
    "--bundle": True,
    "-b": True,
    "--pid-file": True,
    "--console-socket": True,
    "--preserve-fds": True,
    "--no-pivot": False,
    "--no-new-keyring": False,
}
_VERBS: dict[str, dict[str, bool]] = {
    "create": _CREATE,
    "run": {**_CREATE, "--detach": False, "-d": False, "--keep": False},
    "start": {},
    "state": {},
    "kill": {"--all": False, "-a": False},
    "delete": {"--force": False, "-f": False},
    "exec": {
        "--process": True,
        "-p": True,
        "--cwd": True,
        "--env": True,
        "-e": True,
        "--user": True,
        "-u": True,
        "--tty": False,
        "-t": False,
        "--detach": False,
        "-d": False,
        "--pid-file": True,
        "--console-socket": True,
        "--preserve-fds": True,
        "--no-new-privs": False,
    },
    "list": {"--format": True, "-f": True, "--quiet": False, "-q": False},
    "spec": {"--bundle": True, "-b": True, "--rootless": False},
    "features": {},
}


def _options(argv: list[str], known: dict[str, bool], many: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Options up to the first positional, and the rest. UsageError."""
    found: dict[str, Any] = {}
    at = 0
    while at < len(argv) and argv[at].startswith("-"):
        name, equals, value = argv[at].partition("=")
        at += 1
        if name == "--":
            break
        if name not in known:
            raise UsageError(f"unknown option {name}", "pyman-runtime does not have it")
        if known[name] and not equals:
            if at >= len(argv):
                raise UsageError(f"option {name} needs a value", "none was given")
            value, at = argv[at], at + 1
        key = name.lstrip("-").replace("-", "_")
        if key in ("env", "e"):
            found.setdefault("env", []).append(value)
        else:
            found[key] = value if known[name] else True
    return found, argv[at:]


def main(argv: list[str]) -> NoReturn:
    """Run the command line and end the process. 1 for an error, as runc; the container's code for run and exec."""
    code = 1
    settings: dict[str, Any] = {}
    try:
        settings, rest = _options(argv, _GLOBAL)
        if settings.get("version"):
            sys.stdout.write(f"pyman-runtime version {VERSION}\nspec: 1.2.0\n")
            code = 0
        else:
            code = _run(settings, rest)
    except PymanError as err:
        _log(settings, str(err))
        code = err.exit_code if err.exit_code in (126, 127) and "run" in argv else 1
    except OSError as err:
        _log(settings, f"{err.filename or ''} {err.strerror or err}".strip())
    sys.stdout.flush()
    os._exit(code)


def _log(settings: dict[str, Any], text: str) -> None:
    """The error on stderr, and in the log file as managers expect it."""
    sys.stderr.write(f"pyman-runtime: {text}\n")
    if settings.get("log"):
        import time

        line = text
        if settings.get("log_format") == "json":
            line = fastjson.dumps({"level": "error", "msg": text, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        with open(settings["log"], "a", encoding="utf-8") as file:
            file.write(line + "\n")


def _run(settings: dict[str, Any], rest: list[str]) -> int:
    if not rest or rest[0] not in _VERBS:
        raise UsageError(f"unknown command {rest[0] if rest else ''!r}", "known are " + ", ".join(_VERBS))
    verb = rest[0]
    opts, args = _options(rest[1:], _VERBS[verb])
    root = store.Root(settings.get("root") or "")
    if verb == "features":
        return _print(bundle.features())
    if verb == "spec":
        return bundle.write_template(opts.get("bundle") or opts.get("b") or ".")
    if verb == "list":
        return _list(root, opts)
    if not args:
        raise UsageError(f"{verb} needs a container id", "none was given")
    container_id = args[0]
    if verb in ("create", "run", "start", "exec") and (os.stat("/proc/self/exe").st_uid != 0 or os.getuid() == 0):
        from pyman.linux import sealed

        sealed.ensure()
    if verb in ("create", "run"):
        return _create(root, container_id, opts, verb == "run")
    entry = root.load(container_id)
    if verb == "state":
        return _print(entry.state())
    if verb == "start":
        entry.start()
    elif verb == "kill":
        entry.kill(args[1] if len(args) > 1 else "TERM")
    elif verb == "delete":
        entry.delete(bool(opts.get("force") or opts.get("f")))
    elif verb == "exec":
        return _exec(entry, args[1:], opts)
    return 0


def _print(value: object) -> int:
    sys.stdout.write(fastjson.dumps(value, indent=2) + "\n")
    return 0


def _list(root: store.Root, opts: dict[str, Any]) -> int:
    entries = [root.load(name).state() for name in root.ids()]
    if opts.get("format", opts.get("f")) == "json":
        return _print(entries)
    if not (opts.get("quiet") or opts.get("q")):
        sys.stdout.write(f"{'ID':<24}{'PID':<8}{'STATUS':<12}BUNDLE\n")
    for state in entries:
        sys.stdout.write(
            f"{state['id']}\n"
            if opts.get("quiet") or opts.get("q")
            else f"{state['id']:<24}{state['pid']:<8}{state['status']:<12}{state['bundle']}\n"
        )
    return 0


def _create(root: store.Root, container_id: str, opts: dict[str, Any], run: bool) -> int:
    directory = os.path.abspath(opts.get("bundle") or opts.get("b") or ".")
    spec = bundle.load(directory)
    entry = root.make(container_id, directory, spec)
    console_socket = opts.get("console_socket") or ""
    try:
        created = create.begin(
            spec,
            bundle=directory,
            container_id=container_id,
            stdio=(0, 1, 2),
            preserve=tuple(range(3, 3 + int(opts.get("preserve_fds") or 0))),
            gate=entry.gate(),
        )
        create.wait_created(created)
        entry.created(created)
        if created.console >= 0:
            bundle.send_console(console_socket, created.console)
        if opts.get("pid_file"):
            bundle.write_pid(opts["pid_file"], created.pid)
        if not run:
            return 0
        start.start_gated(created, entry.gate())
        entry.mark_started()
    except BaseException:
        entry.delete(True)
        raise
    if opts.get("detach") or opts.get("d"):
        return 0
    _, status = os.waitpid(created.pid, 0)
    if not opts.get("keep"):
        entry.delete(True)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _exec(entry: store.Entry, command: list[str], opts: dict[str, Any]) -> int:
    process = bundle.exec_process(entry.spec(), command, opts)
    entry.require_running("execute a command in")
    created = exec.exec_process(
        entry.pid,
        process,
        stdio=(0, 1, 2),
        preserve=tuple(range(3, 3 + int(opts.get("preserve_fds") or 0))),
        seccomp_spec=entry.spec().get("linux", {}).get("seccomp"),
    )
    if created.console >= 0:
        bundle.send_console(opts.get("console_socket") or "", created.console)
    if opts.get("pid_file"):
        bundle.write_pid(opts["pid_file"], created.pid)
    if opts.get("detach") or opts.get("d"):
        return 0
    _, status = os.waitpid(created.pid, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
