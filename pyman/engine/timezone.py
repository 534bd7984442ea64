"""--tz: the zone's file of the host, bound over /etc/localtime. CLI process."""

from __future__ import annotations

import os

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ZONES = "/usr/share/zoneinfo"


def mount(name: str) -> dict[str, Any]:
    """The OCI mount for a zone such as Europe/Berlin, or `local` for the host's. UsageError."""
    if name == "local":
        path = os.path.realpath("/etc/localtime")
    else:
        path = os.path.realpath(os.path.join(_ZONES, name))
        if name.startswith("/") or not path.startswith(_ZONES + "/"):
            path = ""
    if not os.path.isfile(path):
        raise UsageError(
            f"unknown time zone {name!r}",
            f"the host has no such file below {_ZONES}",
            "for example Europe/Berlin; or: apt-get install tzdata",
        )
    options = ["bind", "ro", "rprivate", "nosuid", "nodev", "noexec"]
    return {"destination": "/etc/localtime", "type": "bind", "source": path, "options": options}
