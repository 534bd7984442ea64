"""`pyman auto-update`. CLI process."""

from __future__ import annotations

from pyman.cli import access, output
from pyman.cli.dispatch import print_error
from pyman.cli.reporter import lazy_reporter
from pyman.config import containers
from pyman.engine import auto_update

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.auto_update import Task

_FIELDS = ("Unit", "Container", "ContainerName", "ContainerID", "Image", "Policy", "Updated")
_COLUMNS = ("Unit", "Container", "Image", "Policy", "Updated")


def _row(task: Task) -> dict[str, str]:
    return {
        "Unit": task.unit,
        "Container": f"{task.container_id[:12]} ({task.name})",
        "ContainerName": task.name,
        "ContainerID": task.container_id,
        "Image": task.image,
        "Policy": task.policy,
        "Updated": task.updated,
    }


def main(opts: Any, args: list[str]) -> int:
    """Print a row for each container that takes part; 125 if something failed and was not rolled back."""
    reporter = lazy_reporter(False)
    found, errors = auto_update.update(
        dry_run=opts["dry_run"], rollback=opts["rollback"], access=access.of(opts), conf=containers.load(), reporter=reporter
    )
    reporter.close()
    rows = [_row(task) for task in found]
    if opts["format"] == "json":
        output.print_json(rows)
    elif opts["format"] and opts["format"].strip() != "table":
        output.print_template(opts["format"], rows, {name: _field(name) for name in _FIELDS}, lambda row: row, {})
    elif rows:
        output.print_table([name.upper() for name in _COLUMNS], [[row[name] for name in _COLUMNS] for row in rows])
    for err in errors:
        print_error(err)
    return 125 if errors else 0


def _field(name: str) -> Any:
    return lambda row: row[name]
