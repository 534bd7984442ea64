"""`pyman image scp`: refused with what does the same. CLI process."""

from __future__ import annotations

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """scp [USER@HOST::]IMAGE [USER@HOST::]"""
    if not args or len(args) > 2:
        raise UsageError("scp needs an image and a place", f"{len(args)} arguments given", "pyman save IMAGE | ssh HOST pyman load")
    source, target = args[0], args[1] if len(args) > 1 else ""
    if "::" not in source and "::" not in target:
        raise UsageError("cannot copy the image", "neither argument names another place (HOST::)", "pyman tag gives it another name here")
    place, _, image = source.partition("::") if "::" in source else ("", "", source)
    other = place or target.partition("::")[0]
    user, _, host = other.rpartition("@")
    if host == "localhost" and user:
        there = f"sudo -iu {user}"
        why = "another account's store is written by that account alone"
    else:
        there, why = f"ssh {other}", "pyman keeps no connections to other machines"
    pipe = f"{there} pyman save {image} | pyman load" if place else f"pyman save {image} | {there} pyman load"
    raise UsageError(f"cannot copy image {image}", why, pipe)
