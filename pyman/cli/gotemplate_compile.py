"""From the tokens of a template to functions that run it: pipelines, variables, control structures. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.gotemplate_functions import FUNCTIONS
from pyman.cli.gotemplate_lex import SPACE, Token, error, split, tokens
from pyman.cli.gotemplate_print import ABSENT, text
from pyman.cli.gotemplate_run import NOTHING, Leave, Scope, branch, call, field_of, invoke, plain, short_circuit, variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.cli.gotemplate_run import Part, Value

_DEEPEST = 50  # parentheses and blocks within each other


class Compiler:
    """Compiles one template; `names` are the variables known at the place that is being compiled.

    inner: it is to be run within another one, as that of a table is, and so may not define templates.
    """

    def __init__(self, source: str, inner: bool = False) -> None:
        self._parts = split(source)
        self._at = 0
        self._names = ["$"]
        self._templates: dict[str, list[Part]] = {}
        self._depth = int(inner)
        self._loops = 0
        self._tokens: list[Token] = []
        self._position = 0

    # ---- blocks ----

    def block(self, opened: int) -> tuple[list[Part], list[Token]]:
        """Parts until end or else, and the tokens that ended it. opened: position of the opening action, -1 at the top."""
        parts: list[Part] = []
        known = len(self._names)
        while self._at < len(self._parts):
            sort, content, position = self._parts[self._at]
            self._at += 1
            if sort == "text":
                parts.append(lambda scope, content=content: content)  # type: ignore[misc]
                continue
            self._tokens, self._position = tokens(content, position), position
            if not self._tokens:
                raise error(position, "missing value for command")
            word = self._tokens[0].value if self._tokens[0].kind == "word" else ""
            if word in ("end", "else"):
                if opened < 0:
                    raise error(position, f"unexpected {{{{{word}}}}}")
                del self._names[known:]
                return parts, self._tokens
            parts.append(self._action(word))
        if opened >= 0:
            raise error(opened, "it is not closed by {{end}}")
        return parts, []

    def _action(self, word: str) -> Part:
        if word in ("if", "with", "range"):
            self._tokens = self._tokens[1:]
            return self._control(word)
        if word in ("break", "continue") and len(self._tokens) == 1:
            if not self._loops:
                raise error(self._position, f"{{{{{word}}}}} outside {{{{range}}}}")
            return self._leave(word)
        if word in ("define", "template", "block"):
            return self._named(word)
        names, declares, value = self._pipeline_with_names(1)
        if not names:
            return (lambda scope: text(value(scope)).replace("\n", "\\n")) if self._one_line() else (lambda scope: text(value(scope)))
        name = names[0]
        if declares:
            self._names.append(name)

            def declare(scope: Scope) -> str:
                scope.variables.append((name, value(scope)))
                return ""

            return declare
        self._check_name(name, self._position)

        def assign(scope: Scope) -> str:
            result = value(scope)
            at = max(number for number, (known, _) in enumerate(scope.variables) if known == name)
            scope.variables[at] = (name, result)
            return ""

        return assign

    def _one_line(self) -> bool:
        """Whether line breaks in what an action prints are shown as such: on a terminal nothing of a container's is to look like a line of
        its own, unless the action itself makes lines."""
        makes = any(
            token.value == "println" if token.kind == "word" else isinstance(token.value, str) and "\n" in token.value
            for token in self._tokens
        )
        return not makes and sys.stdout.isatty()

    def _leave(self, word: str) -> Part:
        def leave(scope: Scope) -> str:
            raise Leave(word)

        return leave

    def _control(self, word: str) -> Part:
        position = self._position
        self._deeper(position)
        known = len(self._names)
        names, _, value = self._pipeline_with_names(2 if word == "range" else 1)
        self._names += names
        self._loops += word == "range"
        body, ended = self.block(position)
        self._loops -= word == "range"
        otherwise: list[Part] = []
        if ended[0].value == "else":
            if len(ended) > 1:
                following = ended[1].value if ended[1].kind == "word" else ""
                if following not in ("if", "with") or word == "range":
                    raise error(ended[1].position, "unexpected word after else")
                self._tokens = ended[2:]
                otherwise = [self._control(following)]
            else:
                otherwise, ended = self.block(position)
                if ended[0].value != "end":
                    raise error(self._position, "expected {{end}}, found {{else}}")
        if len(ended) > 1 and ended[0].value == "end":
            raise error(ended[1].position, "unexpected word after end")
        del self._names[known:]
        self._depth -= 1
        return branch(word, names, value, body, otherwise, position)

    def _named(self, word: str) -> Part:
        """define "x", template "x" [PIPELINE], block "x" PIPELINE: parts that have a name."""
        position, (_, *found) = self._position, self._tokens
        if not found or found[0].kind != "value" or not isinstance(found[0].value, str):
            raise error(position, f"a name in quotes is missing after {word}")
        name, self._tokens = found[0].value, found[1:]
        if word == "define":
            if self._depth or self._tokens:
                raise error(position, "unexpected value after define's name" if self._tokens else "define is within something else")
            self._define(name, position)
            return lambda scope: ""
        if word == "block" and not self._tokens:
            raise error(position, "missing value for block")
        value = self._whole_pipeline() if self._tokens else lambda scope: ABSENT
        if word == "block":
            self._define(name, position)
        return invoke(self._templates, name, value, position)

    def _define(self, name: str, position: int) -> None:
        """Compile what stands until {{end}} as a template of its own: it sees no variables of the others."""
        self._deeper(position)
        outer = self._names, self._loops
        self._names, self._loops = ["$"], 0
        begin = self._at
        parts, ended = self.block(position)
        if ended[0].value != "end" or len(ended) > 1:
            raise error(self._position, "expected {{end}}")
        self._names, self._loops = outer
        self._depth -= 1
        if any(sort == "action" or content.strip(SPACE) for sort, content, _ in self._parts[begin : self._at - 1]):
            if self._templates.get(name):
                raise error(position, f"multiple definition of template {name!r}")
            self._templates[name] = parts
        self._templates.setdefault(name, [])  # one without content stands for another one

    def _deeper(self, position: int) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise error(position, f"more than {_DEEPEST} levels within each other")

    # ---- expressions ----

    def _pipeline_with_names(self, most: int) -> tuple[list[str], bool, Value]:
        """($x [, $y] :=|=) and the pipeline after it: (names, whether they are declared, value)."""
        found, names, at = self._tokens, [], 0
        while at < len(found) and found[at].kind == "variable":
            if at + 1 < len(found) and found[at + 1].kind in (":=", "="):
                names.append(str(found[at].value))
                declares = found[at + 1].kind == ":="
                if len(names) > most:
                    raise error(found[0].position, "too many variables")
                if any(len(name) < 2 for name in names):
                    raise error(found[0].position, "$ cannot be set")
                self._tokens = found[at + 2 :]
                return names, declares, self._whole_pipeline()
            if at + 1 < len(found) and found[at + 1].kind == ",":
                names.append(str(found[at].value))
                at += 2
                continue
            break
        return [], False, self._whole_pipeline()

    def _whole_pipeline(self) -> Value:
        value, at = self._pipeline(0)
        if at < len(self._tokens):
            raise error(self._tokens[at].position, f"unexpected {self._tokens[at].kind}")
        return value

    def _pipeline(self, at: int) -> tuple[Value, int]:
        commands: list[Callable[[Scope, Any], Any]] = []
        while True:
            command, at = self._command(at, first=not commands)
            commands.append(command)
            if at >= len(self._tokens) or self._tokens[at].kind != "|":
                break
            at += 1
        if len(commands) == 1:
            only = commands[0]
            return lambda scope: only(scope, NOTHING), at

        def run(scope: Scope) -> Any:
            value: Any = NOTHING
            for command in commands:
                value = command(scope, value)
            return value

        return run, at

    def _command(self, at: int, first: bool) -> tuple[Callable[[Scope, Any], Any], int]:
        if at >= len(self._tokens) or self._tokens[at].kind in (")", "|"):
            word = str(self._tokens[0].value) if self._tokens and self._tokens[0].kind == "word" and first else "command"
            raise error(self._tokens[at].position if at < len(self._tokens) else self._position, f"missing value for {word}")
        head = self._tokens[at]
        name = str(head.value) if head.kind == "word" and head.value not in ("true", "false", "nil") else ""
        if name:
            at += 1
            if name not in FUNCTIONS and name not in ("and", "or"):
                raise error(head.position, f"function {name!r} not defined; known are and, or, {', '.join(sorted(FUNCTIONS))}")
        elif head.kind == "word" and head.value == "nil":
            raise error(head.position, "nil is not a command")
        operands: list[Value] = []
        while at < len(self._tokens) and self._tokens[at].kind not in (")", "|"):
            if operands and not self._tokens[at].spaced:
                raise error(self._tokens[at].position, "two values without a blank between them")
            operand, at = self._operand(at)
            operands.append(operand)
        if name in ("and", "or"):
            return short_circuit(name, operands, head.position), at
        if name:
            return call(name, operands, head.position), at
        if (len(operands) > 1 or not first) and head.kind not in ("field", "variable", "("):
            raise error(head.position, "can't give argument to non-function")
        return plain(operands, head.position), at

    def _operand(self, at: int) -> tuple[Value, int]:
        token = self._tokens[at]
        value: Value
        if token.kind == "(":
            self._deeper(token.position)
            value, at = self._pipeline(at + 1)
            self._depth -= 1
            if at >= len(self._tokens) or self._tokens[at].kind != ")":
                raise error(token.position, "the parenthesis is not closed")
        elif token.kind == "value":
            constant = token.value
            value = lambda scope: constant  # noqa: E731
        elif token.kind == "field":
            value = field_of(lambda scope: scope.dot, str(token.value), token.position, "") if token.value else lambda scope: scope.dot
        elif token.kind == "variable":
            self._check_name(str(token.value), token.position)
            value = variable(str(token.value))
        elif token.kind == "word" and token.value in ("true", "false", "nil"):
            word = {"true": True, "false": False, "nil": None}[str(token.value)]
            value = lambda scope: word  # noqa: E731
        elif token.kind == "word" and token.value in FUNCTIONS:
            function = call(str(token.value), [], token.position)
            value = lambda scope: function(scope, NOTHING)  # noqa: E731
        else:
            what = token.value if token.kind == "word" else token.kind
            raise error(token.position, f"{what!r} is neither a field, a function nor a value")
        at += 1
        parent = str(token.value) if token.kind == "field" else ""
        if token.kind == "field" and not token.value:
            return value, at
        while at < len(self._tokens) and self._tokens[at].kind == "field" and not self._tokens[at].spaced:
            following = self._tokens[at]
            if not following.value:
                raise error(following.position, "a field's name is missing after the point")
            value = field_of(value, str(following.value), following.position, parent)
            parent, at = str(following.value), at + 1
        return value, at

    def _check_name(self, name: str, position: int) -> None:
        if name not in self._names:
            raise error(position, f"undefined variable {name!r}")
