"""From argv to an exit code: parse, call one command, turn errors into text, end without teardown. CLI process."""

from __future__ import annotations

import _codecs
import gc
import os
import sys

from pyman import errors, fastimport, paths
from pyman.errors import PymanError, UsageError
from pyman.linux import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

# Commands that show or use networks, by their modules. `network test` tells of what was killed, reload and connect mend it anyway.
LOOKING = frozenset(
    "attach container_inspect exec healthcheck_run inspect logs network_exists network_inspect network_ls port ps stats top why".split()
)
# Commands before whose work what has lost its monitor is started again, if its restart policy asks for that.
REVIVING = frozenset("attach container_inspect exec healthcheck_run inspect logs port ps start stats top".split())
LEVELS = ("trace", "debug", "info", "warn", "warning", "error", "fatal", "panic")


def escape(text: str) -> str:
    """Text from untrusted sources for a terminal: control, bidi and formatting characters as visible escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\t\n" else ascii(char)[1:-1] for char in text)


def _line(text: str) -> str:
    """Text that stays on its line, whatever names of files it quotes."""
    return escape(text).replace("\n", "\\n")


def print_error(err: PymanError) -> None:
    """`Error: what: why` and the hint, on stderr."""
    try:
        sys.stdout.flush()
    except OSError:
        pass  # told at the end
    if err.errno in (28, 122, 27):  # ENOSPC, EDQUOT, EFBIG
        from pyman.cli import room

        room.explain(err)
    _say(f"Error: {_line(str(err))}\n" + (f"  hint: {_line(err.hint)}\n" if err.hint else ""))


def print_warning(text: str, label: str = "Warning") -> None:
    """`Warning: text`, on stderr."""
    _say(f"{label}: {_line(text)}\n")


def _say(text: str) -> None:
    """Write to stderr; that nobody reads it any more ends no work and changes no exit code."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        pass


def warn_of_input(options: dict[str, object]) -> None:
    """-it without a terminal, as in a script: the words are Podman's."""
    if options.get("tty") and options.get("interactive") and not os.isatty(0):
        print_warning("The input device is not a TTY. The --tty and --interactive flags might not work properly")


def _globals(options: dict[str, Any]) -> None:
    for option, variable in (("root", "PYMAN_GRAPHROOT"), ("runroot", "PYMAN_RUNROOT"), ("storage_driver", "PYMAN_STORAGE_DRIVER")):
        if options.get(option):
            value = str(options[option])
            os.environ[variable] = value if option == "storage_driver" else os.path.abspath(value)
    level = options.get("log_level", "warn").lower()
    if level not in LEVELS:
        raise UsageError(f"invalid value {level!r} for option --log-level", f"it must be one of {', '.join(LEVELS)}")
    if options.get("config"):
        os.environ["DOCKER_CONFIG"] = os.path.abspath(options["config"])
    if options.get("module"):
        from pyman.config import modules  # with the option only

        modules.use(options["module"])
    out = "/dev/null" if options.get("noout") else options.get("out")
    if out:
        try:
            fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as err:
            raise UsageError(f"cannot write to {out}", err.strerror or str(err), "give --out a file that you may write to") from err
        os.dup2(fd, 1)
        os.close(fd)


def _debugging(argv: list[str]) -> bool:
    """--log-level debug or trace, anywhere: for errors, among them those of parsing."""
    at = argv.index("--log-level") + 1 if "--log-level" in argv else len(argv)
    return argv[at : at + 1] in (["debug"], ["trace"]) or "--log-level=debug" in argv or "--log-level=trace" in argv


def _without_secrets(argv: list[str]) -> list[str]:
    """The command line without the registry's password."""
    hidden = ["--creds=***" if word.startswith("--creds=") else word for word in argv]
    return ["***" if index and hidden[index - 1] == "--creds" else word for index, word in enumerate(hidden)]


