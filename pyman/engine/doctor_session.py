"""Checks of what containers get of the session: control groups, life after it, units. CLI process, slow path."""

from __future__ import annotations

import os
import sys

from pyman import paths
from pyman.engine import cgroups
from pyman.engine.doctor_finding import OK, WARN, Finding
from pyman.rootless import idmap
from pyman.runtime import cgroup, cgroup_place
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _cgroups() -> Finding:
    if paths.service_manager():
        delegated = set((store.read_text(f"{cgroups.managers()}/cgroup.controllers") or "").split())
        return _controllers(f"scopes of your service manager, with the controllers {' '.join(sorted(delegated)) or 'none'}", delegated)
    group = cgroups.own()
    if not group:
        why = "the one you are in is not yours" if cgroup.hierarchy() else "no cgroup v2 is mounted"
        return Finding("control groups", WARN, f"{why}: limits and pause need one", cgroup_place.delegation_hint([]))
    delegated = set((store.read_text(f"{group}/cgroup.controllers") or "").split())
    return _controllers(f"{group} is yours, with the controllers {' '.join(sorted(delegated)) or 'none'}", delegated)


def _controllers(text: str, delegated: set[str]) -> Finding:
    missing = [name for name in ("cpu", "cpuset", "io", "memory", "pids") if name not in delegated]
    if not missing:
        return Finding("control groups", OK, text)
    return Finding(
        "control groups", WARN, f"{text}; limits that need {' '.join(missing)} are errors", cgroup_place.delegation_hint(missing)
    )


def _lingering() -> Finding:
    if not os.path.isdir("/run/systemd/system"):
        return Finding("lingering", OK, "no systemd here: containers outlive your session")
    if os.path.exists(f"/var/lib/systemd/linger/{idmap.user_name(os.getuid())}"):
        return Finding("lingering", OK, "on: containers outlive your session")
    return Finding("lingering", WARN, "off: containers end when you log out", f"loginctl enable-linger {idmap.user_name(os.getuid())}")


def _after_a_reboot() -> Finding:
    from pyman.engine import reboot

    good, why, commands = reboot.verdict()
    if good:
        return Finding("restart at boot", OK, f"containers with --restart=always will be back after a reboot: {why}")
    known = OK if not os.path.isdir("/run/systemd/system") else WARN
    return Finding("restart at boot", known, f"containers with --restart=always will not be back after a reboot: {why}", commands)


def _quadlet_files() -> Finding:
    from pyman.systemd.quadlet import convert, generator, installed, sources

    quadlets = sources.Quadlets(sources.folders(True))
    if not quadlets.units:
        return Finding("quadlet files", OK, "there are none")
    convert.convert_all(quadlets, True)
    broken = [name for name, unit in sorted(quadlets.units.items()) if unit.broken]
    if broken:
        return Finding("quadlet files", WARN, f"cannot be used: {', '.join(broken)}", "pyman quadlet check -q")
    if not os.path.isdir("/run/systemd/system"):
        return Finding("quadlet files", OK, f"{len(quadlets.units)}, and no systemd here that would start them")
    podmans = generator.installed_generator("podman-user-generator")
    if podmans:
        fix = "sudo ln -s /dev/null /etc/systemd/user-generators/podman-user-generator"
        return Finding("quadlet files", WARN, f"{podmans} makes Podman's units of them", fix)
    if not installed.has_generator():
        program = os.path.join(os.path.dirname(sys.executable), "pyman-quadlet")
        fix = f"sudo ln -s {program} /etc/systemd/user-generators/{installed.GENERATOR}"
        return Finding(
            "quadlet files", WARN, "systemd does not call pyman's generator: only quadlet install and rm make units of them", fix
        )
    return Finding("quadlet files", OK, f"{len(quadlets.units)} become units")


def _networks() -> Finding:
    from pyman.engine import network_test_bridges, networks

    stopped = network_test_bridges.stopped()
    if stopped:
        return Finding("networks", WARN, "; ".join(stopped), "; ".join(text.rpartition(": ")[2] for text in stopped))
    found, broken = networks.listing([])
    if broken:
        return Finding("networks", WARN, "; ".join(str(error) for error in broken), broken[0].hint)
    return Finding("networks", OK, f"{len(found)}, each with a bridge and subnets of its own")


CHECKS: tuple[Callable[[], Finding], ...] = (_cgroups, _lingering, _after_a_reboot, _quadlet_files, _networks)
