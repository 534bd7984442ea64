"""Read and check containers.toml files: the door of tomli. CLI process, when a file changed."""

from __future__ import annotations

import os
import re
import stat

from pyman.config import schema
from pyman.config import values as allowed
from pyman.config.nearest import nearest
from pyman.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LARGEST = 1 << 20  # bytes of a file
_TYPES = {"str": (str,), "int": (int,), "bool": (bool,), "list": (list,), "map": (dict,)}
_WORDS = {
    "str": "a string",
    "int": "a whole number",
    "bool": "true or false",
    "list": "a list of strings",
    "map": "a table of lists of strings",
}


def parse_file(path: str) -> dict[str, Any]:
    """The TOML document in `path`. FileNotFoundError; ConfigError with the line of a mistake."""
    try:
        import tomli
    except ImportError:
        import site  # the launcher starts without it, and tomli lies in site-packages

        site.main()
        import tomli
    try:
        return tomli.loads(_read(path))
    except tomli.TOMLDecodeError as err:
        raise ConfigError(f"cannot parse {path}", str(err), "correct that line") from err


def _read(path: str) -> str:
    """The text of a configuration file. FileNotFoundError; ConfigError for what is no readable text file."""
    what = f"cannot read the configuration file {path}"
    try:
        # Without waiting: the path may lead to a FIFO or a terminal.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as err:
        raise ConfigError(what, err.strerror or str(err), f"let yourself read it: chmod u+r {path}; or move it away") from err
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode) and os.path.realpath(path) != "/dev/null":
            kinds = ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISCHR, "a device"))
            kind = next((name for test, name in kinds if test(mode)), "something else")
            raise ConfigError(what, f"it is {kind}, not a file", "move it away, or put a file in its place")
        with open(fd, "rb", closefd=False) as file:
            data = file.read(_LARGEST + 1)
    finally:
        os.close(fd)
    if len(data) > _LARGEST:
        raise ConfigError(what, f"it is larger than {_LARGEST >> 20} MiB", "move it away, or put a file of text in its place")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as err:
        line = data[: err.start].count(b"\n") + 1
        raise ConfigError(f"{what}, line {line}", "it is not UTF-8 text", "save it as UTF-8") from err


def load_files(files: list[str], modules: list[str] = []) -> dict[str, Any]:  # noqa: B006 (only read)
    """Merge the files that exist over the defaults, later ones winning; those of `modules` must exist. ConfigError."""
    result: dict[str, dict[str, Any]] = schema.defaults()
    growing: set[tuple[str, str]] = set()
    for path in files:
        try:
            data = parse_file(path)
        except FileNotFoundError:
            if os.environ.get("PYMAN_CONF") == path:
                raise ConfigError(f"cannot read {path}", "no such file", "PYMAN_CONF names it") from None
            if path in modules:
                raise ConfigError(f"cannot read the module {path}", "no such file", "--module names it, now or when it was made") from None
            continue
        _merge(result, data, path, _read(path), growing)
    return result


def _grown(value: list[Any], before: list[Any], place: tuple[str, str], growing: set[tuple[str, str]]) -> list[Any]:
    """A list, or the earlier one with this at its end: {append = true} in it says so, for this file and those after it."""
    plain = []
    for item in value:
        if not (isinstance(item, dict) and list(item) == ["append"] and isinstance(item["append"], bool)):
            plain.append(item)
        elif item["append"]:
            growing.add(place)
        else:
            growing.discard(place)
    return [*before, *plain] if place in growing else plain


def _line(text: str, table: str, key: str = "") -> int:
    """The line of a key inside its table (or of the table's header)."""
    current = ""
    for number, line in enumerate(text.split("\n"), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
        if header:
            current = header.group(1)
            if not key and current.split(".")[0] == table:
                return number
        elif key and current == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return 1


def _merge(result: dict[str, Any], data: dict[str, Any], path: str, text: str, growing: set[tuple[str, str]]) -> None:
    kinds = {(table, key): kind for table, key, kind, _, _ in schema.KEYS}
    for table, values in data.items():
        if table not in result or not isinstance(values, dict):
            near = nearest(table, result)
            raise ConfigError(
                f"{path}:{_line(text, table)}: unknown table [{table}]",
                "pyman does not know it",
                f"did you mean [{near}]?" if near else "known are " + ", ".join(result),
            )
        for key, value in values.items():
            where = f"{path}:{_line(text, table, key)}"
            kind = kinds.get((table, key))
            if kind is None and (table, key) in allowed.ELSEWHERE:
                raise ConfigError(f"{where}: unknown key {key} in [{table}]", allowed.ELSEWHERE[table, key], "take it out")
            if kind is None:
                near = nearest(key, [k for t, k in kinds if t == table])
                raise ConfigError(
                    f"{where}: unknown key {key} in [{table}]",
                    "pyman does not know it",
                    f"did you mean {near}?" if near else "see containers.toml.example",
                )
            if key == "default_subnet_pools" and isinstance(value, list):
                value = [f"{item.get('base')}:{item.get('size')}" if isinstance(item, dict) else item for item in value]
            if kind == "list" and isinstance(value, list):
                value = _grown(value, result[table][key], (table, key), growing)
            if (
                not isinstance(value, _TYPES[kind])
                or (kind == "int" and isinstance(value, bool))
                or (kind == "list" and isinstance(value, list) and not all(isinstance(v, str) for v in value))
            ):
                raise ConfigError(f"{where}: wrong type for {key} in [{table}]", f"it must be {_WORDS[kind]}, not {value!r}")
            wrong = allowed.problem(table, key, value)
            if wrong:
                raise ConfigError(f"{where}: wrong value for {key} in [{table}]", wrong)
            result[table][key] = value
