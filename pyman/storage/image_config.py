"""Configurations of images, and the records made of them. Any process, pure; read by `create` for each image.

What they hold comes from strangers, or from a disk: nobody uses a value whose type nobody has looked at.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _strings(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def wrong_type(document: dict[str, Any]) -> str:
    """What of a configuration has a type that it must not have; empty if nothing has."""
    inner = document.get("config") or {}
    if not isinstance(inner, dict):
        return "config"
    for key in ("Env", "Cmd", "Entrypoint", "OnBuild", "Shell"):
        if not _strings(inner.get(key)):
            return key
    for key in ("User", "WorkingDir", "StopSignal"):
        if not (inner.get(key) is None or isinstance(inner[key], str)):
            return key
    labels = inner.get("Labels")
    if not (labels is None or (isinstance(labels, dict) and all(isinstance(text, str) for text in labels.values()))):
        return "Labels"
    for key in ("Volumes", "ExposedPorts"):
        if not (inner.get(key) is None or isinstance(inner[key], dict)):
            return key
    for key in ("architecture", "os", "variant", "created"):
        if not (document.get(key) is None or isinstance(document[key], str)):
            return key
    steps = document.get("history")
    if not (steps is None or (isinstance(steps, list) and all(step is None or isinstance(step, dict) for step in steps))):
        return "history"
    return ""


def new_record(document: dict[str, Any], *, config: str, manifest: str, layers: list[str], size: int, created: float) -> dict[str, Any]:
    """The record of an image without a name.

    document: its configuration; config, manifest: hex digests of both; layers: diff ids, bottom first; size: bytes of their files;
    created: seconds since 1970.
    """
    return {
        "id": config,
        "names": [],
        "digest": f"sha256:{manifest}",
        "digests": [f"sha256:{manifest}"],
        "manifest": manifest,
        "config": config,
        "layers": layers,
        "size": size,
        "created": created,
        "labels": (document.get("config") or {}).get("Labels") or {},
        "architecture": document.get("architecture") or "",
        "os": document.get("os") or "linux",
        "variant": document.get("variant") or "",
    }
