"""Whether containers with a restart policy are there again after a reboot, and what is missing for it. CLI process; reads files only."""

from __future__ import annotations

import os

from pyman import paths
from pyman.rootless import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

UNIT = "pyman-restart.service"
_LACKS = {f"{UNIT} is not enabled": "systemctl", "lingering is off": "loginctl"}
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


def verdict() -> tuple[bool, str, str]:
    """(whether containers are there again after a reboot; why, or what is missing; the commands for that)."""
    needed = missing()
    if not needed:
        return True, f"lingering is on and {UNIT} is enabled", ""
    reasons = [each.strip("()") for each in needed if each.startswith("(")]
    commands = [each for each in needed if not each.startswith("(")]
    lacks = [lack for lack, command in _LACKS.items() if any(each.startswith(command) for each in commands)]
    return False, ", ".join([*reasons, *lacks]), " && ".join(commands)


def tell(policy: object, warn: Callable[..., None]) -> None:
    """A restart policy that would outlast a reboot: say at a store's first whether it will, and later if something can be done that it does.

    warn: prints a line; its keyword `label` is the word before it.
    """
    if not str(policy or "").startswith(("always", "unless-stopped")):
        return
    mark = os.path.join(paths.graphroot(), "restart-told")
    first = not os.path.exists(mark)
    good, why, commands = verdict()
    if not first and (good or not commands):
        return
    if first:
        try:
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError:
            if good or not commands:
                return  # nowhere to remember it: not to say it is better than to say it each time
    if good:
        warn(f"this container will be back after a reboot: {why}", label="Note")
    else:
        warn(f"this container will not be back after a reboot: {why}" + (f"; to change that: {commands}" if commands else ""))
