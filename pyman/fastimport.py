"""Import pyman's own modules with fewer steps than importlib's path finder. Installed by __main__ only.

A hot command loads about seventy modules. importlib lists directories, tries several suffixes and stats each candidate in
Python code: about 60 us a module, a fifth of a whole `pyman run`. Here the byte code of all of them is one read of the
command's bundle (pyman.bundle, written at installation) and a module one stat of its source; without a bundle a module is one
stat and one read of the byte code that Python itself keeps beside it. Either is checked as Python checks it (magic number,
time and size of the source). Whatever does not fit exactly (no byte code yet, other layout, hash-based files) is left to
importlib.
"""

import posix
import sys
from _frozen_importlib import ModuleSpec  # importlib.machinery.ModuleSpec, without importing that
from _frozen_importlib_external import MAGIC_NUMBER, ExtensionFileLoader
from _imp import extension_suffixes
from marshal import loads

_ROOT = __file__.rpartition("/")[0]  # absolute, as __main__ makes it
_SUFFIX = f".{sys.implementation.cache_tag}.pyc"
_C_SUFFIX = extension_suffixes()[0]
_DYNLOAD = next((entry for entry in sys.path if entry.endswith("/lib-dynload")), "")
_LIMIT = 1 << 16  # bytes; a larger read buffer costs more than the read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What a module is in a bundle: its source (below _ROOT, or absolute: one of the standard library's), that file's time and size, whether it is a package, its code.
Entry = tuple[str, int, int, bool, object]
_bundle: dict[str, Entry] = {}
_parts: list[tuple[str, ...]] = []  # names: what __main__ imports, then what the verb does


class Finder:
    """Finder and loader in one, for modules of the package pyman."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The spec of a module whose byte code is there and up to date, else None."""
        spec = cls._bundled(name)
        if spec is not None:
            return spec
        if not name.startswith("pyman."):
            return _standard(name) if path is None else None
        parent, _, last = name[6:].replace(".", "/").rpartition("/")
        directory = f"{_ROOT}/{parent}" if parent else _ROOT
        source = f"{directory}/{last}.py"
        package = ""
        try:
            info = posix.stat(source)
        except OSError:
            package = f"{directory}/{last}"
            source = f"{package}/__init__.py"
            directory, last = package, "__init__"
            try:
                info = posix.stat(source)
            except OSError:
                return None
        try:
            fd = posix.open(f"{directory}/__pycache__/{last}{_SUFFIX}", posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError:
            return None
        data = posix.read(fd, _LIMIT)
        posix.close(fd)
        # PEP 552: magic number, flags (0: by time and size), time, size.
        stamp = (int(info.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + (info.st_size & 0xFFFFFFFF).to_bytes(4, "little")
        if len(data) >= _LIMIT or data[:16] != MAGIC_NUMBER + b"\0\0\0\0" + stamp:
            return None
        return cls._spec(name, source, loads(memoryview(data)[16:]), bool(package))

    @classmethod
    def _bundled(cls, name: str) -> ModuleSpec | None:
        """The spec of a module in the bundle, which is out of it now; None if it is not in it, or old."""
        entry = _bundle.pop(name, None)
        if entry is None:
            return None
        source = entry[0] if entry[0][0] == "/" else f"{_ROOT}/{entry[0]}"
        try:
            info = posix.stat(source)
        except OSError:
            return None
        return cls._spec(name, source, entry[4], entry[3]) if int(info.st_mtime) == entry[1] and info.st_size == entry[2] else None

    @classmethod
    def _spec(cls, name: str, source: str, code: object, package: bool) -> ModuleSpec:
        spec = ModuleSpec(name, cls, origin=source, loader_state=code, is_package=package)  # type: ignore[arg-type]
        if package:
            spec.submodule_search_locations = [source[: source.rindex("/")]]
        spec.has_location = True
        return spec

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """None: an ordinary module object."""

    @staticmethod
    def exec_module(module: object) -> None:
        """Run the module's code in its name space."""
        spec = module.__spec__  # type: ignore[attr-defined]
        code, spec.loader_state = spec.loader_state, None
        exec(code, module.__dict__)


def _exists(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _standard(name: str) -> ModuleSpec | None:
    """A C module of the standard library: importlib would list the library's directories first to find it."""
    file = f"{_DYNLOAD}/{name}{_C_SUFFIX}"
    if name[0] == "_" and _DYNLOAD and _exists(file):
        return ModuleSpec(name, ExtensionFileLoader(name, file), origin=file)
    return None


def bundle_path(name: str) -> str:
    """Where the bundle `name` lies: beside Python's own byte code, one for each interpreter version."""
    return f"{_ROOT}/__pycache__/bundle-{name}.{sys.implementation.cache_tag}.bin"


def install(bundle: "dict[str, Any]") -> None:
    """Ask this finder first from now on, for the modules of `bundle` before all others."""
    sys.meta_path.insert(0, Finder)
    _parts.extend(bundle.pop("", ()))
    _bundle.update(bundle)


def preload() -> None:
    """Load the next part of what the command will import anyway, each module after those that it imports.

    importlib would take three times as long to find that out. Called by __main__, and when the verb is known to go on.
    """
    modules = sys.modules
    for name in _parts.pop(0) if _parts else ():
        parent, _, last = name.rpartition(".")
        spec = None if name in modules or (parent and parent not in modules) else Finder._bundled(name)
        if spec is None:
            continue  # importlib's turn, when somebody imports it: it, or its package, is newer than the bundle
        module = type(sys)(name)
        module.__spec__, module.__file__, module.__package__ = spec, spec.origin, spec.parent
        module.__loader__ = Finder  # type: ignore[assignment]
        if spec.submodule_search_locations is not None:
            module.__path__ = spec.submodule_search_locations
        modules[name] = module
        try:
            Finder.exec_module(module)
        except Exception:
            del modules[name]  # it will fail again where somebody imports it
            return
        setattr(modules[parent], last, module)
