"""Which platform a command line asks for, and what this machine can do with an image of it. CLI process."""

from __future__ import annotations

import os

from pyman.errors import UsageError
from pyman.linux import machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Other words for an architecture -> (the word of images, the variant that it implies).
_OTHER_WORDS = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_BINFMT = "/proc/sys/fs/binfmt_misc"
_NATIVE = (("amd64", "386"), ("arm64", "arm"))  # (machine, what its kernel runs as well)
_HANDLERS = {"amd64": "x86_64", "arm64": "aarch64", "386": "i386"}  # the emulator's word, where it is not the image's


def wanted(opts: dict[str, Any]) -> str:
    """os/arch[/variant] asked for by --platform or --arch, --os, --variant; empty for the host's. UsageError."""
    if opts.get("platform"):
        text = str(opts["platform"])
        if not 2 <= len(text.split("/")) <= 3 or not all(text.split("/")):
            raise UsageError(f"invalid value {text!r} for option --platform", "the form is OS/ARCH[/VARIANT], for example linux/arm64")
        return "/".join(_normal(text.split("/")))
    if opts.get("arch") or opts.get("os") or opts.get("variant"):
        from pyman.image.manifest import host_platform  # only with --arch, --os or --variant

        host = host_platform().split("/")
        parts = [opts.get("os") or host[0], opts.get("arch") or host[1]]
        return "/".join(_normal(parts + ([opts["variant"]] if opts.get("variant") else [])))
    return ""


def _normal(parts: list[str]) -> list[str]:
    """[os, architecture[, variant]] in the words of images, for those of kernels, compilers and distributions."""
    system, architecture, *variant = parts
    name, implied = _OTHER_WORDS.get(architecture.lower(), (architecture, ""))
    return [system.lower(), name, *(variant or ([implied] if implied else []))]


def mismatch(record: dict[str, Any], asked: str) -> str:
    """What to warn of where an image that is no list is for another platform than the one asked for; else empty."""
    want = asked.split("/") if asked else []
    have = [record.get("os") or "linux", record.get("architecture") or "", record.get("variant") or ""]
    if all(mine == theirs or not theirs for mine, theirs in zip(want, have)):
        return ""
    return f"image platform ({'/'.join(part for part in have if part)}) does not match the expected platform ({asked})"


def foreign(record: dict[str, Any]) -> str:
    """What to warn of where an image is for other machines and none of the kernel's handlers runs its programs; else empty."""
    host = machine.architecture()
    architecture = str(record.get("architecture") or host)
    handler = f"qemu-{_HANDLERS.get(architecture, architecture)}"
    if architecture == host or (host, architecture) in _NATIVE or os.path.exists(os.path.join(_BINFMT, handler)):
        return ""
    others = [text for text in record.get("platforms") or [] if text.split("/")[1:2] != [architecture]]
    text = f"the image is for {record.get('os') or 'linux'}/{architecture}, this machine is linux/{host}, and no handler {handler} "
    text += f"is registered in {_BINFMT} (package qemu-user-static)"
    return text + (f"; the image also exists for {', '.join(others)}" if others else "")
