"""What `inspect` shows of a host name that is not in the OCI configuration, and of an own user namespace. CLI process, such containers only."""

from __future__ import annotations

from pyman.config import containers as containers_conf
from pyman.engine import namespaces, plan, specgen
from pyman.engine.container import Container
from pyman.errors import NoSuchContainer, PymanError, StorageError
from pyman.rootless import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAPS = ("uidmap", "gidmap", "subuidname", "subgidname")
OPTIONS = ("userns", *_MAPS)


def hostname(container: Container, mode: str) -> str:
    """The name of the machine as a container sees it in a UTS namespace that is not its own, or will see it. mode: of its network."""
    try:
        return plan.hostname(container, mode)
    except (NoSuchContainer, StorageError):
        return container.id[:12]  # the other one was removed by force, or is damaged


def decided(options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(the user that keep-id makes the container's, its maps as in `linux` of the OCI configuration); empty where a start would fail."""
    ctx = specgen.SpecContext()
    ctx.conf, ctx.network_mode = containers_conf.load(), "none"
    try:
        ctx.idmap = idmap.load_idmap()
        found = namespaces.build({key: options.get(key) for key in OPTIONS}, ctx)
    except PymanError:
        return "", {}
    return found.default_user, {"uidMappings": found.uid_mappings, "gidMappings": found.gid_mappings} if found.uid_mappings else {}


def amend(value: dict[str, Any], options: dict[str, Any]) -> None:
    """Config.User and HostConfig.UsernsMode of an inspected container, as Podman has them: the caller's ids, and private."""
    name = str(options.get("userns") or "host").partition(":")[0]
    if name == "keep-id" and not options.get("user"):
        value["Config"]["User"] = decided(options)[0] or value["Config"]["User"]
    if name in ("keep-id", "nomap") or any(options.get(key) for key in _MAPS):
        value["HostConfig"]["UsernsMode"] = "private"
    elif name in ("host", "private"):
        value["HostConfig"]["UsernsMode"] = ""
