"""Limits on real controllers: the kernel's files say what was asked for, and a program feels it."""

from __future__ import annotations

from tests.vm.machine import Machine


def test_limits_are_in_the_kernels_files(vm: Machine) -> None:
    said = vm(
        "pyman image exists demo || pyman pull -q oci:/opt/demo:latest >/dev/null\n"
        "systemd-run --user --scope -q -p Delegate=yes pyman run --rm --memory 64m --pids-limit 50 --cpus 0.5 --cpuset-cpus 1 demo"
        " sh -c 'cd /sys/fs/cgroup; cat memory.max pids.max cpu.max cpuset.cpus'"
    )
    assert said.stdout.split("\n")[:4] == ["67108864", "50", "50000 100000", "1"]
