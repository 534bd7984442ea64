"""`pyman inspect`: everything about containers or images. CLI process."""

from __future__ import annotations

from pyman.cli import output
from pyman.cli.dispatch import print_error
from pyman.engine import container as containers
from pyman.engine import inspect
from pyman.errors import NoSuchContainer, NoSuchObject, PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print a JSON list, or a template's result per object. 125 if one does not exist."""
    if opts["type"] not in ("all", "container", "image", "volume"):
        raise output.bad_value("--type", opts["type"], "all, container, image, volume")
    return inspect_all(opts, args, opts["type"])


def inspect_all(opts: Any, args: list[str], kind: str) -> int:
    """The same for objects of one kind: all, container, image or volume."""
    if opts["latest"] and args:
        raise UsageError("cannot use --latest together with names", "--latest means the newest container")
    names = [containers.latest().id] if opts["latest"] else args
    if not names:
        raise UsageError("no name given", "inspect needs at least one container or image")
    found, code = [], 0
    for name in names:
        try:
            found.append(_one(name, kind, bool(opts["size"])))
        except PymanError as err:
            print_error(err)
            code = 125
    show(found, opts["format"])
    return code


def _one(name: str, kind: str, size: bool) -> dict[str, Any]:
    if kind in ("all", "container"):
        try:
            container = containers.lookup(name)
            value = inspect.inspect_container(container, output.rfc3339)
            if size:
                from pyman.engine import sizes

                value["SizeRw"], value["SizeRootFs"] = sizes.container_sizes(container)
            return value
        except NoSuchContainer:
            if kind == "container":
                raise
    if kind in ("all", "image"):
        from pyman.engine import images

        try:
            return images.inspect_image(name, output.rfc3339)
        except NoSuchObject:
            if kind == "image":
                raise
    from pyman.engine import volume_inspect, volumes

    try:
        return volume_inspect.inspect(volumes.get(volumes.lookup(name)), output.rfc3339)
    except NoSuchObject as err:
        if kind == "volume":
            raise
        from pyman.engine import exec_sessions

        try:
            return exec_sessions.find(name)
        except NoSuchObject:
            raise NoSuchObject(f"no container, image or volume {name!r} found", "no such object") from err


def show(found: list[dict[str, Any]], template: str) -> None:
    """JSON without a template (or for `json`), else the template for each."""
    if not template or template == "json":
        output.print_json(found)
        return
    from pyman.cli import gotemplate

    compiled, columns = gotemplate.compile_format(template)
    lines = [compiled(value) for value in found]
    if columns is None:
        for line in lines:
            output.print_text(line)
    elif lines:
        width = max(line.count("\t") for line in lines) + 1
        output.print_table([""] * width, [(line + "\t" * (width - 1 - line.count("\t"))).split("\t") for line in lines], heading=False)
