"""Read and check containers.toml files: the door of tomli. CLI process, when a file changed."""

from __future__ import annotations

import os
import re

from pyman.config import schema
from pyman.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
        with open(path, "rb") as file:
            return tomli.loads(file.read().decode("utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"cannot read {path}", str(err)) from err
    except tomli.TOMLDecodeError as err:
        raise ConfigError(f"cannot parse {path}", str(err), "correct that line") from err


def load_files(files: list[str]) -> dict[str, Any]:
    """Merge the files that exist over the defaults, later ones winning. ConfigError."""
    result: dict[str, dict[str, Any]] = schema.defaults()
    for path in files:
        try:
            data = parse_file(path)
        except FileNotFoundError:
            if os.environ.get("PYMAN_CONF") == path:
                raise ConfigError(f"cannot read {path}", "no such file", "PYMAN_CONF names it") from None
            continue
        with open(path, encoding="utf-8") as file:
            _merge(result, data, path, file.read())
    return result


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


def _merge(result: dict[str, Any], data: dict[str, Any], path: str, text: str) -> None:
    import difflib

    kinds = {(table, key): kind for table, key, kind, _, _ in schema.KEYS}
    for table, values in data.items():
        if table not in result or not isinstance(values, dict):
            near = difflib.get_close_matches(table, list(result), 1, 0.3)
            raise ConfigError(
                f"{path}:{_line(text, table)}: unknown table [{table}]",
                "pyman does not know it",
                f"did you mean [{near[0]}]?" if near else "known are " + ", ".join(result),
            )
        for key, value in values.items():
            where = f"{path}:{_line(text, table, key)}"
            kind = kinds.get((table, key))
            if kind is None:
                near = difflib.get_close_matches(key, [k for t, k in kinds if t == table], 1, 0.3)
                raise ConfigError(
                    f"{where}: unknown key {key} in [{table}]",
                    "pyman does not know it",
                    f"did you mean {near[0]}?" if near else "see containers.toml.example",
                )
            if (
                not isinstance(value, _TYPES[kind])
                or (kind == "int" and isinstance(value, bool))
                or (kind == "list" and isinstance(value, list) and not all(isinstance(v, str) for v in value))
            ):
                raise ConfigError(f"{where}: wrong type for {key} in [{table}]", f"it must be {_WORDS[kind]}, not {value!r}")
            result[table][key] = value
