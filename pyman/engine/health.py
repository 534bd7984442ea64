"""Health checks as asked for: the options and the image's HEALTHCHECK, checked, under Podman's names. CLI process, pure.

The monitor runs them (shims/monitor/health.h) by a plan that engine/health_plan.py writes; engine/health_state.py reads the results.
"""

from __future__ import annotations

import os

from pyman.errors import ImageError, UsageError
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Check = dict[str, Any]

ACTIONS = ("none", "kill", "restart", "stop")
DESTINATIONS = ("local", "events_logger")
_SECOND = 10**9
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND}
_LONGEST = 1 << 62  # nanoseconds
_MAX_WORDS, _MAX_TEXT = 1024, 128 << 10  # of an image's command: what execve(2) takes as one argument
_DEFAULT = 30 * _SECOND


def of(opts: dict[str, Any], image: dict[str, Any]) -> tuple[Check | None, Check | None]:
    """(health check, startup check) of a container: Test, Interval, Timeout, StartPeriod (nanoseconds), Retries, Successes.

    image: the image's config. UsageError for options, ImageError for an image's HEALTHCHECK, that make no sense.
    """
    if opts.get("no_healthcheck"):
        if opts.get("health_cmd"):
            raise UsageError("cannot use --no-healthcheck together with --health-cmd", "one asks for no check, the other for one")
        return {"Test": ["NONE"]}, None
    text = str(opts.get("health_cmd") or "")
    check: Check | None = {"Test": _command(text, "--health-cmd")} if text else _of_image(image)
    if check is None:
        return None, None
    check.setdefault("Interval", _DEFAULT)
    check.setdefault("Timeout", _DEFAULT)
    check.setdefault("Retries", 3)
    _override(check, opts, "health_", (("interval", "Interval"), ("timeout", "Timeout"), ("start_period", "StartPeriod")))
    if _given(opts, "health_retries"):
        check["Retries"] = _count("--health-retries", opts["health_retries"], 1)
    return check, _startup(opts) if active(check) else None


def active(check: Check | None) -> bool:
    """Whether there is something to run: no check, and a check NONE, run nothing."""
    return bool(check) and check["Test"][0] not in ("", "NONE")  # type: ignore[index]


def action(opts: dict[str, Any]) -> str:
    """What follows when the container becomes unhealthy. UsageError."""
    name = str(opts.get("health_on_failure") or "none").lower()
    if name not in ACTIONS:
        raise UsageError(f"invalid value {name!r} for option --health-on-failure", f"it must be one of {', '.join(ACTIONS)}")
    return name


def check(opts: dict[str, Any], image: dict[str, Any]) -> bool:
    """UsageError or ImageError for what create and update must refuse; true if there is a check to run."""
    found, _ = of(opts, image)
    what = action(opts)
    if found is None and what != "none":
        raise UsageError(f"cannot use --health-on-failure={what}", "the container has no health check", "give one: --health-cmd")
    if opts.get("health_startup_cmd") and not active(found):
        raise UsageError(
            "cannot use --health-startup-cmd", "a startup check comes before a health check, and there is none", "give one: --health-cmd"
        )
    log(opts)
    return active(found)


def log(opts: dict[str, Any]) -> tuple[str, int, int]:
    """(destination: local, events_logger or a directory; entries kept; bytes kept of each one's output; 0: what the monitor has room for). UsageError."""
    where = str(opts.get("health_log_destination") or "local")
    if where not in DESTINATIONS:
        if not os.path.isdir(where):
            raise UsageError(
                f"invalid value {where!r} for option --health-log-destination", "it is neither local, events_logger nor a directory"
            )
        where = os.path.abspath(where)
    sizes = []
    for option, default in (("health_max_log_count", 5), ("health_max_log_size", 500)):
        sizes.append(_count("--" + option.replace("_", "-"), opts[option], 0) if _given(opts, option) else default)
    return where, sizes[0], sizes[1]


def duration(option: str, text: str, least: int = 0) -> int:
    """Nanoseconds of a duration such as 1m30s. UsageError."""
    total, rest = 0, text.strip()
    sign, rest = (-1, rest[1:]) if rest.startswith("-") else (1, rest)
    good = bool(rest)
    if rest == "0":
        rest = ""
    while rest and good:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("nsuµmh"))]
        rest = rest[len(unit) :]
        good = unit in _UNITS and number.replace(".", "", 1).isdigit() and len(number) < 20
        total += int(float(number) * _UNITS[unit]) if good else 0
    if not good or total > _LONGEST:
        raise UsageError(f"invalid value {text!r} for option {option}", "it is not a duration", "for example 30s or 1m30s")
    if sign * total < least:
        raise UsageError(f"invalid value {text!r} for option {option}", f"it must be {least // _SECOND} seconds or more")
    return total


