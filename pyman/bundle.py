"""Write the bundles: for each hot command the byte code of the modules it loads, in one file. `python -m pyman.bundle`.

Called by the installation, since only then are the sources and the interpreter known. pyman.fastimport reads them. A bundle
that is missing, old or damaged costs time, nothing else.
"""

from __future__ import annotations
import __future__

import ast
import importlib
import marshal
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import MAGIC_NUMBER

from pyman import fastimport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.fastimport import Entry

_LIBRARY = os.path.dirname(os.__file__) + "/"
VERBS = ("create", "exec", "images", "inspect", "kill", "logs", "ps", "pull", "rm", "run", "start", "stop", "version", "wait")
RUNTIME_MODULES = {
    "create": "commands",
    "delete": "queries",
    "exec": "exec_command",
    "kill": "queries",
    "run": "commands",
    "start": "commands",
    "state": "queries",
}
# What a verb imports while it runs, in its usual case.
LATER = {
    "exec": ("pyman.config.containers", "pyman.linux.seccomp", "pyman.runtime.exec_extras"),
    "inspect": ("pyman.engine.logopts", "pyman.engine.mount_plan", "pyman.engine.mounts", "pyman.engine.plan", "pyman.engine.volumes"),
    "kill": ("pyman.config.containers",),
    "pull": ("pyman.image.pull", "pyman.config.registries", "pyman.image.registry_source", "pyman.image.certs", "ssl"),
    "rm": ("pyman.config.containers",),
    "runtime-exec": ("pyman.runtime.home",),
}


def _load(name: str, order: list[str]) -> list[tuple[str, ...]]:
    """Import what the program loads for the bundle `name`: a verb of pyman, or `runtime-` and one of pyman-runtime.

    order: the modules of pyman that are complete. Returns the parts for fastimport.preload.
    """
    if name.startswith("runtime-"):
        wanted = ["pyman.runtime.main", f"pyman.runtime.{RUNTIME_MODULES[name[8:]]}"]
    else:
        from pyman.cli import dispatch, parse

        command = parse.parse([name, "--help"]).command
        assert command
        wanted = ["pyman.cli.dispatch", f"pyman.cli.commands.{command.module}"]
        if command.starts:
            wanted.append("pyman.rootless.userns")
        if command.module in dispatch.LOOKING:
            wanted.append("pyman.engine.network_watch")
    importlib.import_module("pyman.leanos")
    importlib.import_module(wanted[0])
    first = tuple(order)
    for module in wanted[1:]:
        importlib.import_module(module)
    parts = [first, tuple(order[len(first) :])]
    for module in LATER.get(name, ()):  # it may never be imported
        importlib.import_module(module)
    return parts


def lean(source: str, path: str) -> object:
    """Code of a module without docstrings and annotations of functions, a quarter of what is to be read. Lines stay what they are.

    What it imports from __future__ is compiled in: the module of that name is a file to find and read, and nothing else.
    """
    tree = ast.parse(source)
    future = 0
    for statement in [entry for entry in tree.body if isinstance(entry, ast.ImportFrom) and entry.module == "__future__"]:
        future |= sum(getattr(__future__, entry.name).compiler_flag for entry in statement.names)
        tree.body.remove(statement)
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
            given = node.args
            for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
                if argument:
                    argument.annotation = None
    return compile(tree, path, "exec", flags=future, dont_inherit=True)


def forget() -> None:
    """Forget the modules of the standard library that this program loaded from files, so that `entries` finds those that a verb loads."""
    for name, module in list(sys.modules.items()):
        if _library(module) and name != "__main__":
            del sys.modules[name]


def _library(module: object) -> str:
    """The source of a module of the standard library that is read from a file; "" for others, also those within the interpreter."""
    path = getattr(getattr(module, "__spec__", None), "origin", None) or ""
    wanted = path.startswith(_LIBRARY) and path.endswith(".py") and "-packages/" not in path
    return path if wanted and not path.endswith("/__future__.py") else ""  # lean() does without that one


def entries(root: str) -> dict[str, Entry]:
    """What a bundle holds of each module of pyman and of the standard library that is loaded now. OSError if a source has gone meanwhile."""
    found: dict[str, Entry] = {}
    for name, module in sorted(sys.modules.items()):
        library = _library(module)
        if library:
            with open(library, "rb") as file:
                info = os.fstat(file.fileno())
                code: object = compile(file.read(), library, "exec", dont_inherit=True, optimize=2)
            found[name] = (library, int(info.st_mtime), info.st_size, hasattr(module, "__path__"), code)
            continue
        path = getattr(module, "__file__", None) or ""
        if not f"{name}.".startswith("pyman.") or name == "pyman.bundle" or not path.startswith(root + "/"):
            continue
        with open(path, encoding="utf-8") as file:
            info = os.fstat(file.fileno())
            code = lean(file.read(), path)
        found[name] = (path[len(root) + 1 :], int(info.st_mtime), info.st_size, hasattr(module, "__path__"), code)
    return found


class _Recorder:
    """A finder before all others that notes when a module of pyman is complete: `order` has each after those that it imports."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """As importlib's own finder, for modules of pyman."""
        spec = PathFinder.find_spec(name, path, target) if name.startswith("pyman.") else None
        if spec is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: object) -> None:
                execute(module)
                self.order.append(name)

            loader.exec_module = exec_module
        return spec


def write(name: str) -> None:
    """Make the bundle `name`, in a process that has loaded nothing else of pyman. OSError."""
    forget()
    recorder = _Recorder()
    sys.meta_path.insert(0, recorder)
    parts = _load(name, recorder.order)
    target = fastimport.bundle_path(name)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(f"{target}.new", "wb") as file:
        file.write(MAGIC_NUMBER + marshal.dumps({"": parts, **entries(os.path.dirname(os.path.abspath(__file__)))}))
    os.replace(f"{target}.new", target)


def main() -> None:
    """Each bundle by a process of its own: what is loaded for one verb must not get into another's."""
    for name in (*VERBS, *(f"runtime-{verb}" for verb in RUNTIME_MODULES)):
        pid = os.fork()
        if not pid:
            try:
                write(name)
            except Exception:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        if os.waitpid(pid, 0)[1]:
            raise SystemExit(f"the bundle of {name} could not be made")


if __name__ == "__main__":
    main()
