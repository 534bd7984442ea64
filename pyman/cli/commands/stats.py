"""`pyman stats`: what containers use, once or again and again. CLI process."""

from __future__ import annotations

import sys
import time

from pyman.cli import output
from pyman.cli.dispatch import print_warning
from pyman.engine import container as containers
from pyman.engine import stats
from pyman.engine.container_list import latest, list_containers
from pyman.engine.top import duration
from pyman.errors import NoSuchContainer, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Sample = dict[str, Any]

_HEADINGS = {
    "ID": "ID",
    "UpTime": "CPU TIME",
    "CPUPerc": "CPU %",
    "AVGCPU": "AVG CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemUsageBytes": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET IO",
    "BlockIO": "BLOCK IO",
    "PIDS": "PIDS",
}
_COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDS", "UpTime", "AVGCPU")
_JSON = ("id", "name", "cpu_percent", "mem_usage", "mem_percent", "net_io", "block_io", "pids", "cpu_time", "avg_cpu")


def main(opts: Any, args: list[str]) -> int:
    """Print a table, a JSON list or a template's result; without --no-stream every --interval seconds until interrupted."""
    if bool(opts["all"]) + bool(opts["latest"]) + bool(args) > 1:
        raise UsageError("cannot use --all, --latest and containers together", "each of them says which containers are meant")
    if opts["interval"] is not None and opts["interval"] < 1:
        raise UsageError(f"invalid value {opts['interval']} for --interval", "it is a number of seconds, at least 1")
    named = [latest()] if opts["latest"] else [containers.lookup(name) for name in args]
    fields = _fields(bool(opts["no_trunc"]))
    before: dict[str, Sample] = {}
    warned = False
    while True:
        found = _look(named, bool(opts["all"]), before)
        before = {sample["id"]: sample for sample in found}
        if not warned and any(sample["summed"] for sample in found):
            print_warning("without a control group of its own a container's numbers are summed from its living processes")
            warned = True
        if not opts["no_stream"] and not opts["no_reset"] and sys.stdout.isatty():
            sys.stdout.write("\x1b[2J\x1b[H")
        _show(found, str(opts["format"] or ""), fields)
        sys.stdout.flush()
        if opts["no_stream"] or (named and not found):
            return 0
        time.sleep(min(opts["interval"] or 5, 10**9))


def _look(named: list[containers.Container], everything: bool, before: dict[str, Sample]) -> list[Sample]:
    """A sample of each container asked for, or of all (that run); those removed meanwhile are left out."""
    found = []
    for container in named or list_containers():
        try:
            sample = stats.sample(container, before.get(container.id))
        except NoSuchContainer:
            continue
        if named or everything or sample["running"]:
            found.append(sample)
    return found


def _show(found: list[Sample], template: str, fields: dict[str, Callable[[Sample], Any]]) -> None:
    if template == "json":
        output.print_json([{key: fields[column](sample) for key, column in zip(_JSON, _COLUMNS)} for sample in found])
        return
    if template:

        def plain(sample: Sample) -> dict[str, Any]:
            return _plain(sample, fields)

        output.print_template(template, found, fields, plain, _HEADINGS, shape=("containerStats", plain))
        return
    headings = [_HEADINGS.get(column, column.upper()) for column in _COLUMNS]
    output.print_table(headings, [[str(fields[column](sample)) for column in _COLUMNS] for sample in found])


def _fields(whole: bool) -> dict[str, Callable[[Sample], Any]]:
    """What a template may ask for, by Podman's names."""
    return {
        "AVGCPU": lambda s: f"{s['avg_cpu']:.2f}%",
        "AvgCPU": lambda s: s["avg_cpu"],
        "BlockIO": lambda s: _pair(s["block_input"], s["block_output"]),
        "BlockInput": lambda s: s["block_input"],
        "BlockOutput": lambda s: s["block_output"],
        "CPU": lambda s: s["cpu"],
        "CPUNano": lambda s: s["cpu_nano"],
        "CPUPerc": lambda s: f"{s['cpu']:.2f}%",
        "CPUSystemNano": lambda s: s["system_nano"],
        "ContainerID": lambda s: s["id"],
        "ContainerStats": lambda s: _plain(s, _fields(True)),
        "Duration": lambda s: s["cpu_nano"],
        "ID": lambda s: s["id"] if whole else s["id"][:12],
        "MemLimit": lambda s: s["limit"],
        "MemPerc": lambda s: f"{s['memory_percent']:.2f}%",
        "MemUsage": lambda s: _pair(s["memory"], s["limit"]),
        "MemUsageBytes": lambda s: f"{_binary(s['memory'])} / {_binary(s['limit'])}",
        "Name": lambda s: s["name"],
        "NetIO": lambda s: _pair(*(sum(net[key] for net in s["network"].values()) for key in ("RxBytes", "TxBytes"))),
        "Network": lambda s: s["network"],
        "PIDS": lambda s: str(s["pids"]),
        "PIDs": lambda s: s["pids"],
        "PerCPU": lambda s: [],
        "SystemNano": lambda s: s["now"],
        "Up": lambda s: duration(s["cpu_nano"]),
        "UpTime": lambda s: duration(s["cpu_nano"]),
    }


def _plain(sample: Sample, fields: dict[str, Callable[[Sample], Any]]) -> dict[str, Any]:
    plain = {name: field(sample) for name, field in fields.items() if name != "ContainerStats"}
    return {**plain, "MemPerc": sample["memory_percent"], "MemUsage": sample["memory"], "UpTime": sample["cpu_nano"]}


def _pair(first: int, second: int) -> str:
    return f"{_size(first, 1000, ('B', 'kB', 'MB', 'GB', 'TB'))} / {_size(second, 1000, ('B', 'kB', 'MB', 'GB', 'TB'))}"


def _binary(size: int) -> str:
    return _size(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def _size(size: float, base: int, units: tuple[str, ...]) -> str:
    """A size with four significant digits: 4.094MB."""
    for unit in units[:-1]:
        if size < base:
            return f"{size:.4g}{unit}"
        size /= base
    return f"{size:.4g}{units[-1]}"