def _given(opts: dict[str, Any], key: str) -> bool:
    return opts.get(key) not in (None, "", [])


def _count(option: str, value: Any, least: int) -> int:
    try:
        number = int(value)
        if not least <= number < 1 << 31:
            raise ValueError
    except ValueError:
        raise UsageError(f"invalid value {str(value)!r} for option {option}", f"it must be a whole number from {least} on") from None
    return number


def _command(text: str, option: str) -> list[str]:
    """The command of an option: a JSON list, words after CMD, or a line for the shell; none switches a check off. UsageError."""
    first, _, rest = text.strip().partition(" ")
    if first.upper() == "NONE":
        return ["NONE"]
    if first.upper() in ("CMD", "CMD-SHELL"):  # as in a Containerfile
        if not rest.strip():
            raise UsageError(f"invalid value {text!r} for option {option}", "it names no command")
        return ["CMD", *rest.split()] if first.upper() == "CMD" else ["CMD-SHELL", rest.strip()]
    if text.lstrip().startswith("["):
        try:
            words = fastjson.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            if not words or not words[0]:
                raise UsageError(f"invalid value {text!r} for option {option}", "it names no command")
            first = words[0].upper()
            return [first, *words[1:]] if first in ("CMD", "CMD-SHELL", "NONE") else ["CMD", *words]
    return ["CMD-SHELL", text]


def _override(check: Check, opts: dict[str, Any], prefix: str, pairs: tuple[tuple[str, str], ...]) -> None:
    for name, key in pairs:
        if _given(opts, prefix + name):
            option = "--" + (prefix + name).replace("_", "-")
            text = str(opts[prefix + name])
            check[key] = 0 if name == "interval" and text == "disable" else duration(option, text)
            if name == "timeout" and not check[key]:
                raise UsageError(f"invalid value {text!r} for option {option}", "a check that has no time fails always", "for example 30s")


def _startup(opts: dict[str, Any]) -> Check | None:
    text = str(opts.get("health_startup_cmd") or "")
    if not text:
        return None
    check: Check = {"Test": _command(text, "--health-startup-cmd"), "Interval": _DEFAULT, "Timeout": _DEFAULT, "Retries": 0, "Successes": 0}
    _override(check, opts, "health_startup_", (("interval", "Interval"), ("timeout", "Timeout")))
    for name, key in (("retries", "Retries"), ("success", "Successes")):
        if _given(opts, f"health_startup_{name}"):
            check[key] = _count(f"--health-startup-{name}", opts[f"health_startup_{name}"], 0)
    return check if active(check) else None


def _of_image(image: dict[str, Any]) -> Check | None:
    """The image's HEALTHCHECK; it comes from a registry, so nothing of it is believed. ImageError."""
    found = image.get("Healthcheck")
    if not found:
        return None
    hint = "use --no-healthcheck, or --health-cmd with a check of your own"

    def refuse(why: str) -> ImageError:
        return ImageError("cannot use the image's HEALTHCHECK", why, hint)

    test = found.get("Test") if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise refuse("it is not an object")
    if not test:
        return None  # "inherit": there is nothing to inherit any more
    if not isinstance(test, list) or not all(isinstance(word, str) for word in test):
        raise refuse("its Test is not a list of strings")
    if len(test) > _MAX_WORDS or any(len(word) >= _MAX_TEXT or "\0" in word for word in test):
        raise refuse("its Test is too long, or has a NUL in it")
    if any("\ud800" <= char <= "\udfff" for word in test for char in word):
        raise refuse("its Test has half of a surrogate pair in it")
    if test[0] not in ("NONE", "CMD", "CMD-SHELL") or (test[0] != "NONE" and len(test) < 2):
        raise refuse("its Test does not begin with NONE, CMD or CMD-SHELL and a command")
    check: Check = {"Test": list(test)}
    for key, most in (("Interval", _LONGEST), ("Timeout", _LONGEST), ("StartPeriod", _LONGEST), ("Retries", (1 << 31) - 1)):
        value = found.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most):
            raise refuse(f"its {key} is not a number from 0 to {most}")
        if value:  # 0 stands for the default
            check[key] = value
    return check
