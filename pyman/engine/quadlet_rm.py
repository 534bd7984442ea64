"""Remove Quadlet files of the user, with what was installed with them. CLI process."""

from __future__ import annotations

import os

from pyman.engine import quadlet_install, quadlet_print
from pyman.errors import NoSuchObject, StateError, StorageError, UsageError
from pyman.systemd import manager
from pyman.systemd.quadlet import installed, keys, sources


def everything() -> list[str]:
    """The names of all Quadlet files in the user's folder."""
    return installed.own_files(sources.own_folder())


def members(name: str) -> list[str]:
    """The Quadlet files that go with `name` (a file, or an application .NAME.app): all that were installed with it. NoSuchObject, UsageError."""
    folder = sources.own_folder()
    apps = installed.app_files(folder)
    app = name if name in apps else installed.application_of(folder, name)
    if app:
        return [member for member in apps[app] if keys.kind_of(member) and os.path.lexists(os.path.join(folder, member))]
    path = quadlet_print.path_of(name)
    if os.path.dirname(path) != os.path.realpath(folder):
        raise UsageError(f"cannot remove {name}", f"it was not installed into the user's folder but lies at {path}", f"rm {path}")
    others = [other for other in installed.assets(folder, name) if keys.kind_of(other) and os.path.lexists(os.path.join(folder, other))]
    return [name, *others]


def remove(name: str, force: bool) -> list[str]:
    """Remove what `members` names, and the files installed with it; the names removed.

    The units of those that run are stopped with `force`, else nothing is removed. NoSuchObject, StateError, StorageError.
    """
    folder = sources.own_folder()
    found = members(name)
    _stop(found, force)
    app = name if name.endswith(".app") else installed.application_of(folder, name)
    gone = [
        *found,
        *(installed.names(os.path.join(folder, app)) if app else []),
        *(asset for file in found for asset in installed.assets(folder, file)),
    ]
    for file in dict.fromkeys([*gone, app] if app else gone):
        try:
            os.unlink(os.path.join(folder, file))
        except FileNotFoundError:
            pass
        except OSError as err:
            raise StorageError(f"cannot remove {os.path.join(folder, file)}", err.strerror or str(err)) from err
    if not found:
        raise NoSuchObject(f"no Quadlet files of {name!r}", "only its list was left, which is removed now")
    return found


def _stop(files: list[str], force: bool) -> None:
    if not manager.running():
        return
    quadlets = sources.Quadlets(sources.folders(True))
    units = {quadlets.service(file) + ".service": file for file in files if file in quadlets.units}
    for unit, state in manager.states(list(units)).items():
        if not state.startswith(("active", "activating", "reloading")):
            continue
        if not force:
            raise StateError(f"cannot remove {units[unit]}", f"its unit {unit} is {state}", f"systemctl --user stop {unit}, or --force")
        manager.stop(unit)


apply = quadlet_install.apply
