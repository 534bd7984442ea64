""".container files: a service that runs one container. Generator or CLI process."""

from __future__ import annotations

import os

from pyman.digits import is_whole
from pyman.systemd import words
from pyman.systemd.quadlet import commandline, mounts, users
from pyman.systemd.quadlet.commandline import option
from pyman.systemd.unitfile import unquoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.systemd.quadlet.service import Service
    from pyman.systemd.quadlet.sources import Quadlets
    from pyman.systemd.unitfile import UnitFile

SECTION = "Container"


def translate(unit: UnitFile, service: Service, quadlets: Quadlets) -> None:
    """Fill `service`; problems are noted in `unit`."""
    image = _image(unit, service, quadlets)
    name = commandline.positional(unit, unit.last(SECTION, "ContainerName"), quadlets.resource(unit.name))
    service.add("Service", "Environment", "PODMAN_SYSTEMD_UNIT=%n")
    _kill_mode(unit, service)
    stop = [*commandline.base(unit, "rm", "-v", "-f", "-i"), *name]
    service.add("Service", "ExecStop", words.join(stop))
    # When the main process was killed, only this is run.
    service.add("Service", "ExecStopPost", words.join(["-" + stop[0], *stop[1:]]))
    _reload(unit, service, name)
    service.add("Service", "Delegate", "yes")
    command = commandline.base(unit, "run", option("name", name[-1]), "--replace", "--rm")
    command.append(option("cgroups", unit.text(SECTION, "CgroupsMode") or "split"))
    command += _entrypoint(unit)
    command += _notification(unit, service)
    command += commandline.by_table(unit)
    command += _security(unit)
    command += mounts.networks(unit, service, quadlets)
    command += _devices(unit)
    command += users.options(unit)
    command += _ports(unit)
    command += mounts.volumes(unit, service, quadlets)
    command += [option("env-file", commandline.place(unit, word)) for _, word in unit.words(SECTION, "EnvironmentFile", True)]
    command += mounts.mounts(unit, service, quadlets)
    command += commandline.last_options(unit)
    command += image
    command += _last_words(unit, "Exec")
    service.default("Service", "SyslogIdentifier", "%N")
    service.add("Service", "ExecStart", words.join(command))


def _image(unit: UnitFile, service: Service, quadlets: Quadlets) -> list[str]:
    image, rootfs = unit.last(SECTION, "Image"), unit.last(SECTION, "Rootfs")
    if image and image.value and rootfs and rootfs.value:
        unit.complain(rootfs, f"Rootfs= and Image= (line {image.line}) exclude each other")
    elif image and image.value:
        return commandline.positional(unit, image, commandline.image(unit, image, service, quadlets))
    elif rootfs and rootfs.value:
        return ["--rootfs", *commandline.positional(unit, rootfs, unquoted(rootfs.value))]
    else:
        place = unit.lines.get(SECTION)
        unit.complain(None, f"no Image= or Rootfs= in [{SECTION}]" if place else f"there is no section [{SECTION}]")
    return []


def _kill_mode(unit: UnitFile, service: Service) -> None:
    entry = unit.last("Service", "KillMode")
    if entry is None:
        service.add("Service", "KillMode", "mixed")  # the monitor gets SIGTERM alone, and ends the container in its order
    elif entry.value not in ("mixed", "control-group"):
        unit.complain(entry, f"KillMode={entry.value[:40]} would leave the container behind: use mixed or control-group")


def _reload(unit: UnitFile, service: Service, name: list[str]) -> None:
    command, signal = unit.last(SECTION, "ReloadCmd"), unit.text(SECTION, "ReloadSignal")
    if command and command.value and signal:
        unit.complain(command, "ReloadCmd= and ReloadSignal= exclude each other")
    elif command and command.value:
        service.add("Service", "ExecReload", words.join([*commandline.base(unit, "exec"), *name, *_last_words(unit, "ReloadCmd")]))
    elif signal:
        service.add("Service", "ExecReload", words.join([*commandline.base(unit, "kill", option("signal", signal)), *name]))


def _last_words(unit: UnitFile, key: str) -> list[str]:
    """The words of the last value of a key."""
    entry = unit.last(SECTION, key)
    if entry is None:
        return []
    try:
        return words.split(entry.value)
    except ValueError as err:
        unit.complain(entry, f"{key}=: {err}")
        return []


def _entrypoint(unit: UnitFile) -> list[str]:
    """An empty value is one too: no entry point."""
    entry = unit.last(SECTION, "Entrypoint")
    return [option("entrypoint", unquoted(entry.value))] if entry else []


def _notification(unit: UnitFile, service: Service) -> list[str]:
    kind = unit.last("Service", "Type")
    if kind and kind.value not in ("notify", "oneshot"):
        unit.complain(kind, f"Type={kind.value[:40]} does not fit a container: use notify (the default) or oneshot")
    if kind and kind.value == "oneshot":
        return []
    if kind is None:
        service.add("Service", "Type", "notify")
    # The manager takes notifications of the monitor, which is no child of the process that it started.
    service.sections["Service"] = [line for line in service.sections["Service"] if line[0] != "NotifyAccess"]
    service.add("Service", "NotifyAccess", "all")
    notify = unit.text(SECTION, "Notify").lower()
    if notify == "healthy":
        return ["--sdnotify=healthy", "-d"]
    return ["--sdnotify=container" if notify and unit.boolean(SECTION, "Notify") else "--sdnotify=conmon", "-d"]


def _security(unit: UnitFile) -> list[str]:
    found = []
    for key, value in (
        ("NoNewPrivileges", "no-new-privileges"),
        ("SecurityLabelDisable", "label=disable"),
        ("SecurityLabelNested", "label=nested"),
    ):
        if unit.boolean(SECTION, key):
            found.append(f"--security-opt={value}")
    if unit.boolean(SECTION, "VolatileTmp") and not unit.boolean(SECTION, "ReadOnly"):
        found.append("--tmpfs=/tmp:rw,size=512M,mode=1777")
    return found


def _devices(unit: UnitFile) -> list[str]:
    """A device written with - before it is left out where it does not exist."""
    found = []
    for _, word in unit.words(SECTION, "AddDevice"):
        if word.startswith("-"):
            word = word[1:]
            if not os.path.exists(word.partition(":")[0]):
                continue
        found.append(option("device", word))
    return found


def _ports(unit: UnitFile) -> list[str]:
    found = []
    for entry in unit.entries(SECTION, "ExposeHostPort"):
        ports, _, protocol = entry.value.partition("/")
        first, dash, last = ports.partition("-")
        if not is_whole(first) or (dash and not is_whole(last)) or protocol not in ("", "tcp", "udp"):
            unit.complain(entry, f"ExposeHostPort={entry.value[:40]} is no port, as in 80, 50-59 or 53/udp")
        found.append(option("expose", entry.value))
    return found
