"""`pyman quadlet check`. CLI process."""

from __future__ import annotations

import errno
import sys

from pyman.cli import parse
from pyman.cli.dispatch import escape, print_warning
from pyman.config import containers
from pyman.engine import container_image, container_records, create, env, quadlet_check
from pyman.errors import NoSuchObject, StateError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def wrong(argv: list[str]) -> tuple[str, bool]:
    """What is wrong with a command line, and whether only this host lacks a file; what systemd puts in later is not known, and no mistake."""
    try:
        parsed = parse.parse(argv)
        if parsed.command is not None and parsed.command.module == "run":
            _refuse(parsed.options)
    except UsageError as err:
        return "" if "%" in err.what or "$" in err.what else str(err), err.errno == errno.ENOENT
    return "", False


def _refuse(options: parse.Options) -> None:
    """UsageError for what `create` would not take. Images, networks and secrets may come later."""
    if "%" in options["name"] or "$" in options["name"]:
        options["name"] = "name"  # what systemd makes of it is one
    try:
        create.check_options(options, containers.load())
    except NoSuchObject:
        options.update(network=[], ip="", ip6="", mac_address="", network_alias=[])
        create.check_options(options, containers.load())
    container_image.pull_policy(options, containers.load())
    env.frozen(options, {})
    container_records.labels(options, {})
    if not (options["workdir"] or "/").startswith(("/", "%", "$")):
        raise UsageError(f"invalid working directory {options['workdir']!r}", "it is not absolute")
    create.check_with_image(options, {"Healthcheck": {"Test": ["CMD", "true"]}})  # as far as is known now
    create.plan_volumes({"options": options, "image_config": {}})


def main(opts: Any, args: list[str]) -> int:
    """Print problems as FILE:LINE: TEXT, and the units; 1 if a file cannot be used or systemd complains about its unit."""
    checked = quadlet_check.check(args, wrong)
    code = 0
    for each in checked:
        for problem in each.problems:
            sys.stdout.write(escape(str(problem)) + "\n")
        broken = each.unit.broken
        code = 1 if broken else code
        if not broken and not opts["quiet"]:
            sys.stdout.write(f"---{each.made.name}---\n{escape(each.made.text())}\n")
    good = [each for each in checked if not each.unit.broken]
    said = []
    try:
        said = quadlet_check.verify(good) if opts["verify"] else []
    except StateError as err:
        print_warning(f"{err} ({err.hint})")
    for line in said:
        sys.stdout.write(escape(f"systemd: {line}") + "\n")
    return 1 if said else code
