"""Go's text/template for --format, as far as Podman's documentation uses it. CLI process, without imports.

Fields, pipelines, variables, if/else/with/range, comparison, and the functions of `_FUNCTIONS`; mistakes are errors
with their position.
"""

from __future__ import annotations

from pyman.errors import UsageError
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SPACE = " \t\r\n"
_WORD_END = _SPACE + "()|,"


class _Missing:
    """What a field that does not exist evaluates to while looking for it."""


def _error(position: int, why: str) -> UsageError:
    return UsageError(f"invalid template at character {position + 1}", why, "fields are written {{.Name}}; --format json shows them all")


def _truth(value: Any) -> bool:
    return bool(value)


def _text(value: Any) -> str:
    """A value as Go prints it."""
    if value is True or value is False:
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(_text(item) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_text(item)}" for key, item in sorted(value.items())) + "]"
    return str(value)


def _printf(form: str, *values: Any) -> str:
    out, at, left = "", 0, list(values)
    while at < len(form):
        if form[at] != "%":
            out += form[at]
            at += 1
            continue
        end = at + 1
        while end < len(form) and form[end] in "-+ #0123456789.":
            end += 1
        verb = form[end : end + 1]
        spec, at = form[at:end], end + 1
        if verb == "%":
            out += "%"
        elif not left:
            out += f"%!{verb}(MISSING)"
        elif verb in "dxXo":
            out += (spec + verb) % int(left.pop(0))
        elif verb in "feg":
            out += (spec + verb) % float(left.pop(0))
        elif verb == "q":
            out += fastjson.dumps(_text(left.pop(0)))
        else:
            out += (spec + "s") % _text(left.pop(0))
    return out


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        try:
            value = value.get(key, "") if isinstance(value, dict) else value[int(key)]
        except (IndexError, ValueError, TypeError) as err:
            raise UsageError("cannot evaluate the template", f"index {key!r}: {err}") from err
    return value


def _compare(name: str) -> Callable[..., bool]:
    def compare(left: Any, *right: Any) -> bool:
        other = right[0] if right else None
        if name == "eq":
            return any(left == item for item in right)
        if name == "ne":
            return bool(left != other)
        try:
            return bool({"lt": left < other, "le": left <= other, "gt": left > other, "ge": left >= other}[name])
        except TypeError as err:
            raise UsageError("cannot evaluate the template", f"{name} of values of different types") from err

    return compare


