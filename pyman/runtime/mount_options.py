"""Options of mounts: what the words of a spec mean, and how a mount gets its attributes. Init."""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure
from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# mount option -> (mount_attr bits to set, bits to clear)
ATTR = {
    "ro": (1, 0),
    "rw": (0, 1),
    "nosuid": (2, 0),
    "suid": (0, 2),
    "nodev": (4, 0),
    "dev": (0, 4),
    "noexec": (8, 0),
    "exec": (0, 8),
    "noatime": (0x10, 0x70),
    "strictatime": (0x20, 0x70),
    "relatime": (0, 0x70),
    "nodiratime": (0x80, 0),
    "atime": (0, 0x10),
    "diratime": (0, 0x80),
    "nosymfollow": (0x200000, 0),
    "symfollow": (0, 0x200000),
}
_PROPAGATION = {"private": libc.MS_PRIVATE, "slave": libc.MS_SLAVE, "shared": libc.MS_SHARED, "unbindable": libc.MS_UNBINDABLE}
MS_FLAGS = {
    "ro": libc.MS_RDONLY,
    "nosuid": libc.MS_NOSUID,
    "nodev": libc.MS_NODEV,
    "noexec": libc.MS_NOEXEC,
    "sync": libc.MS_SYNCHRONOUS,
    "noatime": libc.MS_NOATIME,
    "nodiratime": libc.MS_NODIRATIME,
    "relatime": libc.MS_RELATIME,
    "strictatime": libc.MS_STRICTATIME,
    "nosymfollow": 256,
    "dirsync": 128,
    "mand": 64,
    "silent": libc.MS_SILENT,
    "iversion": 1 << 23,
    "lazytime": 1 << 25,
}
# What takes such a flag back, if it comes after it.
_UNDONE = {
    **{"rw": "ro", "suid": "nosuid", "dev": "nodev", "exec": "noexec", "async": "sync", "loud": "silent", "atime": "noatime"},
    **{"diratime": "nodiratime", "symfollow": "nosymfollow"},
    **{f"no{name}": name for name in ("relatime", "strictatime", "mand", "iversion", "lazytime")},
}
_IGNORED = {"bind", "rbind", "defaults", "tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow", "rnorelatime", "rnostrictatime"}
_IGNORED.update(MS_FLAGS, _UNDONE)


def parse_options(entry: dict[str, Any]) -> tuple[int, int, int, list[str], tuple[int, int]]:
    """(attr_set, attr_clr, propagation, data options, the same bits for the whole tree) of a mount's options."""
    attr_set = attr_clr = propagation = 0
    data: list[str] = []
    deep_set = deep_clr = 0
    for option in entry.get("options") or []:
        if option in ATTR:
            bits = ATTR[option]
            attr_set, attr_clr = attr_set & ~bits[1] | bits[0], attr_clr & ~bits[0] | bits[1]
        elif option.startswith("r") and option[1:] in ATTR:
            bits = ATTR[option[1:]]
            deep_set, deep_clr = deep_set & ~bits[1] | bits[0], deep_clr & ~bits[0] | bits[1]
        elif option in _PROPAGATION:
            propagation = _PROPAGATION[option]
        elif option.startswith("r") and option[1:] in _PROPAGATION:
            propagation = _PROPAGATION[option[1:]] | libc.MS_REC
        elif option not in _IGNORED and option.partition("=")[0] not in ("idmap", "ridmap"):
            data.append(option)
    return attr_set, attr_clr, propagation, data, (deep_set, deep_clr)


def mount_flags(options: list[str]) -> int:
    """The flags of mount(2) that options ask for; of two that contradict each other the later one counts."""
    flags = 0
    for option in options:
        flags = flags & ~MS_FLAGS.get(_UNDONE.get(option, ""), 0) | MS_FLAGS.get(option, 0)
    return flags


def option_names() -> list[str]:
    """Every mount option that is understood and not just passed to the file system."""
    known = {*ATTR, *MS_FLAGS, *_PROPAGATION, *_IGNORED, "idmap", "ridmap", *("r" + name for name in (*ATTR, *_PROPAGATION))}
    return sorted(known)


def set_attributes(tree: int, attr_set: int, attr_clr: int, recursive: bool) -> None:
    """Set and clear mount_attr bits of a mount, or of its whole tree. RuntimeFailure where the host's mount forbids it; OSError."""
    flags = libc.AT_EMPTY_PATH | (libc.AT_RECURSIVE if recursive else 0)
    if attr_set & ~0xF0:
        libc.mount_setattr(tree, "", flags, attr_set=attr_set & ~0xF0)
    if (attr_set | attr_clr) & 0xF0:
        try:
            # Access times are one value of three (MOUNT_ATTR__ATIME) and one flag, for directories.
            times = 0x70 if (attr_set | attr_clr) & 0x70 else 0
            libc.mount_setattr(tree, "", flags, attr_set=attr_set & 0xF0, attr_clr=times | (attr_clr & 0x80))
        except PermissionError:
            if attr_set & 0xF0:
                why = "the host's mount decides about access times, which an unprivileged user cannot change"
                raise RuntimeFailure("cannot change the mount's flags", why, stage="mounts") from None
    if attr_clr & 0x200000:
        libc.mount_setattr(tree, "", flags, attr_clr=0x200000)
    if attr_clr & 0xF:
        try:
            libc.mount_setattr(tree, "", flags, attr_clr=attr_clr & 0xF)
        except PermissionError:
            # Flags of the host's mount are locked in a user namespace: an error, if one that was asked away is set.
            held = [
                name for name, bit in (("ro", 1), ("nosuid", 2), ("nodev", 4), ("noexec", 8)) if attr_clr & bit & os.fstatvfs(tree).f_flag
            ]
            if held:
                raise RuntimeFailure(
                    "cannot change the mount's flags",
                    f"the host mounts it {','.join(held)}, which an unprivileged user cannot undo",
                    stage="mounts",
                ) from None
