"""--log-driver and --log-opt: which driver, which file, when it is rotated. CLI process and C."""

from __future__ import annotations

import os

from pyman import errors, exitcodes
from pyman.digits import is_whole
from pyman.errors import StorageError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PASSED = ("passthrough", "passthrough-tty")  # the container has the streams of the command itself
DRIVERS = ("k8s-file", "json-file", "journald", "none", *PASSED)
DEFAULT_FILES = 1
# Docker's, which its configurations are full of: each is said to do nothing when a container is made.
_DOCKERS = ("compress", "env", "env-regex", "labels", "labels-regex", "max-buffer-size", "mode")
_UNITS = {"": 0, "b": 0, "k": 1, "kb": 1, "m": 2, "mb": 2, "g": 3, "gb": 3}


def parse_size(text: str, option: str, step: int = 1024) -> int:
    """Bytes of a size such as 10m or 1GB (powers of `step`). UsageError."""
    number = text.strip().lower().rstrip("bkmg")
    unit = text.strip().lower()[len(number) :]
    good = unit in _UNITS and number.isascii() and number.replace(".", "", 1).isdigit()
    value = float(number) * step ** _UNITS[unit] if good else 0.0
    if not good or value >= 1 << 62:
        raise UsageError(f"invalid size {text!r} for {option}", "a size is a number and a unit b, k, m or g", "for example: 10m")
    return int(value)


def check(opts: dict[str, Any], conf: dict[str, Any]) -> None:
    """Before a container is made: UsageError for a driver or an option that would fail at its start."""
    driver = settings(opts, conf, "")[0]
    for key in sorted({item.partition("=")[0] for item in opts.get("log_opt") or []} & set(_DOCKERS)):
        if errors.tell:
            errors.tell(f"--log-opt {key} is Docker's and does nothing here")
    if driver == "journald":
        from pyman.engine import journal  # this driver only

        journal.check(opts)
    if driver == "passthrough":
        if any(os.isatty(fd) for fd in (0, 1, 2)):
            why = "the container could type into your terminal (TIOCSTI), and do there what you can"
            raise UsageError(
                "cannot use log driver passthrough on a terminal", why, "if that is what you want: --log-driver passthrough-tty"
            )


def passed(opts: dict[str, Any], conf: dict[str, Any]) -> bool:
    """Whether the container has the streams of the command that starts it."""
    return (opts.get("log_driver") or conf["containers"].get("log_driver")) in PASSED


def settings(opts: dict[str, Any], conf: dict[str, Any], default_path: str) -> tuple[str, str, int, int]:
    """(driver, log path, bytes until rotation or 0, files kept). UsageError."""
    driver = opts.get("log_driver") or conf["containers"].get("log_driver") or "k8s-file"
    if driver not in DRIVERS:
        raise UsageError(f"invalid log driver {driver!r}", "it must be one of " + ", ".join(DRIVERS))
    limit = conf["containers"].get("log_size_max") or 0
    path, size, files = default_path, max(0, int(limit)), DEFAULT_FILES
    for item in opts.get("log_opt") or []:
        key, _, value = item.partition("=")
        if driver == "journald" and key not in ("tag", "label", *_DOCKERS):
            raise UsageError(
                f"cannot use --log-opt {key} with log driver journald", "the journal has its own files and limits", "man journald.conf"
            )
        if key in ("max-size", "max_size"):
            size = 0 if value == "-1" else parse_size(value, "--log-opt max-size", 1000)  # as Podman
        elif key in ("max-file", "max_file"):
            if not is_whole(value, 9) or int(value) < 1:
                raise UsageError(f"invalid value {value!r} for --log-opt max-file", "it must be a positive number")
            files = int(value)
        elif key == "path":
            path = value
        elif key not in ("tag", "label", *_DOCKERS):
            raise UsageError(f"invalid log option {key!r}", "known are path, max-size, max-file, and for journald tag and label")
    return driver, path, size, files


def open_log(settings: tuple[str, str, int, int]) -> int:
    """A descriptor of the log file, -1 where the driver has none: no container runs without the log that was asked for. StorageError."""
    driver, path, _, _ = settings
    if driver not in ("k8s-file", "json-file"):
        return -1
    try:
        # (The path may be the user's: a FIFO without a reader would hold up the monitor for ever.)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as err:
        why = "it is a FIFO that nobody reads" if err.errno == 6 else err.strerror or str(err)
        hint = "move away what lies there, or choose another place: --log-opt path="
        raise StorageError(f"cannot open log file {path}", why, hint, errno=err.errno or 0, exit_code=exitcodes.CANNOT_INVOKE) from err
