"""`pyman-runtime`: the OCI runtime as a program, with runc's command line. Global options, the error's way to the log, exit codes."""

from __future__ import annotations

import gc
import os
import sys

from pyman import fastimport
from pyman.errors import PymanError, RuntimeFailure, UsageError
from pyman.linux import process
from pyman.runtime import arguments
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

# The launcher says under which name it was called, if that is another one: a symbolic link `runc`, for example.
NAME = os.environ.pop("PYMAN_CALLED_AS", "") or "pyman-runtime"
_PRINTING = ("", "state", "list", "ps", "events", "features")  # nothing else is of use in what these do
_NO_READER = 6  # ENXIO: a FIFO that nobody reads, yet or any more
# In the form in which crun says it; SYSTEMD: sd_notify(3).
FEATURES = "+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF"
HELP = f"""Usage: {NAME} [OPTION...] COMMAND [OPTION...] CONTAINER ...

Run containers from OCI bundles (runtime-spec 1.2).

commands:
  create ID, start ID, run ID       make a container from a bundle (--bundle DIR), execute its program, both
  exec ID CMD ...                   a further process in a running container
  state ID, list, ps ID, events ID  what there is
  kill ID [SIGNAL], delete ID       end it, forget it
  pause ID, resume ID, update ID    freeze it, thaw it, change its limits
  checkpoint ID, restore ID         what stands in criu's way here
  spec, features                    a template of config.json, what this runtime can do

global options:
"""


def main(argv: list[str]) -> NoReturn:
    """Run the command line and end the process. 1 for an error, 255 for one of exec, as runc; the program's code for run and exec."""
    code = 1
    settings: dict[str, Any] = {}
    process.await_children()
    try:
        settings, rest = arguments.parse(argv, arguments.GLOBAL)
        level = settings.get("log_level") or "warning"
        if level not in ("error", "warning", "debug"):
            raise UsageError(f"invalid --log-level {level!r}", "error, warning and debug are known")
        settings["debug"] = settings.get("debug") or level == "debug"
        if settings.get("version"):
            from pyman.version import VERSION

            sys.stdout.write(f"{NAME} version {VERSION}\nspec: 1.2.0\n{FEATURES}\n")
            code = 0
        elif settings.get("help") or rest[:1] in (["help"], []):
            from pyman.runtime import help as texts

            sys.stdout.write(HELP + texts.lines(arguments.GLOBAL, arguments.short_names(arguments.GLOBAL)))
            code = 0 if settings.get("help") or rest else 1
        else:
            code = _run(settings, rest)
    except PymanError as err:
        log(settings, "error", _text(err))
        code = _failed(argv)
    except OSError as err:
        log(settings, "error", f"{err.filename or ''}: {err.strerror or err}".strip(": "))
        code = _failed(argv)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as err:  # a configuration no check foresaw: one line, no traceback
        log(settings, "error", f"cannot use the configuration: {type(err).__name__}: {err}")
        code = _failed(argv)
    except KeyboardInterrupt:
        code = 130
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # whoever read it has enough
    except OSError as err:
        log(settings, "error", f"cannot write what was to be printed: {err.strerror or err}")
        code = code or _failed(argv)
    streams = sys.modules.get("pyman.linux.streams")  # loaded if one of them was closed
    if code == 0 and streams is not None and 1 in streams.closed and _verb(argv) in _PRINTING:
        log(settings, "error", "cannot write what was to be printed: standard output is closed")
        code = 1
    os._exit(code)


def _verb(argv: list[str]) -> str:
    return next((word for word in argv if word in arguments.VERBS), "")


def _failed(argv: list[str]) -> int:
    """The exit code of an error, which for exec must not look like one of the program's own."""
    return 255 if _verb(argv) == "exec" else 1


def _text(err: PymanError) -> str:
    """The error for people and for managers, which look for runc's and crun's words."""
    if err.exit_code == 127:
        return f"{err}: executable file not found in $PATH" if "PATH" in err.why else f"{err}: no such file or directory"
    known = "denied" in str(err) or "too long" in str(err)
    return f"{err}: permission denied" if err.exit_code == 126 and not known else str(err)


