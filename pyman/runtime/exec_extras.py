"""What a process of `exec` may ask for beyond the common one: the container's cgroup, labels, scheduling, a seccomp listener."""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_TUNED = ("scheduler", "ioPriority", "execCPUAffinity", "apparmorProfile", "selinuxLabel")


class ExecExtras:
    """cgroup: directory to join, or ""; init: pid of the container's first process; limited: whether leaving it out would escape limits.

    attach: moves a process into a directory where the kernel does not let this one; None if nobody can. state: the container's.
    """

    __slots__ = (
        *("_description", "_listener", "_listeners", "_process", "_tuning"),
        *("attach", "born_in_cgroup", "cgroup", "init", "limited", "state"),
    )

    def __init__(self, process: dict[str, Any], linux: dict[str, Any], state: dict[str, Any], cgroup: str = "", init: int = 0) -> None:
        self._process = process
        self.init = init
        self._description = linux.get("seccomp") or {}
        self._listener = -1
        # Modules loaded before the fork if they are needed: afterwards nothing is imported.
        self._listeners: ModuleType | None = None
        self._tuning: ModuleType | None = None
        self.cgroup = cgroup
        self.attach: Callable[[str, int], object] | None = None
        self.born_in_cgroup = False  # the fork put the process there
        self.limited = bool({key for key, value in (linux.get("resources") or {}).items() if value} - {"devices"})
        self.state = state

    def parent_prepare(self) -> tuple[int, ...]:
        """Check what can be checked and open what the process cannot reach. RuntimeFailure."""
        if any(self._process.get(key) for key in _TUNED):
            from pyman.runtime import tuning

            tuning.check(self._process)
            self._tuning = tuning
        if not self._description:
            return ()
        from pyman.linux import seccomp
        from pyman.runtime import listener

        self._listeners = listener
        if not seccomp.notifies(self._description):
            return ()
        self._listener = listener.connect(self._description)
        return (self._listener,)

    def parent_close(self) -> None:
        """Close the caller's copy."""
        if self._listener >= 0:
            os.close(self._listener)

    def may_be_born_in_cgroup(self) -> bool:
        """Whether nothing is to be done before the cgroup is entered."""
        return bool(self.cgroup) and not (self._process.get("execCPUAffinity") or {}).get("initial")

    def is_plain(self) -> bool:
        """Whether `before_join` has nothing to do that the process could not do in the container's pid namespace."""
        return self._tuning is None and self.attach is None

    def before_join(self) -> None:
        """In the joining process, with the host still in reach: labels, affinity, cgroup; its child inherits them. RuntimeFailure."""
        if self._tuning is not None:
            self._tuning.set_labels(self._process)
            self._tuning.set_affinity(self._process, "initial")
        if self.cgroup and not self.born_in_cgroup:
            self._enter_cgroup()
        if self._tuning is not None:
            self._tuning.set_affinity(self._process, "final")

    def _enter_cgroup(self) -> None:
        """Into the container's cgroup; where systemd in the container has divided that, into the one its first process is in. RuntimeFailure."""
        from pyman.runtime import cgroup

        try:
            self._move_to(self.cgroup)
        except RuntimeFailure:
            inner = cgroup.path_of(self.init) if self.init else ""
            if not inner.startswith(self.cgroup + "/"):
                raise
            self._move_to(inner)

    def _move_to(self, directory: str) -> None:
        from pyman.runtime import cgroup

        try:
            cgroup.join(directory, os.getpid())
        except RuntimeFailure as err:
            # The cgroups above may belong to somebody else, for example another login session.
            if err.errno not in (1, 13) or (self.limited and self.attach is None):
                raise
            if self.attach is not None:
                self.attach(directory, os.getpid())

    def before_program(self) -> None:
        """In the container, with all privileges. RuntimeFailure."""
        if self._tuning is not None:
            self._tuning.apply(self._process)

    def load_filter(self, bpf: bytes) -> None:
        """As Extras.load_filter."""
        if self._listeners is None:  # the caller compiled the filter, and nobody listens
            from pyman.linux import seccomp  # which is loaded therefore

            seccomp.load(bpf)
            return
        self._listeners.load_filter(bpf, self._description, self._listener, self.state)
