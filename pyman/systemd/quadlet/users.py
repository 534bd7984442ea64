"""Users and their mappings in .container files: User=, Group=, and the Remap keys that Podman had before UserNS=."""

from __future__ import annotations

from pyman.systemd.quadlet.commandline import option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.systemd.unitfile import UnitFile

SECTION = "Container"
_REMAP = ("RemapUsers", "RemapUid", "RemapGid", "RemapUidSize")


def options(unit: UnitFile) -> list[str]:
    """--user and --userns; problems are noted in `unit`."""
    found = []
    user, group = unit.text(SECTION, "User"), unit.text(SECTION, "Group")
    if group and not user:
        unit.complain(unit.last(SECTION, "Group"), "Group= needs User=")
    elif user:
        found.append(option("user", f"{user}:{group}" if group else user))
    return found + _remap(unit)


def _remap(unit: UnitFile) -> list[str]:
    given = [entry for key in _REMAP if (entry := unit.last(SECTION, key)) and entry.value]
    if not given:
        return []
    explicit = [key for key in ("UserNS", "UIDMap", "GIDMap") if unit.text(SECTION, key)]
    if explicit:
        unit.complain(given[0], f"{given[0].key}= and {explicit[0]}= exclude each other; the Remap keys are old")
        return []
    kind = unit.text(SECTION, "RemapUsers")
    ids = {key: [word for _, word in unit.words(SECTION, key)] for key in ("RemapUid", "RemapGid")}
    if kind == "manual":
        return [option("uidmap", word) for word in ids["RemapUid"]] + [option("gidmap", word) for word in ids["RemapGid"]]
    if kind == "keep-id":
        for key, values in ids.items():
            if len(values) > 1:
                unit.complain(unit.last(SECTION, key), f"RemapUsers=keep-id takes one {key}=")
        parts = [f"uid={word}" for word in ids["RemapUid"]] + [f"gid={word}" for word in ids["RemapGid"]]
    elif kind == "auto":
        parts = [f"uidmapping={word}" for word in ids["RemapUid"]] + [f"gidmapping={word}" for word in ids["RemapGid"]]
        size = unit.text(SECTION, "RemapUidSize")
        parts += [f"size={size}"] if size.isdecimal() and int(size) else []
    else:
        unit.complain(
            given[0], f"RemapUsers={kind[:40]} is not known: use keep-id, auto or manual" if kind else f"{given[0].key}= needs RemapUsers="
        )
        return []
    return [option("userns", kind + (":" + ",".join(parts) if parts else ""))]
