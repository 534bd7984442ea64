"""Go's text/template for --format, as far as Podman's documentation uses it. CLI process, without imports.

Fields, pipelines, variables, if, else, with, range, break and continue, templates with names; the functions of gotemplate_functions.py. Mistakes are
errors with their position. The data may be hostile, so that a template's run is bounded.
"""

from __future__ import annotations

from pyman.cli.gotemplate_compile import Compiler
from pyman.cli.gotemplate_lex import SPACE, error, split
from pyman.cli.gotemplate_print import Map
from pyman.cli.gotemplate_run import Scope, run_parts
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Row(dict):  # type: ignore[type-arg]
    """A row whose fields are worked out from its subject when a template asks for them."""

    __slots__ = ("_functions", "_plain", "_shape", "_subject")

    def __init__(
        self,
        subject: Any,
        functions: dict[str, Callable[[Any], Any]],
        plain: Callable[[Any], Any],
        shape: tuple[str, Callable[[Any], dict[str, Any]]] | None = None,
    ) -> None:
        super().__init__()
        self._shape = shape
        self._subject = subject
        self._functions = functions
        self._plain = plain

    def plain(self) -> Any:
        """What {{json .}} prints."""
        return self._plain(self._subject)

    def whole(self) -> Any:
        """What {{.}} prints: the structure that the row is in Podman, by the name and the record that `shape` gives."""
        if self._shape is None:
            return Map(self.plain())
        from pyman.cli import go_reports  # for whole rows only

        name, record = self._shape
        return go_reports.report(record(self._subject), name)

    def get(self, name: str, default: Any = None) -> Any:
        """One field."""
        function = self._functions.get(name)
        return default if function is None else function(self._subject)

    def __getitem__(self, name: str) -> Any:
        return self._functions[name](self._subject)

    def __iter__(self) -> Any:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)

    def items(self) -> Any:
        """All fields, as JSON has them."""
        return self.plain().items()


def compile_template(source: str, table: bool = False) -> Callable[[dict[str, Any]], str]:
    """A function from a row to its text. UsageError with the position of a mistake. table: it is that of a table's rows."""
    parts, _ = Compiler(source, table).block(-1)
    return lambda row: run_parts(parts, Scope(row))


def compile_format(text: str, tables: bool = True) -> tuple[Callable[[dict[str, Any]], str], str | None]:
    """(function from a row to its text, the columns with tabs between them for `table TEMPLATE`, else None).

    As in Podman, \\t and \\n stand for a tab and a new line, and a table's blanks separate columns. A row ends its line, whether the
    template says so or not; only one in whose quotes such a line break would be is taken as it is written. Without `tables` that is
    a word like others.
    """
    source = text.replace("\\t", "\t").replace("\\n", "\n").removesuffix("\n") + "\n"
    try:
        return _compiled(source, tables)
    except UsageError:
        if "\\" not in text:
            raise
        return _compiled(text, tables)


def takes_all(text: str) -> bool:
    """Whether a template goes over all rows by itself: it has {{range .}}, and is run once, as in Podman."""
    at = text.find("range")
    while at >= 0:
        rest = text[at + 5 :].lstrip()
        if text[:at].rstrip().endswith("{{") and rest.startswith(".") and rest[1:].lstrip().startswith("}}"):
            return not text.startswith("table")
        at = text.find("range", at + 5)
    return False


def _compiled(source: str, tables: bool) -> tuple[Callable[[dict[str, Any]], str], str | None]:
    if not tables or not source.startswith("table"):
        return compile_template(source), None
    out, at = "", 0
    source = source[5:].strip(SPACE)
    while at < len(source):
        start = source.find("{{", at)
        plain = source[at : start if start >= 0 else len(source)]
        out += _columns(plain)
        end = source.find("}}", start) + 2 if start >= 0 else len(source)
        if end == 1:
            raise error(start, "{{ is not closed by }}")
        out += source[start:end] if start >= 0 else ""
        at = end
    row = compile_template(out, True)
    return lambda value: row(value).removesuffix("\n"), out


def _columns(plain: str) -> str:
    """Text between actions with one tab for each run of blanks."""
    out = ""
    for char in plain:
        if char not in " \t":
            out += char
        elif not out.endswith("\t"):
            out += "\t"
    return out


def heading(source: str, special: dict[str, str]) -> str:
    """The heading of a table: each action replaced by `special`, or by its field's name in capitals."""
    out = []
    for kind, content, _ in split(source):
        if kind == "text":
            out.append(content)
            continue
        field = next((word for word in content.split() if word.startswith(".")), ".").rsplit(".", 1)[-1]
        spaced = "".join(
            " " + char if char.isupper() and index and not field[index - 1].isupper() else char for index, char in enumerate(field)
        )
        out.append(special.get(field) or spaced.upper())
    return "".join(out)