def _run(argv: list[str]) -> int:
    from pyman.cli import parse

    try:
        parsed = parse.parse(argv)
    except UsageError:
        from pyman.cli import help as slow  # typer knows the nearest option

        slow.explain(argv)
        raise
    if parsed.globals.get("version"):
        from pyman.version import VERSION, told

        sys.stdout.write(f"pyman version {VERSION}\n" if told() == VERSION else f"podman version {told()}\n")
        return 0
    if parsed.help or parsed.command is None:
        from pyman.cli import help as slow

        return slow.show(parsed)
    _globals(parsed.globals)
    if parsed.command.enters and (os.stat("/proc/self/exe").st_uid != 0 or os.getuid() == 0):
        from pyman.linux import sealed

        sealed.ensure()
    process.await_children()
    # What the user takes from others is for his own programs (unshare); what he gives to them a container's processes would have, too.
    paths.umask = os.umask(0o022)
    if os.geteuid() == 0:
        from pyman.rootless import asroot

        asroot.drop_root()
    if parsed.command.module not in ("doctor", "version", "completion", "help"):
        # Whoever may write there could make this user run anything: no command believes what it finds.
        paths.refuse_foreign(paths.graphroot())
        paths.refuse_foreign(paths.runroot())
    if parsed.globals.get("runtime") and "runtime" in parsed.options and not parsed.options["runtime"]:
        parsed.options["runtime"] = parsed.globals["runtime"]
    if parsed.globals.get("cgroup_manager") and parsed.command.module in ("run", "create"):
        parsed.options["cgroup_manager"] = parsed.globals["cgroup_manager"]
    if parsed.command.starts:
        from pyman.rootless import userns

        userns.begin()
    if parsed.command.module in LOOKING:
        from pyman.engine import network_watch

        network_watch.look(print_warning)
    if parsed.command.module in REVIVING:
        from pyman.engine import container  # which these import anyway

        container.revives = True
    if parsed.command.module in ("run", "create"):
        parsed.options["_argv"] = _without_secrets(argv)  # inspect shows how a container was made
    errors.tell, errors.command = print_warning, " ".join(parsed.path)
    fastimport.preload()
    module = __import__(f"pyman.cli.commands.{parsed.command.module}", fromlist=["main"])
    gc.freeze()
    gc.enable()
    try:
        return int(module.main(parsed.options, parsed.args))
    except (OSError, PymanError) as err:
        from pyman.cli import gone  # after a failure only

        gone.explain(parsed.command.module, err)
        raise


def _whole(err: UnicodeError) -> tuple[bytes, int]:
    """For what cannot be printed: the bytes of a name that is no UTF-8 as they are, U+FFFD for half of a surrogate pair (of an image, say)."""
    if not isinstance(err, UnicodeEncodeError):
        raise err
    codes = [ord(char) for char in err.object[err.start : err.end]]
    return b"".join(bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else b"\xef\xbf\xbd" for code in codes), err.end


def main(argv: list[str]) -> NoReturn:
    """Run the command line and end the process; the only place (but forked children) that does."""
    code = 125
    if sys.stdout:
        _codecs.register_error("pyman", _whole)
        sys.stdout.reconfigure(errors="pyman")  # type: ignore[union-attr]
    try:
        code = _run(argv)
    except PymanError as err:
        if _debugging(argv):
            import traceback

            traceback.print_exc()
        print_error(err)
        code = err.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = 141  # the reader went away: what a shell reports for SIGPIPE
    except (AttributeError, LookupError, TypeError, ValueError) as err:
        code = _of_damage(err, _debugging(argv))
    except OSError as err:
        if _debugging(argv):
            raise
        if err.filename or not _output_error():
            print_error(_of_system(err))
    _write_modules()
    lost = _output_error()
    if lost:
        print_error(PymanError("cannot write what was to be printed", lost.strerror or str(lost)))
    try:
        sys.stderr.flush()  # os._exit does not
    except OSError:
        pass
    os._exit(code if not lost or code not in (0, 125) else 125)


def _output_error() -> OSError | None:
    """Why what has been printed does not reach its file: a full disk, for instance. That nobody reads it any more is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OSError as err:
        return err
    return None


def _of_system(err: OSError) -> PymanError:
    """An error of the system that no function expected, in the user's terms."""
    place = err.filename if isinstance(err.filename, str) else ""
    hint = "run it again with --log-level=debug"
    if err.errno in (1, 13) and place:
        hint = f"look at its owner and mode, and those of the directories above: namei -l {place}"
    elif err.errno == 28:
        hint = "make room: pyman image prune -a; df -h " + (os.path.dirname(place) or paths.graphroot())
    elif err.errno in (5, 30):
        hint = "look at the file system: findmnt -T " + (place or paths.graphroot())
    return PymanError(f"cannot use {place}" if place else "cannot finish the command", err.strerror or str(err), hint)


def _of_damage(err: Exception, debugging: bool) -> int:
    """Where a record of the store is damaged, that is what a command has failed at; its exit code. Raises the error again if all are whole."""
    from pyman.engine import spec_record

    found = None if debugging else spec_record.explained(err)
    if found is None:
        raise err
    print_error(found)
    return found.exit_code


def _write_modules() -> None:
    """The modules loaded, for the test that keeps hot commands free of heavy imports."""
    path = os.environ.get("PYMAN_DEBUG_MODULES")
    if path:
        with open(path, "w") as file:
            file.write("\n".join(sorted(sys.modules)))