def _join(values: Any, separator: str) -> str:
    # Podman's order is `join LIST SEP`; strings.Join in a pipeline puts the list last.
    if isinstance(values, str):
        values, separator = separator, values
    return separator.join(_text(item) for item in values)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": lambda value: fastjson.dumps(value.plain() if isinstance(value, Row) else value),
    "join": _join,
    "upper": lambda text: _text(text).upper(),
    "lower": lambda text: _text(text).lower(),
    "title": lambda text: _text(text).title(),
    "split": lambda text, separator: _text(text).split(separator),
    "pad": lambda text, before, after: " " * before + _text(text) + " " * after if text else text,
    "truncate": lambda text, length: _text(text)[:length],
    "len": lambda value: len(value),
    "index": _index,
    "printf": _printf,
    "print": lambda *values: "".join(_text(value) for value in values),
    "println": lambda *values: " ".join(_text(value) for value in values) + "\n",
    "not": lambda value: not _truth(value),
    "and": lambda *values: next((value for value in values if not _truth(value)), values[-1]),
    "or": lambda *values: next((value for value in values if _truth(value)), values[-1]),
    **{name: _compare(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
}


def _split_actions(source: str) -> list[tuple[str, str, int]]:
    """("text"|"action", content, position) of a template; trim markers are applied here."""
    parts: list[tuple[str, str, int]] = []
    at, trim = 0, False
    while at < len(source):
        start = source.find("{{", at)
        text = source[at : start if start >= 0 else len(source)]
        if trim:
            text = text.lstrip(_SPACE)
        if start < 0:
            parts.append(("text", text, at))
            break
        end, quote = start + 2, ""
        while end < len(source):
            if quote:
                end += 1 if source[end] == "\\" and quote == '"' else 0
                quote = "" if source[end : end + 1] == quote else quote
            elif source[end] in '"`':
                quote = source[end]
            elif source.startswith("}}", end):
                break
            end += 1
        if end >= len(source):
            raise _error(start, "{{ is not closed by }}")
        body = source[start + 2 : end]
        if body.startswith("- "):
            body, text = body[2:], text.rstrip(_SPACE)
        trim = body.endswith(" -")
        body = body[:-2] if trim else body
        parts += [("text", text, at), ("action", body.strip(_SPACE), start)]
        at = end + 2
    return parts


def _tokens(body: str, position: int) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(body):
        char = body[at]
        if char in _SPACE:
            at += 1
        elif char in "()|,":
            tokens.append(char)
            at += 1
        elif char in '"`':
            end = at + 1
            while end < len(body) and body[end] != char:
                end += 2 if body[end] == "\\" and char == '"' else 1
            if end >= len(body):
                raise _error(position, f"{char} is not closed")
            tokens.append(body[at : end + 1])
            at = end + 1
        else:
            end = at
            while end < len(body) and body[end] not in _WORD_END:
                end += 1
            tokens.append(body[at:end])
            at = end
    return tokens


class _Scope:
    """Where an expression is evaluated: dot, the root, and the variables."""

    __slots__ = ("dot", "root", "variables")

    def __init__(self, dot: Any, root: Any, variables: dict[str, Any]) -> None:
        self.dot = dot
        self.root = root
        self.variables = variables


# Fields that are maps: they may be asked for keys they do not have. Everything else says which fields it knows.
_MAPS = ("Labels", "Annotations", "Ports", "PortBindings", "Networks", "ExposedPorts", "Tmpfs", "Data", "Volumes", "Sysctls")
# Fields of Podman's that are nil without a health check, or without --size.
_NIL = ("Health", "Healthcheck", "HealthCheck", "SizeRw", "SizeRootFs")


def _field(value: Any, path: list[str], position: int) -> Any:
    parent = ""
    for name in path:
        if not isinstance(value, dict):
            raise _error(position, f"{name!r} is asked of a value that has no fields")
        found = value.get(name, _Missing)
        if found is _Missing:
            known = [key for key in value if isinstance(key, str) and key.lower() == name.lower()]
            if known:
                found = value[known[0]]
            elif parent in _MAPS or not any(isinstance(key, str) and key[:1].isupper() for key in value):
                found = "<no value>"
            elif name in _NIL:
                found = None
            else:
                raise _error(position, f"there is no field {name!r}; known are {', '.join(sorted(value))}")
        value, parent = found, name
    return value


def _expression(tokens: list[str], position: int) -> Callable[[_Scope], Any]:
    """A pipeline of commands."""
    commands: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "|" and not depth:
            commands.append([])
        else:
            commands[-1].append(token)
    if depth or not all(commands):
        raise _error(position, "a parenthesis or a | has nothing on one side")
    compiled = [_command(command, position) for command in commands]

    def run(scope: _Scope) -> Any:
        value: Any = _Missing
        for command in compiled:
            value = command(scope, value)
        return value

    return run


def _command(tokens: list[str], position: int) -> Callable[[_Scope, Any], Any]:
    operands: list[Callable[[_Scope], Any]] = []
    name = tokens[0]
    function = _FUNCTIONS.get(name)
    at = 1 if function else 0
    while at < len(tokens):
        if tokens[at] == "(":
            end, depth = at, 0
            for end in range(at, len(tokens)):
                depth += {"(": 1, ")": -1}.get(tokens[end], 0)
                if not depth:
                    break
            operands.append(_expression(tokens[at + 1 : end], position))
            at = end + 1
        else:
            operands.append(_operand(tokens[at], position))
            at += 1
    method = function is None and name[0] == "." and len(operands) > 1
    if function is None and len(operands) != 1 and not method:
        raise _error(position, f"{name!r} is not a function, so nothing may follow it")

    def run(scope: _Scope, piped: Any) -> Any:
        values = [operand(scope) for operand in operands] + ([] if piped is _Missing else [piped])
        if method:
            if not callable(values[0]):
                raise _error(position, f"{name} takes no argument")
            return values[0](*values[1:])
        if function is None:
            return values[0]
        try:
            return function(*values)
        except (TypeError, ValueError) as err:
            raise _error(position, f"{name}: {err}") from err

    return run


def _operand(token: str, position: int) -> Callable[[_Scope], Any]:
    if token[0] == '"':
        text = fastjson.loads(token)
        return lambda scope: text
    if token[0] == "`":
        raw = token[1:-1]
        return lambda scope: raw
    if token == ".":
        return lambda scope: scope.dot
    if token[0] == ".":
        path = token[1:].split(".")
        return lambda scope: _field(scope.dot, path, position)
    if token[0] == "$":
        name, _, rest = token.partition(".")
        path = rest.split(".") if rest else []
        return lambda scope: _field(scope.root if name == "$" else _variable(scope, name, position), path, position)
    if token in ("true", "false", "nil"):
        constant = {"true": True, "false": False, "nil": None}[token]
        return lambda scope: constant
    try:
        number = int(token)
    except ValueError:
        raise _error(position, f"{token!r} is neither a field, a function nor a value") from None
    return lambda scope: number


def _variable(scope: _Scope, name: str, position: int) -> Any:
    if name not in scope.variables:
        raise _error(position, f"the variable {name} is not set")
    return scope.variables[name]


class Row(dict):  # type: ignore[type-arg]
    """A row whose fields are worked out from its subject when a template asks for them."""

    __slots__ = ("_functions", "_plain", "_subject")

    def __init__(self, subject: Any, functions: dict[str, Callable[[Any], Any]], plain: Callable[[Any], Any]) -> None:
        super().__init__()
        self._subject = subject
        self._functions = functions
        self._plain = plain

    def plain(self) -> Any:
        """What {{json .}} prints."""
        return self._plain(self._subject)

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
        """All fields, as {{.}} prints them."""
        return self.plain().items()


class _Block:
    """A sequence of parts; control structures hold further blocks."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[Callable[[_Scope], str]] = []

    def run(self, scope: _Scope) -> str:
        return "".join(part(scope) for part in self.parts)


class _Compiler:
    __slots__ = ("at", "parts")

    def __init__(self, source: str) -> None:
        self.parts = _split_actions(source)
        self.at = 0

    def block(self, opened: int) -> tuple[_Block, str]:
        """Parts until end or else; (block, the word that ended it). opened: position of the opening action, -1 at top."""
        block = _Block()
        while self.at < len(self.parts):
            kind, content, position = self.parts[self.at]
            self.at += 1
            if kind == "text":
                block.parts.append(lambda scope, content=content: content)  # type: ignore[misc]
                continue
            word = content.split(None, 1)[0] if content.strip() else ""
            if word in ("end", "else"):
                if opened < 0:
                    raise _error(position, f"{word} without if, with or range")
                return block, content
            block.parts.append(self._action(word, content, position))
        if opened >= 0:
            raise _error(opened, "it is not closed by {{end}}")
        return block, ""

    def _action(self, word: str, content: str, position: int) -> Callable[[_Scope], str]:
        if content.startswith("/*"):
            return lambda scope: ""
        if word in ("if", "with", "range"):
            return self._control(word, content[len(word) :], position)
        tokens = _tokens(content, position)
        if not tokens:
            raise _error(position, "it is empty")
        if len(tokens) > 2 and tokens[0].startswith("$") and tokens[1] in (":=", "="):
            name, value = tokens[0], _expression(tokens[2:], position)

            def assign(scope: _Scope) -> str:
                scope.variables[name] = value(scope)
                return ""

            return assign
        expression = _expression(tokens, position)
        return lambda scope: _text(expression(scope))

    def _control(self, word: str, content: str, position: int) -> Callable[[_Scope], str]:
        tokens = _tokens(content, position)
        names: list[str] = []
        if ":=" in tokens:
            names = [token for token in tokens[: tokens.index(":=")] if token != ","]
            tokens = tokens[tokens.index(":=") + 1 :]
        expression = _expression(tokens, position)
        body, ended = self.block(position)
        otherwise = _Block()
        if ended.startswith("else"):
            rest = ended[4:].strip()
            if rest:
                otherwise.parts.append(self._control(rest.split(None, 1)[0], rest.split(None, 1)[1], position))
            else:
                otherwise, _ = self.block(position)

        def run(scope: _Scope) -> str:
            value = expression(scope)
            if word == "range":
                return _range(scope, value, names, body, otherwise)
            if not _truth(value):
                return otherwise.run(scope)
            if names:
                scope.variables[names[0]] = value
            return body.run(scope if word == "if" else _Scope(value, scope.root, scope.variables))

        return run


def _range(scope: _Scope, value: Any, names: list[str], body: _Block, otherwise: _Block) -> str:
    items = sorted(value.items()) if isinstance(value, dict) else list(enumerate(value or []))
    out = []
    for key, item in items:
        if len(names) == 2:
            scope.variables[names[0]] = key
        if names:
            scope.variables[names[-1]] = item
        out.append(body.run(_Scope(item, scope.root, scope.variables)))
    return "".join(out) if items else otherwise.run(scope)


def compile_template(source: str) -> Callable[[dict[str, Any]], str]:
    """A function from a row to its text. UsageError with the position of a mistake."""
    block, _ = _Compiler(source).block(-1)
    return lambda row: block.run(_Scope(row, row, {}))


def compile_format(text: str) -> tuple[Callable[[dict[str, Any]], str], str | None]:
    """(function from a row to its text, the columns with tabs between them for `table TEMPLATE`, else None).

    As in Podman, \\t and \\n stand for a tab and a new line, and a table's blanks separate columns.
    """
    source = text.replace("\\t", "\t").replace("\\n", "\n")
    if not source.startswith("table"):
        return compile_template(source), None
    out, at = "", 0
    source = source[5:].strip(_SPACE)
    while at < len(source):
        start = source.find("{{", at)
        plain = source[at : start if start >= 0 else len(source)]
        out += _columns(plain)
        end = source.find("}}", start) + 2 if start >= 0 else len(source)
        if end == 1:
            raise _error(start, "{{ is not closed by }}")
        out += source[start:end] if start >= 0 else ""
        at = end
    return compile_template(out), out


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
    for kind, content, _ in _split_actions(source):
        if kind == "text":
            out.append(content)
            continue
        field = next((word for word in content.split() if word.startswith(".")), ".").rsplit(".", 1)[-1]
        spaced = "".join(
            " " + char if char.isupper() and index and not field[index - 1].isupper() else char for index, char in enumerate(field)
        )
        out.append(special.get(field) or spaced.upper())
    return "".join(out)
