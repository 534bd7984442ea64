"""Functions that a compiled template consists of: fields, calls, branches, loops. CLI process."""

from __future__ import annotations

from pyman.cli import gotemplate_time
from pyman.cli.gotemplate_functions import FUNCTIONS
from pyman.cli.gotemplate_lex import TemplateError, error
from pyman.cli.gotemplate_print import ABSENT, MAPS, Map, Struct, is_structure, kind, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Value = Callable[["Scope"], Any]
    Part = Callable[["Scope"], str]

_DEEPEST = 100  # templates that call each other
_MOST_STEPS = 2_000_000  # parts that are run: nested ranges over long lists must end
_NIL = ("HealthCheck", "Healthcheck")  # of an image that has none
NOTHING = object()


class Scope:
    """Where a part runs: dot, and the variables from the outermost to the innermost ($ is the first)."""

    __slots__ = ("depth", "dot", "steps", "variables")

    def __init__(self, root: Any) -> None:
        self.dot = root
        self.variables: list[tuple[str, Any]] = [("$", root)]
        self.steps = 0
        self.depth = 0


class Leave(Exception):
    """{{break}} or {{continue}}."""


def field(value: Any, name: str, position: int, parent: str) -> Any:
    """value.name; a map's missing key is absent, another's is an error that lists the fields."""
    if isinstance(value, (gotemplate_time.Moment, gotemplate_time.Number)):
        try:
            return gotemplate_time.method(value, name)
        except KeyError:
            raise error(position, f"a {value.word} has no {name!r}; known are {gotemplate_time.known(value)}") from None
        except ValueError as err:
            raise error(position, f"error calling {name}: {err}") from err
    if value is ABSENT or (value is None and parent in MAPS):
        return ABSENT  # what a map does not have has no fields, and neither has a nil map
    if not isinstance(value, dict):
        raise error(position, f"there is no field {name!r} in a value of type {kind(value)}")
    found = value.get(name, NOTHING)
    if found is not NOTHING:
        return Map(found) if name in MAPS and type(found) is dict else found
    lowered = name.lower()
    for keys in (value.names() if isinstance(value, Struct) and value.ordered else (), value):
        for key in keys:
            if isinstance(key, str) and key.lower() == lowered:
                return value.get(key)
    if parent in MAPS or not (isinstance(value, Struct) or any(isinstance(key, str) and key[:1].isupper() for key in value)):
        return ABSENT
    if name in _NIL and type(value) is dict:
        return None
    names = value.names() if isinstance(value, Struct) else map(str, value)
    raise error(position, f"there is no field {name!r}; known are {', '.join(sorted(names))}")


def field_of(value: Value, name: str, position: int, parent: str) -> Value:
    """A field of what `value` gives."""
    return lambda scope: field(value(scope), name, position, parent)


def variable(name: str) -> Value:
    """The innermost variable of that name."""
    return lambda scope: next(value for known, value in reversed(scope.variables) if known == name)


def plain(operands: list[Value], position: int) -> Callable[[Scope, Any], Any]:
    """A value by itself, or a method with its arguments."""

    def run(scope: Scope, piped: Any) -> Any:
        value = operands[0](scope)
        arguments = _arguments(operands[1:], scope, piped, position)
        if not arguments:
            return _value(value, position)
        if not callable(value):
            raise error(position, "it takes no argument")
        return _guarded(value, arguments, "the method", position)

    return run


def call(name: str, operands: list[Value], position: int) -> Callable[[Scope, Any], Any]:
    """A function with its arguments; what is piped into it comes last."""

    def run(scope: Scope, piped: Any) -> Any:
        return _guarded(FUNCTIONS[name], _arguments(operands, scope, piped, position), name, position)

    return run


def _arguments(operands: list[Value], scope: Scope, piped: Any, position: int) -> list[Any]:
    return [_value(operand(scope), position) for operand in operands] + ([] if piped is NOTHING else [piped])


def _value(value: Any, position: int) -> Any:
    """The value, which is no method: one without its argument is nothing that could be printed."""
    if callable(value):
        raise error(position, "wrong number of arguments: it wants one")
    return value


