"""`pyman secret create`. CLI process."""

from __future__ import annotations

import os
import sys

from pyman.config import containers as containers_conf
from pyman.engine import secrets
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the new secret's id."""
    if len(args) != 2:
        raise UsageError("cannot create a secret", f"a name and a file (or -) are needed; arguments given: {len(args)}")
    if opts["ignore"] and opts["replace"]:
        raise UsageError("cannot create a secret", "cannot use --ignore and --replace together")
    table = containers_conf.load()["secrets"]
    given = _pairs([item for text in opts["driver_opts"] for item in text.split(",")], "driver option")
    driver = opts["driver"] or table["driver"]
    if not given and driver == table["driver"]:
        given = _pairs(list(table["opts"]), "driver option")
    made = secrets.create(
        args[0],
        _value(args[0], args[1], opts["env"]),
        driver=driver,
        options=given,
        labels=_pairs(opts["label"], "label"),
        replace=opts["replace"],
        ignore=opts["ignore"],
    )
    sys.stdout.write(made + "\n")
    return 0


def _pairs(items: list[str], what: str) -> dict[str, str]:
    found = {}
    for item in items:
        key, _, value = item.partition("=")
        if not key:
            raise UsageError(f"invalid {what} {item!r}", "the form is KEY=VALUE")
        found[key] = value
    return found


def _value(name: str, source: str, variable: bool) -> bytes:
    """The value from the file, variable or stdin that `source` means; never more than is allowed. UsageError."""
    if variable:
        text = os.environ.get(source, "")
        if not text:
            raise UsageError(f"cannot create secret {name}", f"environment variable {source} is not set")
        return os.fsencode(text)
    if source in ("-", "/dev/stdin"):
        if sys.stdin.isatty():
            import getpass

            return getpass.getpass("Secret (one line, not shown): ").encode("utf-8", "surrogateescape")
        return _read(0)
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        raise UsageError(f"cannot create secret {name}", f"{source}: {err.strerror or err}") from err
    try:
        return _read(fd)
    except OSError as err:
        raise UsageError(f"cannot create secret {name}", f"{source}: {err.strerror or err}") from err
    finally:
        os.close(fd)


def _read(fd: int) -> bytes:
    data = b""
    while len(data) <= secrets.MAX_SIZE:
        more = os.read(fd, 1 << 16)
        if not more:
            break
        data += more
    return data
