"""Names for the container's user in /etc/passwd and /etc/group: edited copies bound over the image's files. Process C.

As Podman does it: for the caller with --userns keep-id, for a --user whose number the image does not know, and for
--hostuser; --passwd-entry and --group-entry give the line, --passwd=false leaves the files alone.
"""

from __future__ import annotations

import os

from pyman.digits import is_whole
from pyman.engine import users
from pyman.errors import UsageError
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.specgen import SpecContext

_PASSWD = "$USERNAME:*:$UID:$GID:$NAME:$HOME:/bin/sh"
_GROUP = "$GROUPNAME:x:$GID:$USERLIST"


def add(spec: dict[str, Any], root_fd: int, ctx: SpecContext, user: dict[str, Any], opts: dict[str, Any]) -> str:
    """Add the bind mounts to `spec` where a line is missing; the home of a new user, or "". UsageError for an unknown --hostuser or a bad entry."""
    if opts.get("passwd") is False:
        return ""
    passwd, group = (users.read_file(root_fd, f"etc/{file}") for file in ("passwd", "group"))
    new_passwd: list[str] = []
    new_group: list[str] = []
    home = ""
    keep_id = bool(spec["linux"].get("uidMappings")) and not ctx.given_user
    if not user.get("name") and user["uid"] != 0 and (keep_id or ctx.given_user):
        name = _own_name() if keep_id else str(user["uid"])
        home = next((entry[5:] for entry in spec["process"]["env"] if entry.startswith("HOME=")), "/")
        values = {"USERNAME": name, "UID": str(user["uid"]), "GID": str(user["gid"]), "NAME": name if keep_id else "container user"}
        new_passwd.append(_line(str(opts.get("passwd_entry") or _PASSWD), {**values, "HOME": home if home != "/" else ctx.workdir}, 7))
        home = new_passwd[0].split(":")[5]
        if not any(len(entry) >= 3 and entry[2] == str(user["gid"]) for entry in group):
            values = {"GROUPNAME": name if keep_id else str(user["gid"]), "GID": str(user["gid"]), "USERLIST": name if keep_id else ""}
            new_group.append(_line(str(opts.get("group_entry") or _GROUP), values, 4))
    known = {entry[0] for entry in passwd}
    for name in opts.get("hostuser") or []:
        host = _host_user(name)
        if host[0] not in known:
            new_passwd.append(":".join(host))
    for file, old, new in (("passwd", passwd, new_passwd), ("group", group, new_group)):
        if not new:
            continue
        path = os.path.join(ctx.run_dir, file)
        store.write_text(path, "\n".join([*(":".join(entry) for entry in old), *new]) + "\n", mode=0o644)
        os.chmod(path, 0o644)
        options = ["bind", "rprivate", "nosuid", "nodev", "noexec", *(["ro"] if spec["root"].get("readonly") else [])]
        spec["mounts"].append({"destination": f"/etc/{file}", "type": "bind", "source": path, "options": options})
    return home


def _own_name() -> str:
    name = os.environ.get("USER") or ""
    return "".join(char for char in name if char.isalnum() or char in "_-.") or "user"


def _line(template: str, values: dict[str, str], fields: int) -> str:
    line = template
    for key in sorted(values, key=len, reverse=True):
        line = line.replace("$" + key, values[key])
    if "\n" in line or line.count(":") != fields - 1:
        raise UsageError(f"invalid entry {template!r}", f"a line of this file has {fields} fields, separated by colons")
    return line


def _host_user(text: str) -> list[str]:
    import pwd

    try:
        entry = pwd.getpwuid(int(text)) if is_whole(text) else pwd.getpwnam(text)
    except KeyError:
        raise UsageError(f"cannot add host user {text!r}", "the host has no such user") from None
    return [entry.pw_name, "*", str(entry.pw_uid), str(entry.pw_gid), entry.pw_gecos, entry.pw_dir, "/bin/sh"]
