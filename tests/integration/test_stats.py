"""`stats`: numbers that agree with what the containers do, in every form of output."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

from tests.conftest import Run, command, environment, until

_COLUMNS = "ID NAME CPU % MEM USAGE / LIMIT MEM % NET IO BLOCK IO PIDS CPU TIME AVG CPU %"


def numbers(pyman: Run, name: str) -> dict[str, object]:
    fields = "{{.CPUNano}} {{.MemLimit}} {{.PIDs}} {{.CPU}}"
    cpu, limit, pids, share = pyman("stats", "--no-stream", "--format", fields, name).stdout.split()
    return {"cpu": int(cpu), "limit": int(limit), "pids": int(pids), "share": float(share)}


def test_what_containers_use(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "s-busy", image, "sh", "-c", "sleep 1001 & while :; do :; done")
    pyman("run", "-d", "--name", "s-plain", "--cgroups", "disabled", "--network", "none", image, "sleep", "1000")
    pyman("create", "--name", "s-new", image)
    for name in ("s-busy", "s-plain"):
        assert int(str(numbers(pyman, name)["limit"])) > 1 << 28
    assert numbers(pyman, "s-plain")["pids"] == 1 and until(lambda: numbers(pyman, "s-busy")["pids"] == 2)
    until(lambda: int(str(numbers(pyman, "s-busy")["cpu"])) > 50_000_000)
    until(lambda: float(str(numbers(pyman, "s-busy")["share"])) > 1 > float(str(numbers(pyman, "s-plain")["share"])))
    table = pyman("stats", "--no-stream").stdout.splitlines()
    assert table[0].split() == _COLUMNS.split() and len(table) == 3
    rows = json.loads(pyman("stats", "-a", "--no-stream", "--format", "json").stdout)
    by_name = {row["name"]: row for row in rows}
    assert set(by_name) == {"s-busy", "s-plain", "s-new"} and by_name["s-new"]["pids"] == "0"
    keys = {"id", "name", "cpu_time", "cpu_percent", "avg_cpu", "mem_usage", "mem_percent", "net_io", "block_io", "pids"}
    assert set(by_name["s-busy"]) == keys and not by_name["s-busy"]["mem_usage"].startswith("0B")
    assert by_name["s-plain"]["net_io"] == "0B / 0B"
    text = pyman("stats", "--no-stream", "--format", "table {{.Name}} {{.MemUsage}} {{.PIDS}}", "s-plain")
    assert text.stdout.splitlines()[0].split() == "NAME MEM USAGE / LIMIT PIDS".split() and "no" not in text.stdout
    assert "summed from its living processes" in text.stderr
    network = json.loads(pyman("stats", "--no-stream", "--format", "{{json .Network}}", "s-busy").stdout)
    assert "lo" not in network and all("RxBytes" in counters for counters in network.values()) and network
    whole = pyman("inspect", "--format", "{{.Id}}", "s-new").stdout
    assert pyman("stats", "--no-stream", "--no-trunc", "--format", "{{.ID}}", "s-new").stdout == whole
    for args, words in (
        (("-a", "s-new"), "together"),
        (("nope",), "no container"),
        (("-i", "0"), "--interval"),
        (("--no-stream", "--format", "{{.Nope}}", "s-busy"), "'Nope'"),
    ):
        assert words in pyman("stats", *args, rc=125).stderr
    pyman("rm", "-f", "-t", "0", "s-busy", "s-plain", "s-new")


def test_exec_is_counted(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "s-exec", "--network", "none", image, "sleep", "1000")
    own = int(pyman("inspect", "--format", "{{.State.Pid}}", "s-exec").stdout)
    pyman("exec", "-d", "s-exec", "sleep", "1001")
    until(lambda: len(pyman("top", "s-exec", "hpid").stdout.split()) == 3)
    pids = pyman("top", "s-exec", "hpid").stdout.split()[1:]
    assert {Path(f"/proc/{pid}/cgroup").read_text() for pid in pids} == {Path(f"/proc/{own}/cgroup").read_text()}
    assert numbers(pyman, "s-exec")["pids"] == 2
    pyman("rm", "-f", "-t", "0", "s-exec")


def test_streaming(pyman: Run, image: str, base: Path) -> None:
    """The screen is cleared on terminals only; it ends when the last container asked for is removed."""
    pyman("run", "-d", "--name", "s-stream", "--network", "none", image, "sleep", "1000")
    master, slave = pty.openpty()
    shown = [*command(), "stats", "-i", "1", "s-stream"]
    on_terminal = subprocess.Popen(shown, env=environment(base), stdout=slave, stderr=subprocess.DEVNULL)
    out = base / "stats.out"
    with out.open("w") as file:
        into_file = subprocess.Popen([*shown, "--format", "{{.Name}}"], env=environment(base), stdout=file, stderr=subprocess.DEVNULL)
    until(lambda: out.read_text().count("s-stream\n") >= 2)
    assert os.read(master, 65536).startswith(b"\x1b[2J\x1b[H")
    pyman("rm", "-f", "-t", "0", "s-stream")
    assert into_file.wait(300) == 0 and on_terminal.wait(300) == 0
    assert set(out.read_text().split()) == {"s-stream"}
    os.close(master)
    os.close(slave)