def log(settings: dict[str, Any], level: str, text: str) -> None:
    """One message: errors and warnings on stderr too, what is less only with --debug; the log file gets what stderr gets."""
    if level not in ("error", "warning") and not settings.get("debug"):
        return
    if not text.isprintable():  # names of a bundle's: they must not write to the terminal
        text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    sys.stderr.write(f"pyman-runtime: {text}\n" if level == "error" else f"pyman-runtime: {level}: {text}\n")
    path = str(settings.get("log") or "").removeprefix("file:")
    if not path:
        return
    import time

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if settings.get("log_format") == "json":
        line = fastjson.dumps({"level": level, "msg": text, "time": now})
    else:
        line = f"time={fastjson.dumps(now)} level={level} msg={fastjson.dumps(text)}"
    try:
        fd = _open_log(path)
        os.write(fd, line.encode() + b"\n")
        os.close(fd)
    except OSError as err:
        if err.errno != _NO_READER:
            sys.stderr.write(f"pyman-runtime: cannot write the log {path}: {err.strerror}\n")


def _open_log(path: str) -> int:
    """Append to it, without waiting for somebody who reads a FIFO."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)


def _try_log(settings: dict[str, Any]) -> None:
    """A log that cannot be written is found before anything is done, not with the first error. RuntimeFailure."""
    path = str(settings["log"]).removeprefix("file:")
    try:
        os.close(_open_log(path))
    except OSError as err:
        if err.errno != _NO_READER:
            del settings["log"]
            raise RuntimeFailure(
                f"cannot write the log {path}", err.strerror or str(err), "give a file in a directory that exists"
            ) from None


def _run(settings: dict[str, Any], rest: list[str]) -> int:
    verb = rest[0]
    if verb not in arguments.VERBS:
        raise UsageError(f"unknown command {verb!r}", arguments.near(verb, arguments.VERBS) or "known are " + ", ".join(arguments.VERBS))
    if settings.get("log_format") not in (None, "json", "text"):
        raise UsageError(f"invalid --log-format {settings['log_format']!r}", "json and text are known")
    if settings.get("cgroup_manager") not in (None, "cgroupfs", "systemd", "disabled"):
        raise UsageError(f"invalid --cgroup-manager {settings['cgroup_manager']!r}", "cgroupfs, systemd and disabled are known")
    if settings.get("rootless") not in (None, "true", "false", "auto"):
        raise UsageError(f"invalid --rootless {settings['rootless']!r}", "true, false and auto are known")
    if settings.get("cgroup_manager") == "systemd":
        settings["systemd_cgroup"] = True
    kind, colon, _ = str(settings.get("log") or "").partition(":")
    if colon and kind.isalpha() and kind != "file":
        raise UsageError(f"invalid --log {settings.pop('log')!r}", "the log is a file: give its path, or file:PATH")
    if settings.get("log"):
        _try_log(settings)
    opts, args = arguments.parse(rest[1:], arguments.VERBS[verb])
    if opts.get("help"):
        from pyman.runtime import help as texts

        known = arguments.VERBS[verb]
        sys.stdout.write(f"Usage: {NAME} [OPTION...] {verb} {arguments.POSITIONALS.get(verb, '')}".rstrip() + "\n")
        sys.stdout.write(texts.lines(known, arguments.short_names(known)))
        return 0
    least, most = arguments.COUNTS[verb]
    if not least <= len(args) <= most:
        raise UsageError(
            f"wrong number of arguments for {verb}", f"usage: pyman-runtime {verb} {arguments.POSITIONALS.get(verb, '')}".rstrip()
        )
    os.umask(0o022)  # directories made in the container's root are for all its users, whatever the caller takes from others or gives them
    if verb in ("create", "run", "start", "exec"):
        if os.stat("/proc/self/exe").st_uid != 0 or os.getuid() == 0:
            from pyman.linux import sealed

            sealed.ensure()
        fastimport.preload()
        if verb == "exec":
            from pyman.runtime import exec_command

            return exec_command.run(settings, args, opts)
        from pyman.runtime import commands

        return commands.run(verb, settings, args, opts)
    if verb in ("checkpoint", "restore"):
        from pyman.runtime import checkpoint

        return checkpoint.run(verb, settings, args, opts)
    fastimport.preload()
    from pyman.runtime import queries

    gc.enable()
    return queries.run(verb, settings, args, opts)
