"""`pyman inspect`: everything about containers, images, volumes, networks, artifacts. CLI process."""

from __future__ import annotations

from pyman.cli import output
from pyman.cli.dispatch import print_error
from pyman.engine import container as containers
from pyman.engine import inspect
from pyman.errors import NoSuchContainer, NoSuchObject, PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


KINDS = ("all", "artifact", "container", "image", "network", "volume")


def main(opts: Any, args: list[str]) -> int:
    """Print a JSON list, or a template's result per object. 125 if one does not exist."""
    if opts["type"] == "pod":
        raise UsageError("cannot inspect pods", "pods are not part of this release")
    if opts["type"] not in KINDS:
        raise output.bad_value("--type", opts["type"], ", ".join(KINDS))
    return inspect_all(opts, args, opts["type"])


def inspect_all(opts: Any, args: list[str], kind: str) -> int:
    """The same for objects of one of KINDS."""
    if opts["latest"] and args:
        raise UsageError("cannot use --latest together with names", "--latest means the newest container")
    names = args
    if opts["latest"]:
        from pyman.engine.container_list import latest  # with this option only

        names = [latest().id]
    if not names:
        raise UsageError("no name given", "inspect needs at least one container or image")
    found, code = [], 0
    for name in names:
        try:
            found.append(_one(name, kind, bool(opts["size"]), opts["format"] not in ("", None, "json")))
        except PymanError as err:
            print_error(err)
            code = 125
    show(found, opts["format"])
    return code


def times(templated: bool) -> Callable[[float], str]:
    """How a time is given: as text for JSON, as a time for templates."""
    if not templated:
        return output.rfc3339
    from pyman.cli import gotemplate_time

    return gotemplate_time.moment


def image_fields(value: dict[str, Any], templated: bool) -> dict[str, Any]:
    """An image as inspect shows it; for templates with times, and all the fields that Go's types have."""
    if templated:
        from pyman.cli.go_types import typed
        from pyman.cli.gotemplate_time import Moment

        value["Created"] = Moment(value["Created"])
        value["Config"] = typed(value.get("Config") or {}, "ImageConfig")
        value["History"] = [typed(step, "History") for step in value.get("History") or []]
        if isinstance(value.get("Healthcheck"), dict):
            value["Healthcheck"] = typed(value["Healthcheck"], "Healthcheck")
    return value


def _container_fields(value: dict[str, Any]) -> dict[str, Any]:
    from pyman.cli.go_types import typed

    found = typed(value, "Container")
    # As Podman once called them, and scripts still do.
    found.also = {"ImageID": found.more["Image"]}
    found.more["State"].also = {"Healthcheck": found.more["State"].more["Health"]}
    for mount in found.more["Mounts"]:
        mount.also = {"Src": mount.more["Source"], "Dst": mount.more["Destination"]}
    return found


def _one(name: str, kind: str, size: bool, templated: bool) -> dict[str, Any]:
    if kind in ("all", "container"):
        try:
            container = containers.lookup(name)
            value = inspect.inspect_container(container, times(templated))
            if size:
                from pyman.engine import sizes

                value["SizeRw"], value["SizeRootFs"] = sizes.container_sizes(container)
            return _container_fields(value) if templated else value
        except NoSuchContainer:
            if kind == "container":
                raise
    if kind in ("all", "image"):
        from pyman.engine import images

        try:
            return image_fields(images.inspect_image(name, output.rfc3339), templated)
        except NoSuchObject:
            if kind == "image":
                raise
    for other, look in (("volume", _volume), ("network", _network), ("artifact", _artifact)):
        if kind in ("all", other):
            try:
                return look(name, templated)
            except NoSuchObject:
                if kind == other:
                    raise
    from pyman.engine import exec_sessions

    try:
        return exec_sessions.find(name)
    except NoSuchObject:
        raise NoSuchObject(f"no container, image, volume, network or artifact {name!r} found", "no such object") from None


def _volume(name: str, templated: bool) -> dict[str, Any]:
    from pyman.engine import volume_inspect, volumes

    return volume_inspect.inspect(volumes.get(volumes.lookup(name)), times(templated))


def _network(name: str, templated: bool) -> dict[str, Any]:
    from pyman.cli.commands import network_inspect
    from pyman.engine import networks

    found = networks.inspect(name)
    return network_inspect.fields(found) if templated else found


def _artifact(name: str, templated: bool) -> dict[str, Any]:
    from pyman.cli.commands import artifact_inspect
    from pyman.storage import artifacts

    return artifact_inspect.plain(artifacts.find(artifacts.load(), name))


def show(found: list[dict[str, Any]], template: str) -> None:
    """JSON without a template (or for `json`), else the template for each."""
    if not template or template == "json":
        output.print_json(found)
        return
    from pyman.cli import gotemplate

    compiled, columns = gotemplate.compile_format(template)
    if columns is None:
        output.print_each(compiled, found, template)
        return
    lines, printed, mistake = output.filled(compiled, found)
    if lines:
        width = max(line.count("\t") for line in lines) + 1
        output.print_table([""] * width, [(line + "\t" * (width - 1 - line.count("\t"))).split("\t") for line in lines], heading=False)
    output.print_rest(printed, mistake)
