"""The plan of a container's health checks, as the monitor reads it: what to run, as whom, how often, what follows.

Process C before the start, and the CLI process of `update`. The form of the file is told in shims/monitor/health_plan.h.
"""

from __future__ import annotations

import os

from pyman.config import containers as containers_conf
from pyman.engine import health, health_state, stop
from pyman.linux import caps, seccomp
from pyman.runtime import program
from pyman.state import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container

_MILLISECOND = 10**6  # nanoseconds


def path(container: Container) -> str:
    """The file of the plan."""
    return os.path.join(container.dir, "health.plan")


def write(container: Container, opts: dict[str, Any], spec: dict[str, Any], restart: bool = True) -> int:
    """Write the plan by the options and the OCI spec of the container, or take it away. StorageError.

    restart: the container is starting, so its health begins anew. Returns what the state notes under `health`: 0 no check,
    1 one, 2 one that may restart the container.
    """
    check, startup = health.of(opts, container.config["image_config"])
    if not health.active(check):
        try:
            os.unlink(path(container))
        except FileNotFoundError:
            pass
        return 0
    if restart:
        health_state.begin(container)
    records = [*_commands(check or {}, startup), *_settings(container, opts, check or {}, startup), *_process(opts, spec)]
    data = b"".join(kind.encode() + len(value).to_bytes(4, "little") + value + b"\0" for kind, value in records)
    _write(path(container), data)
    return 2 if health.action(opts) == "restart" or (startup or {}).get("Retries") else 1


def _write(name: str, data: bytes) -> None:
    temp = f"{name}.tmp"
    try:
        with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(data)
        os.rename(temp, name)
    except OSError as err:
        from pyman.errors import StorageError

        raise StorageError(f"cannot write {name}", err.strerror or str(err), errno=err.errno or 0) from err


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _milliseconds(time: int) -> int:
    """Of nanoseconds, rounded up: 0 would mean that there is no such time, and the check would never be made, or never end."""
    return -(-time // _MILLISECOND)


def _words(test: list[str]) -> list[str]:
    return ["/bin/sh", "-c", " ".join(test[1:])] if test[0] == "CMD-SHELL" else test[1:]


def _commands(check: dict[str, Any], startup: dict[str, Any] | None) -> list[tuple[str, bytes]]:
    found = [("a", _text(word)) for word in _words(check["Test"])]
    return found + [("A", _text(word)) for word in _words(startup["Test"])] if startup else found


def _settings(container: Container, opts: dict[str, Any], check: dict[str, Any], startup: dict[str, Any] | None) -> list[tuple[str, bytes]]:
    destination, count, size = health.log(opts)
    conf = containers_conf.load()
    noted = bool(events.limit()) and conf["engine"].get("healthcheck_events") is not False
    numbers = {
        "interval": _milliseconds(check["Interval"]),
        "timeout": _milliseconds(check["Timeout"]),
        "start_period": _milliseconds(check.get("StartPeriod", 0)),
        "retries": check["Retries"],
        "log_count": count,
        "log_size": size,
        "action": health.ACTIONS.index(health.action(opts)),
        "stop_signal": stop.stop_signal(container),
        "stop_timeout": min(container.config.get("stop_timeout", 10), 10**9) * 1000,
        "events": (2 if destination == "events_logger" else 1) if noted else 0,
    }
    if startup:
        numbers["startup_interval"] = _milliseconds(startup["Interval"])
        numbers["startup_timeout"] = _milliseconds(startup["Timeout"])
        numbers["startup_retries"], numbers["startup_success"] = startup["Retries"], startup["Successes"]
    found = [("s", f"{name}={value}".encode()) for name, value in numbers.items()]
    if destination not in health.DESTINATIONS:
        found += [("s", _text(f"destination={destination}")), ("s", f"id={container.id}".encode())]
    return found


def _process(opts: dict[str, Any], spec: dict[str, Any]) -> list[tuple[str, bytes]]:
    """Who runs the command: exactly what the container's own process may."""
    process = spec["process"]
    user, sets = process.get("user") or {}, process.get("capabilities") or {}
    resources = (spec.get("linux") or {}).get("resources") or {}
    numbers: dict[str, int] = {
        name: caps.mask(sets.get(name) or []) for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
    }
    numbers.update(uid=user.get("uid", 0), gid=user.get("gid", 0), umask=user.get("umask", 0o022))
    numbers.update(no_new_privs=int(bool(process.get("noNewPrivileges"))), limited=int(any(resources.values())))
    numbers["divides"] = int(
        any(entry.get("type") == "cgroup" and "ro" not in (entry.get("options") or ()) for entry in spec.get("mounts") or ())
    )
    if process.get("oomScoreAdj") is not None:
        numbers["oom_score"] = process["oomScoreAdj"]
    found = [("s", f"{name}={value}".encode()) for name, value in numbers.items()]
    found += [("e", _text(f"{name}={value}")) for name, value in program.environment(process).items() if "\0" not in name + value]
    found += [("g", str(group).encode()) for group in user.get("additionalGids") or []]
    for number, soft, hard in program.limits(process):
        found.append(("l", f"{number}:{soft % (1 << 64)}:{hard % (1 << 64)}".encode()))
    found.append(("c", _text(process.get("cwd") or "/")))
    description = (spec.get("linux") or {}).get("seccomp")
    return [*found, ("f", seccomp.program(description))] if description else found
