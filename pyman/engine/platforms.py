"""Which platform a command line asks for. CLI process, pure."""

from __future__ import annotations

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def wanted(opts: dict[str, Any]) -> str:
    """os/arch[/variant] asked for by --platform or --arch, --os, --variant; empty for the host's. UsageError."""
    if opts.get("platform"):
        text = str(opts["platform"])
        if not 2 <= len(text.split("/")) <= 3 or not all(text.split("/")):
            raise UsageError(f"invalid value {text!r} for option --platform", "the form is OS/ARCH[/VARIANT], for example linux/arm64")
        return text
    if opts.get("arch") or opts.get("os") or opts.get("variant"):
        from pyman.image.manifest import host_platform  # only with --arch, --os or --variant

        host = host_platform().split("/")
        parts = [opts.get("os") or host[0], opts.get("arch") or host[1]]
        return "/".join(parts + ([opts["variant"]] if opts.get("variant") else []))
    return ""


def mismatch(record: dict[str, Any], asked: str) -> str:
    """What to warn of where an image that is no list is for another platform than the one asked for; else empty."""
    want = asked.split("/") if asked else []
    have = [record.get("os") or "linux", record.get("architecture") or "", record.get("variant") or ""]
    if all(mine == theirs or not theirs for mine, theirs in zip(want, have)):
        return ""
    return f"image platform ({'/'.join(part for part in have if part)}) does not match the expected platform ({asked})"
