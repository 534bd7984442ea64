"""What a process of `exec` may ask for beyond the common one: the container's cgroup, labels, scheduling, a seccomp listener."""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure
from pyman.linux import seccomp
from pyman.runtime import extras as container_extras
from pyman.runtime import tuning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ExecExtras:
    """cgroup: directory to join, or ""; limited: whether leaving it out would escape limits; state: the container's."""

    __slots__ = ("_description", "_listener", "_process", "cgroup", "limited", "state")

    def __init__(self, process: dict[str, Any], linux: dict[str, Any], state: dict[str, Any], cgroup: str = "") -> None:
        self._process = process
        self._description = linux.get("seccomp") or {}
        self._listener = -1
        self.cgroup = cgroup
        self.limited = bool({key for key, value in (linux.get("resources") or {}).items() if value} - {"devices"})
        self.state = state

    def parent_prepare(self) -> tuple[int, ...]:
        """Check what can be checked and open what the process cannot reach. RuntimeFailure."""
        tuning.check(self._process)
        if not seccomp.notifies(self._description):
            return ()
        self._listener = container_extras.connect_listener(self._description)
        return (self._listener,)

    def parent_close(self) -> None:
        """Close the caller's copy."""
        if self._listener >= 0:
            os.close(self._listener)

    def before_join(self) -> None:
        """In the joining process, with the host still in reach: labels, affinity, cgroup; its child inherits them. RuntimeFailure."""
        tuning.set_labels(self._process)
        tuning.set_affinity(self._process, "initial")
        if self.cgroup:
            from pyman.runtime import cgroup

            try:
                cgroup.join(self.cgroup, os.getpid())
            except RuntimeFailure as err:
                # The cgroups above may belong to somebody else, for example another login session.
                if self.limited or err.errno not in (1, 13):
                    raise
        tuning.set_affinity(self._process, "final")

    def before_program(self) -> None:
        """In the container, with all privileges. RuntimeFailure."""
        tuning.apply(self._process)

    def load_filter(self, bpf: bytes) -> None:
        """As Extras.load_filter."""
        container_extras.load_filter(bpf, self._description, self._listener, self.state)
