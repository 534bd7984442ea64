"""What config.json and the first state.json of a container hold. CLI process; reads only the files that options name."""

from __future__ import annotations

import os
import time

from pyman.engine import env, restart_policy
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONFIG_VERSION = 1


def first_config(opts: dict[str, Any], conf: dict[str, Any], image: dict[str, Any], command: list[str]) -> dict[str, Any]:
    """config.json but for what the container is made from. image: the image's configuration; UsageError.

    The options are kept as every later start is to see them.
    """
    return {
        "version": CONFIG_VERSION,
        "created": time.time(),
        "options": _frozen(opts, conf),
        "command": command,
        "image_config": image,
        "stop_signal": opts.get("stop_signal") or _signal_of_systemd(opts, image, command),
        "stop_timeout": _stop_timeout(opts, conf),
        "create_command": ["pyman", *opts.get("_argv", [])],
    }


def _stored(opts: dict[str, Any]) -> dict[str, Any]:
    """What config.json keeps of the options: those with a value, and which of them were given."""
    kept = {key: value for key, value in opts.items() if value not in (False, "", None, []) and not key.startswith("_")}
    # An option given with an empty or false value (--entrypoint "", --sig-proxy=false) says something too.
    given = sorted(getattr(opts, "given", ()))
    kept.update({key: opts[key] for key in given if key in opts})
    kept["_given"] = given
    for secret in ("creds",):
        kept.pop(secret, None)
    return kept


def _frozen(opts: dict[str, Any], conf: dict[str, Any]) -> dict[str, Any]:
    """The options for every later start: nothing of this call's directory and environment is looked up again."""
    kept = _stored(opts)
    if kept.get("volumes_from"):
        from pyman.engine import volumes_from

        kept["volumes_from_mounts"] = volumes_from.records(kept["volumes_from"])
    kept["volume"] = [
        os.path.abspath(spec.split(":")[0]) + spec[len(spec.split(":")[0]) :] if spec.startswith(".") else spec
        for spec in kept.get("volume") or []
    ]
    if str(kept.get("health_log_destination") or "local") not in ("local", "events_logger"):
        kept["health_log_destination"] = os.path.abspath(kept["health_log_destination"])
    kept["mount"] = [_absolute_mount(spec) for spec in kept.get("mount") or []]
    table = conf["containers"]
    if table["volumes"] or table["mounts"]:
        from pyman.engine import mount_plan

        mount_plan.add_defaults(kept, table)
    if kept.get("env") or kept.get("env_file"):
        kept["env"] = env.frozen(kept, dict(os.environ))
        kept.pop("env_file", None)
    if kept.get("env_host"):
        kept["host_env"] = dict(os.environ)
    return kept


def _absolute_mount(spec: str) -> str:
    """A bind mount's relative source made absolute."""
    items = spec.split(",")
    if not any(item in ("type=bind", "type=glob") for item in items):
        return spec
    for index, item in enumerate(items):
        key, _, value = item.partition("=")
        if key in ("src", "source") and not value.startswith("/"):
            items[index] = f"{key}={os.path.abspath(value)}"
    return ",".join(items)


def _stop_timeout(opts: dict[str, Any], conf: dict[str, Any]) -> int:
    value = opts.get("stop_timeout")
    if value in (None, ""):
        value = conf["engine"].get("stop_timeout", 10)
    return int(value) if value is not None else 10


def _signal_of_systemd(opts: dict[str, Any], image: dict[str, Any], command: list[str]) -> str:
    """The signal that stops a container of systemd's, where neither the user nor the image names one; empty for others."""
    words = [*command[:1], *(image.get("Entrypoint") or [])[:1], *(image.get("Cmd") or [])[:1], opts.get("entrypoint") or ""]
    if image.get("StopSignal") or not (opts.get("systemd") or any(str(word).endswith(("/init", "systemd")) for word in words)):
        return ""
    from pyman.engine import specgen, systemd_mode  # systemd only

    started = specgen.arguments({**opts, "_command": command, "_given": getattr(opts, "given", ())}, image)
    return systemd_mode.STOP_SIGNAL if systemd_mode.wanted(opts, started) else ""


def first_state(config: dict[str, Any], opts: dict[str, Any]) -> dict[str, Any]:
    """The first state: everything `ps` shows, so that it reads one small file per container."""
    image_config = config["image_config"]
    return {
        "id": config["id"],
        "name": config["name"],
        "image": config["image"]["name"] or config["rootfs"],
        "image_id": config["image"]["id"],
        "command": config["command"] or [str(a) for a in image_config.get("Cmd") or image_config.get("Entrypoint") or []],
        "created": config["created"],
        "labels": labels(opts, image_config),
        "ports": [],
        "mounts": [],
        "networks": [],
        "network_mode": (opts.get("network") or [""])[0] if isinstance(opts.get("network"), list) else opts.get("network") or "",
        "status": "created",
        "auto_remove": bool(opts.get("rm")),
        "pid": 0,
        "pid_start": 0,
        "monitor_pid": 0,
        "monitor_start": 0,
        "boot_id": "",
        "started": 0.0,
        "finished": 0.0,
        "exit_code": 0,
        "oom_killed": False,
        "restarts": 0,
        "restart_policy": _policy(opts),
        "driver": "",
    }


def _policy(opts: dict[str, Any]) -> str:
    name, most = restart_policy.parse(str(opts.get("restart") or ""))
    return f"{name}:{most}" if most else name


def labels(opts: dict[str, Any], image_config: dict[str, Any]) -> dict[str, str]:
    """Image labels, then --label-file, then --label, in the order of their names, as Podman's JSON has them. UsageError for an unreadable file.

    A file is read as one of environment variables, where a name without a value sets nothing.
    """
    result = {str(k): str(v) for k, v in (image_config.get("Labels") or {}).items()}
    lines: list[str] = []
    for path in opts.get("label_file") or []:
        try:
            with open(path, encoding="utf-8") as file:
                texts = (line.lstrip().rstrip("\r\n") for line in file)
                lines += [text for text in texts if "=" in text and text[0] != "#"]
        except (OSError, UnicodeDecodeError) as err:
            raise UsageError(
                f"cannot read label file {path}", getattr(err, "strerror", "") or "it is not UTF-8 text", errno=getattr(err, "errno", 0)
            ) from err
    for item in [*lines, *(opts.get("label") or [])]:
        key, _, value = item.partition("=")
        if not key:
            raise UsageError(f"invalid label {item!r}", "a label is KEY or KEY=VALUE")
        result[key] = value
    return dict(sorted(result.items()))
