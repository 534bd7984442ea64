"""The last steps, to the user's program, as an ordered list of operations; see runtime/plan.py. Pure. Init and exec-init carry them out."""

from __future__ import annotations

from pyman.linux import caps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.plan import Step


def program(process: dict[str, Any], filtered: bool, die_with_parent: bool = False) -> list[Step]:
    """The last steps, for init and exec-init: after them the process has what the user's program gets. filtered: there is a seccomp filter.

    The filter comes last where no_new_privs allows that; else it needs CAP_SYS_ADMIN, so it comes before the capabilities go.
    """
    wanted = process.get("capabilities") or {}
    sets = {kind: caps.mask(wanted.get(kind) or []) for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    user = process.get("user") or {}
    no_new_privs = bool(process.get("noNewPrivileges"))
    cwd = process.get("cwd") or "/"
    # The directory may be closed to the user and open to root, or the other way round (a FUSE mount): one of both must do.
    steps: list[Step] = [("workdir", "try_directory", cwd)]
    # After the last descriptor was opened: a container may have a limit of none.
    steps += [("rlimits", "limit", item["type"], item["soft"], item["hard"]) for item in process.get("rlimits") or []]
    if filtered and not no_new_privs:
        steps.append(("user", "filter"))
    steps.append(("user", "bounding", sets["bounding"]))
    if not process.get("keepGroups"):  # not of the spec: the runtime program sets it
        steps.append(("user", "groups", user.get("additionalGids") or []))
    steps += [
        ("user", "keep_capabilities", True),
        ("user", "ids", user.get("uid", 0), user.get("gid", 0)),
        ("user", "umask", user.get("umask", 0o022)),
        ("user", "capabilities", sets["effective"], sets["permitted"], sets["inheritable"]),
    ]
    if sets["ambient"]:
        steps.append(("user", "ambient", sets["ambient"]))
    steps.append(("user", "keep_capabilities", False))
    if no_new_privs:
        steps.append(("user", "no_new_privs"))
        if filtered:
            steps.append(("user", "filter"))
    if die_with_parent:
        steps.append(("user", "die_with_parent"))  # after the change of ids, which clears it
    return [*steps, ("workdir", "directory", cwd), ("exec", "execute", process["args"])]


def rehearsal(steps: list[Step]) -> list[Step]:
    """Those steps of `program` that a child may try ahead: all but the filter, which only the program is made for, and the last."""
    return [step for step in steps if step[1] not in ("filter", "die_with_parent", "execute")]
