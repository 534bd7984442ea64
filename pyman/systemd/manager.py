"""The user's service manager, asked through systemctl(1): reload it, what units do, stop them. CLI process."""

from __future__ import annotations

import os
import subprocess

from pyman import paths
from pyman.errors import MissingProgram, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def running() -> bool:
    """Whether this user has a service manager now (a login without lingering has none outside sessions, a container none at all)."""
    return bool(os.environ.get("XDG_RUNTIME_DIR") and paths.service_manager())


def call(*words: str) -> str:
    """What `systemctl --user WORDS` prints. StateError with what it says, MissingProgram."""
    try:
        done = subprocess.run(["systemctl", "--user", *words], capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        raise MissingProgram("cannot ask the service manager", "systemctl is not installed", "apt-get install systemd") from None
    if done.returncode:
        said = done.stderr.strip().split("\n")[0] or f"systemctl ended with {done.returncode}"
        raise StateError(
            f"systemctl --user {words[0]} failed", said, "systemctl --user status; a user without a session needs loginctl enable-linger"
        )
    return done.stdout


def reload() -> None:
    """Let it read all units again, which runs the generators. StateError, MissingProgram."""
    call("daemon-reload")


def states(units: Sequence[str]) -> dict[str, str]:
    """unit -> `active/running` and the like, for those that are loaded. StateError, MissingProgram."""
    found: dict[str, str] = {}
    wanted = [unit for unit in units if "@." not in unit]  # a template is never loaded, and asking for one is an error
    if not wanted:
        return found
    for block in call("show", "--property=Id,LoadState,ActiveState,SubState", "--", *wanted).split("\n\n"):
        facts = dict(line.partition("=")[::2] for line in block.split("\n") if "=" in line)
        if facts.get("LoadState") == "loaded":
            found[facts.get("Id", "")] = f"{facts.get('ActiveState', '')}/{facts.get('SubState', '')}"
    return found


def stop(unit: str) -> None:
    """Stop a unit and wait. StateError, MissingProgram."""
    call("stop", "--", unit)
