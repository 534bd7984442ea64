"""What each value of a bundle's config.json must be: kinds, and the numbers that fit where they go. Pure. The runtime program."""

from __future__ import annotations

from pyman.errors import RuntimeFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Bytes:
    """A string that may be any bytes of a command line's (with Python's lone surrogates for those that are no UTF-8)."""


class _Range:
    """A whole number from `low` to `high`."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high


class _Map:
    """An object whose keys are free: `of` is the shape of its values."""

    def __init__(self, of: Any) -> None:
        self.of = of


_ID = _Range(0, (1 << 32) - 2)
_I32, _I64, _U16, _U32, _U64 = (
    _Range(low, high)
    for low, high in (
        (-(1 << 31), (1 << 31) - 1),
        (-(1 << 63), (1 << 63) - 1),
        (0, (1 << 16) - 1),
        (0, (1 << 32) - 1),
        (0, (1 << 64) - 1),
    )
)
_ANY = _Range(-(1 << 63), (1 << 64) - 1)  # where an unsigned field is written as a signed one, too
_NODE = _Range(-1, (1 << 32) - 1)  # a device's number in a rule; -1: all
_HOOK = {"path": str, "args": [str], "env": [str], "timeout": _Range(1, (1 << 31) - 1)}
MAPPING: dict[str, Any] = {"containerID": _ID, "hostID": _ID, "size": _Range(1, (1 << 32) - 1)}
PROCESS: dict[str, Any] = {
    "terminal": bool,
    "consoleSize": {"height": _U16, "width": _U16},
    "cwd": _Bytes,
    "env": [_Bytes],
    "args": [_Bytes],
    "noNewPrivileges": bool,
    "oomScoreAdj": _Range(-1000, 1000),
    "apparmorProfile": str,
    "selinuxLabel": str,
    "user": {"uid": _ID, "gid": _ID, "umask": _Range(0, 0o777), "additionalGids": [_ID], "username": str},
    "capabilities": {kind: [str] for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")},
    "rlimits": [{"type": str, "soft": _ANY, "hard": _ANY}],
    "scheduler": {
        "policy": str,
        "nice": _I32,
        "priority": _I32,
        "flags": [str],
        "runtime": _U64,
        "deadline": _U64,
        "period": _U64,
    },
    "ioPriority": {"class": str, "priority": _I32},
    "execCPUAffinity": {"initial": str, "final": str},
}
RESOURCES: dict[str, Any] = {
    "devices": [{"allow": bool, "type": str, "major": _NODE, "minor": _NODE, "access": str}],
    "cpu": {"cpus": str, "mems": str},
    "memory": {"disableOOMKiller": bool, "checkBeforeUpdate": bool},
    "pids": {},
    "blockIO": {
        "weightDevice": [{"major": _NODE, "minor": _NODE, "weight": _U16}],
        **{
            f"throttle{way}{unit}Device": [{"major": _NODE, "minor": _NODE, "rate": _U64}]
            for way in ("Read", "Write")
            for unit in ("Bps", "IOPS")
        },
    },
    "hugepageLimits": [{"pageSize": str, "limit": _U64}],
    "rdma": _Map({"hcaHandles": _U32, "hcaObjects": _U32}),
    "unified": _Map(str),
}
SPEC: dict[str, Any] = {
    "ociVersion": str,
    "hostname": str,
    "domainname": str,
    "root": {"path": str, "readonly": bool},
    "process": PROCESS,
    "mounts": [
        {"destination": str, "source": str, "type": str, "options": [str], "uidMappings": [MAPPING], "gidMappings": [MAPPING]},
    ],
    "hooks": {kind: [_HOOK] for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")},
    "annotations": _Map(str),
    "linux": {
        "namespaces": [{"type": str, "path": str}],
        "uidMappings": [MAPPING],
        "gidMappings": [MAPPING],
        "timeOffsets": _Map({"secs": _I64, "nanosecs": _Range(0, 999999999)}),
        "devices": [{"path": str, "type": str, "major": _U32, "minor": _U32, "fileMode": _Range(0, 0o177777), "uid": _ID, "gid": _ID}],
        "cgroupsPath": str,
        "resources": RESOURCES,
        "rootfsPropagation": str,
        "mountLabel": str,
        "maskedPaths": [str],
        "readonlyPaths": [str],
        "sysctl": _Map(str),
        "netDevices": _Map({"name": str}),
        "memoryPolicy": {"mode": str, "nodes": str, "flags": [str]},
        "personality": {"domain": str, "flags": [str]},
        "seccomp": {
            "defaultAction": str,
            "defaultErrnoRet": _U16,
            "architectures": [str],
            "flags": [str],
            "listenerPath": str,
            "listenerMetadata": str,
            "syscalls": [
                {
                    "names": [str],
                    "action": str,
                    "errnoRet": _U16,
                    "args": [{"index": _Range(0, 5), "value": _U64, "valueTwo": _U64, "op": str}],
                }
            ],
        },
    },
}
_NAMES: dict[Any, str] = {str: "a string", bool: "true or false", _Bytes: "a string"}


def check_shape(value: Any, shape: Any, where: str) -> None:
    """RuntimeFailure naming the first place in `value` that has not the shape. null counts as absent."""
    if isinstance(shape, (dict, _Map)):
        if not isinstance(value, dict):
            raise _wrong(where, "an object")
        for key, inner in value.items():
            if isinstance(shape, _Map):
                _check_text(key, f"{where}.{key}", "strict")
                expected = shape.of
            else:
                expected = shape.get(key)
            if expected is not None and inner is not None:
                check_shape(inner, expected, f"{where}.{key}" if where else str(key))
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise _wrong(where, "a list")
        for number, inner in enumerate(value):
            check_shape(inner, shape[0], f"{where}[{number}]")
    elif isinstance(shape, _Range):
        if isinstance(value, bool) or not isinstance(value, int) or not shape.low <= value <= shape.high:
            raise _wrong(where, f"a whole number from {shape.low} to {shape.high}")
    elif not isinstance(value, str if shape is _Bytes else shape):
        raise _wrong(where, _NAMES[shape])
    elif shape is not bool:
        _check_text(value, where, "surrogateescape" if shape is _Bytes else "strict")


def _check_text(value: str, where: str, errors: str) -> None:
    if "\0" in value:
        raise _wrong(where, "a string without NUL")
    if not value.isascii():
        try:
            value.encode(errors=errors)
        except UnicodeEncodeError:
            raise _wrong(where, "a string of whole characters: it has half of a surrogate pair") from None


def _wrong(where: str, wanted: str) -> RuntimeFailure:
    return RuntimeFailure(f"{where or 'config.json'} is wrong", f"it must be {wanted}", stage="config")
