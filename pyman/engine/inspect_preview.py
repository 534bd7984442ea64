"""What the OCI configuration of a container that was never started will say, as far as `inspect` shows it. CLI process.

The options and containers.toml decide it, so it is worked out in the same way as at the start; nothing of the image's files is read.
"""

from __future__ import annotations

import os

from pyman.config import containers as containers_conf
from pyman.engine import caps, env, inspect_namespaces, logopts, plan, specgen
from pyman.engine.container import Container
from pyman.errors import PymanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def spec(container: Container) -> dict[str, Any]:
    """process, mounts (/dev/shm only), id maps and limits. What an option's mistake leaves open is left out: the start says what is wrong."""
    config = container.config
    conf, opts = containers_conf.load(), config["options"]
    user, maps = inspect_namespaces.decided(opts) if any(opts.get(key) for key in inspect_namespaces.OPTIONS) else ("", {})
    return {
        "process": {
            "env": _environment(container, conf),
            "capabilities": _or(lambda: _capabilities(config, conf, user), {}),
            "rlimits": _or(lambda: specgen.rlimits(opts, conf["containers"]), []),
        },
        "mounts": _or(lambda: [_shm(opts, conf)], []),
        "linux": {"resources": _or(lambda: specgen.resources(opts), {}), **maps},
    }


def network_mode(container: Container) -> str:
    """The mode it will have; empty if the options contradict each other."""
    return str(_or(lambda: plan.network_mode(container.config["options"], containers_conf.load()), ""))


def _or(work: Any, otherwise: Any) -> Any:
    try:
        return work()
    except PymanError:
        return otherwise


def _environment(container: Container, conf: dict[str, Any]) -> list[str]:
    opts, image = container.config["options"], container.config["image_config"]
    hostname = _or(lambda: plan.hostname(container, network_mode(container)), container.id[:12])
    found: list[str] = _or(lambda: env.build(opts, list(image.get("Env") or []), dict(os.environ), conf, hostname, []), [])
    return found


def _capabilities(config: dict[str, Any], conf: dict[str, Any], keeps: str) -> dict[str, list[str]]:
    opts = config["options"]
    added = list(opts.get("cap_add") or [])
    default = list(conf["containers"].get("default_capabilities") or [])
    bounding = caps.bounding(added, list(opts.get("cap_drop") or []), bool(opts.get("privileged")), default)
    user = str(opts.get("user") or keeps or config["image_config"].get("User") or "").partition(":")[0]
    return caps.process_sets(bounding, user in ("", "0", "root"), added)


def _shm(opts: dict[str, Any], conf: dict[str, Any]) -> dict[str, Any]:
    size = logopts.parse_size(str(opts.get("shm_size") or conf["containers"].get("shm_size") or "64m"), "--shm-size")
    return {"destination": "/dev/shm", "options": [f"size={size}"]}
