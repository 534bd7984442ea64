# mypy: ignore-errors
# (the type checker never sees this module in place of ctypes, and typeshed knows only parts of the C half)
"""The few names of ctypes that pyman needs, straight from its C half. Any process.

`import ctypes` also loads sysconfig and threading (Python 3.14): 2 ms, a tenth of a whole `pyman run`. Modules of this
package import this one under the name ctypes; the type checker sees the real one.
"""

from __future__ import annotations

import _ctypes
from _ctypes import addressof, byref, get_errno

__all__ = ["addressof", "byref", "get_errno"]


class c_char(_ctypes._SimpleCData):
    _type_ = "c"


class c_ushort(_ctypes._SimpleCData):
    _type_ = "H"


class c_int(_ctypes._SimpleCData):
    _type_ = "i"


class c_uint(_ctypes._SimpleCData):
    _type_ = "I"


class c_long(_ctypes._SimpleCData):
    _type_ = "l"


class c_ulong(_ctypes._SimpleCData):
    _type_ = "L"


class c_char_p(_ctypes._SimpleCData):
    _type_ = "z"


class c_void_p(_ctypes._SimpleCData):
    _type_ = "P"


# LP64: every architecture that rootless containers run on.
c_uint32, c_uint64, c_size_t = c_uint, c_ulong, c_ulong


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = c_int


class _PythonFunction(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = c_int


class CDLL:
    """A shared library (None: the program itself); its functions are attributes, looked up once. OSError."""

    _kind: type[_ctypes.CFuncPtr] = _Function

    def __init__(self, name: str | None, use_errno: bool = True) -> None:
        self._handle = _ctypes.dlopen(name, 2)  # RTLD_NOW

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        function = self._kind((name, self))
        setattr(self, name, function)
        return function


class PyDLL(CDLL):
    """Like CDLL, but its functions are called with the interpreter's lock held."""

    _kind = _PythonFunction


pythonapi = PyDLL(None)


def create_string_buffer(init: bytes, size: int | None = None) -> object:
    """A mutable buffer with `init` in it; one byte longer, for the final NUL, unless `size` says otherwise."""
    buffer = (c_char * (len(init) + 1 if size is None else size))()
    buffer.raw = init
    return buffer


def cast(array: object, kind: object) -> c_void_p:
    """The address of an array, as a pointer without type."""
    return c_void_p(addressof(array))
