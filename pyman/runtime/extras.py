"""What a spec may ask for beyond the common container: cgroup, time offsets, hooks, labels, network devices, seccomp listeners.

`pyman-runtime` makes one object of this class for each container; `pyman run` only when its spec needs it. It is made before
the clone, so everything it imports is there when init needs it. Methods named parent_* run in the caller, the others in init.
"""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure
from pyman.linux import libc, seccomp
from pyman.runtime import home, hooks, listener, rootfs_more, tuning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.channel import Channel
    from pyman.runtime.net_devices import Moved
    from pyman.runtime.rootfs import Root

_PROPAGATION = {
    "": libc.MS_PRIVATE,
    "private": libc.MS_PRIVATE,
    "slave": libc.MS_SLAVE,
    "shared": libc.MS_SHARED,
    "unbindable": libc.MS_UNBINDABLE,
}


class Extras:
    """cgroup: the directory init joins, or "". no_pivot: MS_MOVE instead of pivot_root; no_new_keyring: keep the caller's keys."""

    __slots__ = (
        "_fds",
        "_listener",
        "_spec",
        "born_in_cgroup",
        "cgroup",
        "devices",
        "late_flags",
        "no_new_keyring",
        "no_pivot",
        "root_tree",
        "state",
    )

    def __init__(self, spec: dict[str, Any], state: dict[str, Any], cgroup: str = "") -> None:
        self._spec = spec
        self.state = state
        self.cgroup = cgroup
        self.born_in_cgroup = False  # the clone put init there
        self.no_pivot = self.no_new_keyring = False
        self.devices: Moved | None = None
        self.root_tree = -1  # see rootfs.Root
        self._fds: list[int] = []
        self._listener = -1
        kinds = {entry["type"] for entry in spec["linux"]["namespaces"] if not entry.get("path")}
        # A cgroup namespace starts where its maker is, so after the move; clone(2) cannot make a time namespace.
        self.late_flags = 0
        if "cgroup" in kinds:
            self.late_flags |= libc.CLONE_NEWCGROUP
        if "time" in kinds:
            self.late_flags |= libc.CLONE_NEWTIME

    def parent_prepare(self) -> tuple[int, ...]:
        """Open what init cannot reach; the descriptors that init keeps. RuntimeFailure."""
        process, linux = self._spec["process"], self._spec["linux"]
        hooks.check(self._spec.get("hooks") or {})
        tuning.check(process, linux)
        self._fds += rootfs_more.prepare_mounts(self._spec)
        if rootfs_more.leaves_out_caller(self._spec["linux"]):
            self.root_tree = rootfs_more.open_root(self._spec["root"]["path"])
            self._fds += [self.root_tree] if self.root_tree >= 0 else []
        description = linux.get("seccomp") or {}
        if seccomp.notifies(description):
            self._listener = listener.connect(description)
            self._fds.append(self._listener)
        return tuple(self._fds)

    def parent_close(self) -> None:
        """Close the caller's copies."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def parent_cloned(self, pid: int) -> None:
        """Init exists and waits: into its cgroup, its network devices moved. RuntimeFailure."""
        self.state["pid"] = pid
        if self.cgroup and not self.born_in_cgroup:
            from pyman.runtime import cgroup

            cgroup.join(self.cgroup, pid)
        if self._spec["linux"].get("netDevices"):
            from pyman.runtime import net_devices

            self.devices = net_devices.move_all(self._spec["linux"], pid)

    def parent_assist(self, channel: Channel) -> None:
        """Run the hooks of the runtime's side when init's root is built. RuntimeFailure."""
        if not self._has_early_hooks():
            return
        channel.expect("hooks", "hooks")
        for kind in ("prestart", "createRuntime"):
            hooks.run_all(kind, self._hooks(kind), self.state)
        channel.tell("hooked", "hooks")

    def _hooks(self, kind: str) -> list[dict[str, Any]]:
        return (self._spec.get("hooks") or {}).get(kind) or []

    def _has_early_hooks(self) -> bool:
        return any(self._hooks(kind) for kind in ("prestart", "createRuntime", "createContainer"))

    def enter(self, joins_others: bool) -> None:
        """Init, in its other namespaces and with its ids: the namespaces that could not be made by clone. RuntimeFailure, OSError."""
        if self.late_flags:
            libc.unshare(self.late_flags)
        if self.late_flags & libc.CLONE_NEWTIME:
            self._set_clocks(joins_others)

    def _set_clocks(self, joins_others: bool) -> None:
        offsets = self._spec["linux"].get("timeOffsets") or {}
        if not joins_others:
            libc.prctl(libc.PR_SET_DUMPABLE, 1)  # the change of ids gave our own procfs entry to nobody
        text = "".join(f"{clock} {int(entry.get('secs') or 0)} {int(entry.get('nanosecs') or 0)}\n" for clock, entry in offsets.items())
        try:
            if text:
                fd = os.open("/proc/self/timens_offsets", os.O_WRONLY | os.O_CLOEXEC)
                os.write(fd, text.encode())
                os.close(fd)
            fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
            libc.setns(fd, libc.CLONE_NEWTIME)
            os.close(fd)
        except OSError as err:
            raise RuntimeFailure("cannot set linux.timeOffsets", err.strerror or str(err), stage="time", errno=err.errno or 0) from err

    def propagation(self) -> int:
        """How the host's tree is cut off while the root is built: its mounts may flow in only where the spec wants that."""
        wanted = str(self._spec["linux"].get("rootfsPropagation") or "").removeprefix("r")
        return libc.MS_SLAVE if wanted in ("slave", "shared") else libc.MS_PRIVATE

    def before_pivot(self, root: Root, channel: Channel) -> None:
        """Hooks before pivot_root; labels for the exec, through the host's procfs; HOME and the working directory, as runc makes them."""
        if self._has_early_hooks():
            channel.send("hooks")
            channel.expect("hooked", "hooks")
            hooks.run_all("createContainer", self._hooks("createContainer"), self.state)
        process = self._spec["process"]
        tuning.set_labels(process)
        home.add(process, root.fd)
        try:
            os.close(root.make_dirs(process["cwd"]))
        except OSError:
            pass  # where it cannot be made, entering it says why

    def pivot(self, root: Root, readonly: bool) -> bool:
        """Enter the root without pivot_root if that was asked for; whether it was done."""
        if self.no_pivot:
            rootfs_more.move_root(root, readonly)
        return self.no_pivot

    def entered(self) -> None:
        """In the root: its propagation."""
        wanted = str(self._spec["linux"].get("rootfsPropagation") or "")
        recursive = libc.MS_REC if wanted.startswith("r") else 0
        if wanted:
            libc.mount(None, "/", None, _PROPAGATION[wanted.removeprefix("r")] | recursive)

    def before_program(self) -> None:
        """After `start`, with all privileges: startContainer hooks, scheduling. RuntimeFailure."""
        hooks.run_all("startContainer", self._hooks("startContainer"), {**self.state, "status": "created"})
        tuning.apply(self._spec["process"], self._spec["linux"])

    def rehearse(self) -> None:
        """In a child of init: what `before_program` will do that can fail. RuntimeFailure."""
        tuning.apply(self._spec["process"], self._spec["linux"])

    def load_filter(self, bpf: bytes) -> None:
        """Install the seccomp filter with its flags, and hand its descriptor to the listener."""
        listener.load_filter(bpf, self._spec["linux"].get("seccomp") or {}, self._listener, self.state)