def _guarded(function: Callable[..., Any], arguments: list[Any], name: str, position: int) -> Any:
    try:
        return function(*arguments)
    except TypeError as err:
        why = str(err)
        if "positional argument" in why:
            why = f"wrong number of arguments ({len(arguments)})"
        raise error(position, f"error calling {name}: {why}") from err
    except (ValueError, OverflowError, AttributeError, RecursionError) as err:
        raise error(position, f"error calling {name}: {err}") from err


def _constant(value: Any) -> Value:
    return lambda scope: value


def short_circuit(name: str, operands: list[Value], position: int) -> Callable[[Scope, Any], Any]:
    """and, or: what decides the result is given back, and what follows it is not evaluated."""

    def run(scope: Scope, piped: Any) -> Any:
        value: Any = NOTHING
        for operand in [*operands, *([] if piped is NOTHING else [_constant(piped)])]:
            value = _value(operand(scope), position)
            if bool(value) == (name == "or"):
                return value
        if value is NOTHING:
            raise error(position, f"missing argument for {name}")
        return value

    return run


def run_parts(parts: list[Part], scope: Scope) -> str:
    """The text of a sequence of parts; the variables declared in it end with it."""
    known = len(scope.variables)
    scope.steps += len(parts)
    if scope.steps > _MOST_STEPS:
        raise error(0, f"it takes more than {_MOST_STEPS} steps")
    out: list[str] = []
    try:
        for part in parts:
            out.append(part(scope))
        return "".join(out)
    except TemplateError as err:
        err.printed = "".join(out) + err.printed
        raise
    finally:
        del scope.variables[known:]


def invoke(templates: dict[str, list[Part]], name: str, value: Value, position: int) -> Part:
    """A template by its name, with what `value` gives as its dot; it may be defined later."""

    def run(scope: Scope) -> str:
        if name not in templates:
            raise error(position, f"template {name!r} not defined")
        inner = Scope(value(scope))
        inner.steps, inner.depth = scope.steps, scope.depth + 1
        if inner.depth > _DEEPEST:
            raise error(position, f"exceeded maximum template depth ({_DEEPEST})")
        try:
            return run_parts(templates[name], inner)
        except RecursionError:
            raise error(position, "its templates call each other too deeply") from None
        finally:
            scope.steps = inner.steps

    return run


def branch(word: str, names: list[str], value: Value, body: list[Part], otherwise: list[Part], position: int) -> Part:
    """if, with or range, with the parts of both its ways."""

    def run(scope: Scope) -> str:
        known, dot = len(scope.variables), scope.dot
        try:
            subject = value(scope)
            if word == "range":
                return _range(scope, subject, names, body, otherwise, position)
            scope.variables += [(name, subject) for name in names]
            if not subject:
                return run_parts(otherwise, scope)
            if word == "with":
                scope.dot = subject
            return run_parts(body, scope)
        finally:
            scope.dot = dot
            del scope.variables[known:]

    return run


def _range(scope: Scope, subject: Any, names: list[str], body: list[Part], otherwise: list[Part], position: int) -> str:
    if isinstance(subject, dict) and not is_structure(subject):
        items = sorted(subject.items(), key=lambda pair: str(pair[0]))
    elif isinstance(subject, (list, tuple)) or subject is None:
        items = list(enumerate(subject or ()))
    elif type(subject) is int and 0 <= subject <= _MOST_STEPS:
        items = [(number, number) for number in range(subject)]
    else:
        raise error(position, f"range can't iterate over {text(subject)[:100]}")
    if not items:
        return run_parts(otherwise, scope)
    out: list[str] = []
    known = len(scope.variables)
    for key, item in items:
        scope.variables += list(zip(names, (key, item) if len(names) == 2 else (item,)))
        scope.dot = item
        try:
            for part in body:
                scope.steps += 1
                out.append(part(scope))
        except Leave as leave:
            if leave.args[0] == "break":
                break
        except TemplateError as err:
            err.printed = "".join(out) + err.printed
            raise
        finally:
            del scope.variables[known:]
        if scope.steps > _MOST_STEPS:
            raise error(position, f"it takes more than {_MOST_STEPS} steps")
    return "".join(out)
