"""Containers as user units in the virtual machine of tests/vm, pyman's beside Podman's: start, memory, boot until all are active; and `run`.

python -m tests.bench.units [UNITS [RUNS]], as the owner of the image (PYMAN_VM_DIR, or ~/.cache/pyman-vm). Emulation makes all times long, and
another machine makes other ones: the ratios count.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from tests.vm import machine
from tests.vm.conftest import IMAGE, KEPT
from tests.vm.machine import Machine
from tests.vm.units import FOLDER, GENERATORS

HOUR = 3600.0
GENERATOR = {"pyman": "/opt/pyman/bin/pyman-quadlet", "podman": "/usr/libexec/podman/quadlet"}
UNIT = "[Container]\\nImage=localhost/demo:latest\\nNetwork=none\\nExec=sleep 100000\\nStopTimeout=0\\n[Service]\\nTimeoutStartSec=3600\\n"
UNIT += "[Install]\\nWantedBy=default.target\\n"


def runs(vm: Machine, tool: str, count: int) -> float:
    """Median milliseconds of `run --rm`, by the machine's clock, after one that counts for nothing."""
    said = vm(
        f"""
        once() {{ {tool} run --rm --network none localhost/demo true; }}
        once
        for i in $(seq {count}); do began=${{EPOCHREALTIME/[.,]}}; once; echo $((${{EPOCHREALTIME/[.,]}} - began)); done
        """,
        timeout=HOUR,
    ).stdout.split()
    return statistics.median(map(int, said)) / 1e3


def prepare(vm: Machine, tool: str, names: str) -> None:
    """The units, made by the tool's own generator from the same files."""
    links = "".join(
        f"ln -sf {path if name == tool else '/dev/null'} {GENERATORS}/{name}-user-generator;" for name, path in GENERATOR.items()
    )
    vm(f"mkdir -p {GENERATORS}; {links}", user="root")
    vm(f"mkdir -p {FOLDER}; cd {FOLDER}; for name in {names}; do printf '{UNIT}' >$name.container; done; systemctl --user daemon-reload")


def memory(vm: Machine) -> float:
    """MiB (PSS) of all processes in the units' groups but the containers' own."""
    said = vm(
        """
        for group in /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/b[0-9]*.service; do
            for pid in $(find $group -name cgroup.procs -exec cat {} +); do
                [ "$(cat /proc/$pid/comm)" = sleep ] || sed -n 's/^Pss: *//p' /proc/$pid/smaps_rollup
            done
        done | awk '{total += $1} END {print total}'
        """,
        user="root",
        timeout=HOUR,
    ).stdout
    return int(said.split()[0]) / 1024


def start(vm: Machine, names: str) -> float:
    """Seconds, by the machine's clock, until all units are active."""
    said = vm(
        f"began=${{EPOCHREALTIME/[.,]}}; systemctl --user start {names}; echo $((${{EPOCHREALTIME/[.,]}} - began))", timeout=HOUR
    ).stdout
    return int(said) / 1e6


def boot(vm: Machine, names: str) -> float:
    """Seconds from the start of the user's service manager after a reboot until all units are active."""
    vm.reboot()
    vm(f"until ! systemctl --user is-active {names} | grep -qv '^active'; do sleep 1; done", timeout=HOUR)
    entered = vm(f"systemctl --user show --value -p ActiveEnterTimestampMonotonic {names}").stdout.split()
    manager = vm("systemctl show --value -p ExecMainStartTimestampMonotonic user@1000.service").stdout
    return (max(map(int, entered)) - int(manager)) / 1e6


def end(vm: Machine, names: str) -> None:
    """Nothing is left of the units."""
    vm(f"systemctl --user stop {names}; rm {FOLDER}/b*.container; systemctl --user daemon-reload", timeout=HOUR, rc=None)


def measure(vm: Machine, count: int, number: int) -> dict[str, dict[str, float]]:
    """All of it for both tools. They take turns, so that what else the host does hits both."""
    found: dict[str, dict[str, float]] = {tool: {} for tool in GENERATOR}
    names = " ".join(f"b{index}" for index in range(count))
    for tool in GENERATOR if number else ():
        found[tool]["run"] = runs(vm, tool, number)
    for tool in GENERATOR:
        prepare(vm, tool, names)
        found[tool]["start"] = start(vm, names)
        found[tool]["memory"] = memory(vm)
        end(vm, names)
        print(tool, found[tool], flush=True)
    for tool in GENERATOR:
        prepare(vm, tool, names)
        found[tool]["boot"] = boot(vm, names)
        end(vm, names)
        print(tool, found[tool], flush=True)
    return found


def main() -> int:
    """Parse the command line, measure, report."""
    machine.LIMIT = 4 * int(HOUR)
    count, number = (int(word) for word in (*sys.argv[1:], *("30", "10")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory(prefix="pv-") as scratch:
        vm = Machine(IMAGE, Path(scratch), keep=IMAGE == KEPT)
        try:
            vm("pyman image exists localhost/demo || pyman pull -q oci:/opt/demo:latest")
            vm("podman image exists localhost/demo || podman tag $(podman pull -q oci:/opt/demo:latest) localhost/demo")
            found = measure(vm, count, number)
        finally:
            vm.close()
    for what, value in found["pyman"].items():
        print(f"{what}: {value:.1f} / {found['podman'][what]:.1f} = {value / found['podman'][what]:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
