"""`pyman system check`: find what is damaged in the store, and mend it. CLI process."""

from __future__ import annotations

import os
import sys

from pyman.cli import access, output
from pyman.cli.dispatch import escape
from pyman.cli.reporter import lazy_reporter
from pyman.config import containers
from pyman.engine import check, repair
from pyman.errors import StorageError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.check import Found
    from pyman.engine.repair import Mended


def main(opts: Any, args: list[str]) -> int:
    """Print what is damaged and what was done about it; an error if damage is left."""
    force = opts["repair_lossy"] or opts["force"]
    mending = opts["repair_lossy"] or opts["repair"]
    if opts["force"] and not mending:
        raise UsageError("cannot use --force", "it says how far --repair may go", "--repair --force")
    age = access.seconds("--max", opts["max"])
    reporter = lazy_reporter(False)
    try:
        found = check.find(quick=opts["quick"], max_age=None if opts["quick"] and "max" not in opts.given else age, reporter=reporter)
        damaged = set(found.layers) | set(found.using)
        errors = found.errors
        before = _report(found)
        done = repair.mend(found, force=force, reporter=reporter, conf=containers.load()) if mending else repair.Mended()
        again = check.find(quick=not damaged, max_age=None, only=damaged) if mending and errors else None
    finally:
        reporter.close()
    report = {**before, **_outcome(done)}
    if opts["format"] and opts["format"] != "table":
        _format(opts["format"], report)
    else:
        _print(report)
    for note in found.notes + done.notes:
        sys.stderr.write(escape(note) + "\n")
    if not mending and errors:
        raise StorageError("damage detected in local storage", "", "pyman system check --repair pulls images again, or removes them")
    if again and again.errors:
        parts = {**again.layers, **again.images, **again.containers, **again.artifacts}
        why = "; ".join([*again.store, *(f"{key[:12]}: {texts[0]}" for key, texts in parts.items())])
        raise StorageError(
            "damage in local storage still present after repair attempt", why, "--force removes containers that depend on it"
        )
    return 0


def _report(found: Found) -> dict[str, Any]:
    """What was found, under Podman's names."""
    left = {os.path.basename(place): ["nothing uses it: a canceled pull has left it"] for place in found.leftovers}
    return {
        "Errors": found.errors,
        "Store": list(found.store),
        "Layers": {**{key: [*texts, *_users(found, key)] for key, texts in found.layers.items()}, **left},
        "Images": dict(found.images),
        "Containers": dict(found.containers),
        "Artifacts": dict(found.artifacts),
    }


def _users(found: Found, diff_id: str) -> list[str]:
    return [f"used by {', '.join(found.using[diff_id])}"] if diff_id in found.using else []


def _outcome(done: Mended) -> dict[str, Any]:
    return {
        "Healed": done.healed,
        "RemovedLayers": done.layers,
        "RemovedImages": done.images,
        "RemovedContainers": done.containers,
        "RemovedArtifacts": done.artifacts,
    }


def _format(wanted: str, report: dict[str, Any]) -> None:
    if wanted == "json":
        output.print_json(report)
    else:
        output.print_template(wanted, [report], {name: _field(name) for name in report}, lambda row: row, {})


def _field(name: str) -> Any:
    return lambda row: row[name]


def _print(report: dict[str, Any]) -> None:
    lines = [f"Damaged store: {text}" for text in report["Store"]]
    for kind, word in (("Layers", "layer"), ("Images", "image"), ("Containers", "container"), ("Artifacts", "artifact")):
        for key, texts in report[kind].items():
            count = f"{len(texts)} error{'s' if len(texts) > 1 else ''} occurred:"
            lines += [f"Damaged {word} {key}:", count, *(f"\t* {text}" for text in texts), ""]
    lines += [f"Healed: {key}: {how}" for key, how in report["Healed"].items()]
    for kind, word in (("Layers", "layer"), ("Images", "image"), ("Containers", "container"), ("Artifacts", "artifact")):
        lines += [f"Deleted damaged {word}: {key}" for key in report["Removed" + kind]]
    sys.stdout.write("".join(escape(line) + "\n" for line in lines))
