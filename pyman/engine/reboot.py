"""Whether containers with a restart policy are there again after a reboot, and what is missing for it. CLI process; reads files only."""

from __future__ import annotations

import os

from pyman import paths
from pyman.rootless import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

UNIT = "pyman-restart.service"
_SYSTEM_UNITS = ("/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")


def _own_units() -> str:
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(paths.home(), ".config")
    return os.path.join(home, "systemd", "user")


def missing() -> list[str]:
    """The commands that are still to be called, in their order; a reason without a command stands in brackets. Empty: all is there."""
    if not os.path.isdir("/run/systemd/system"):
        return ["(systemd does not run here: nothing else starts containers at boot)"]
    found = []
    places = (_own_units(), *_SYSTEM_UNITS)
    if not any(os.path.exists(os.path.join(place, UNIT)) for place in places):
        found.append(f"(the unit {UNIT} is not installed: shims/install does it)")
    elif not any(os.path.lexists(os.path.join(place, "default.target.wants", UNIT)) for place in places):
        found.append(f"systemctl --user enable {UNIT}")
    if not lingers():
        found.append("loginctl enable-linger")
    return found


def lingers() -> bool:
    """Whether this user's services run without a session."""
    return os.path.exists(f"/var/lib/systemd/linger/{idmap.user_name(os.getuid())}")


def tell_once(policy: object, warn: Callable[[str], None]) -> None:
    """At the first restart policy that would outlast a reboot: say what is missing for it, once per store, or nothing if all is there."""
    if not str(policy or "").startswith(("always", "unless-stopped")):
        return
    mark = os.path.join(paths.graphroot(), "restart-told")
    if os.path.exists(mark):
        return
    needed = missing()
    if needed:
        try:
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError:
            return  # nowhere to remember it: not to say it is better than to say it each time
        reasons = [each.strip("()") for each in needed if each.startswith("(")]
        commands = ", ".join(each for each in needed if not each.startswith("("))
        said = ": ".join(["after a reboot of the machine this container will not be started again", *reasons])
        warn(said + (f"; for that: {commands}" if commands else ""))
