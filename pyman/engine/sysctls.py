"""Kernel parameters of a container's namespaces: --sysctl, containers.default_sysctls, and what bridges need. CLI process, pure."""

from __future__ import annotations

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def parse(item: str) -> tuple[str, str]:
    """The name and value of a --sysctl. UsageError: it has another form, or is none of a namespace's."""
    key, separator, value = item.partition("=")
    if not key or not separator:
        raise UsageError(f"invalid value {item!r} for --sysctl", "the form is NAME=VALUE")
    if not key.startswith(("net.", "fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm")):
        raise UsageError(
            f"cannot set sysctl {key}",
            "it belongs to the whole machine, not to a namespace",
            "only net.*, fs.mqueue.* and kernel.{msg,sem,shm}* can be set for a container",
        )
    return key, value


def entries(defaults: list[str], items: list[str], ns: Any, network_mode: str) -> dict[str, str]:
    """linux.sysctl: --sysctl (`items`) over the defaults, over what bridges need. UsageError.

    ns: the container's namespaces. A default for a namespace that it shares is left out, an option is an error.
    """
    if network_mode == "bridge":
        from pyman.network import attachments

        defaults = attachments.sysctls() + defaults
    result = {}
    for item in [*(item for item in defaults if ns.own("network" if item.startswith("net.") else "ipc")), *items]:
        key, value = parse(item)
        if key.startswith("net."):
            if not ns.own("network"):
                raise UsageError(
                    f"cannot set sysctl {key}",
                    f"the container shares its network namespace (--network {network_mode})",
                    "set it on the host",
                )
        elif not ns.own("ipc"):
            raise UsageError(f"cannot set sysctl {key}", "the container shares its IPC namespace", "leave --ipc private")
        result[key] = value
    return result
