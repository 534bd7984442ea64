"""What `quadlet install` has put into the user's folder: files, those that belong to them, applications; units without a generator.

Beside the files lie lists, as Podman writes them: .NAME.asset names what was installed with the file NAME, .NAME.app all files of the
application NAME. A name in a list is a name in the folder, whatever it looks like: no list leads out of it.
"""

from __future__ import annotations

import os

from pyman.errors import StorageError
from pyman.systemd.quadlet import convert, generator, keys, service, sources

GENERATOR = "pyman-user-generator"


def app_files(folder: str) -> dict[str, list[str]]:
    """The lists (.NAME.app) of all applications in the folder, with the names of their files."""
    return {name: names(os.path.join(folder, name)) for name in _listed(folder) if name.startswith(".") and name.endswith(".app")}


def names(path: str) -> list[str]:
    """The names in a list; none if there is no such list."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.strip() for line in file.read(1 << 20).split("\n")]
    except OSError:
        return []
    return [line for line in lines if line and "/" not in line and line not in (".", "..")]


def application_of(folder: str, name: str) -> str:
    """The list (.NAME.app) that a file belongs to; empty if none."""
    return next((app for app, members in app_files(folder).items() if name in members), "")


def assets(folder: str, name: str) -> list[str]:
    """The files that were installed with a Quadlet file, and their list."""
    found = names(os.path.join(folder, f".{name}.asset"))
    return [*found, f".{name}.asset"] if found else []


def add_to_list(folder: str, list_name: str, members: list[str]) -> None:
    """Write names into a list, before the files themselves: what was begun can be removed. StorageError."""
    path = os.path.join(folder, list_name)
    known = names(path)
    text = "".join(name + "\n" for name in [*known, *(name for name in members if name not in known)])
    try:
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.rename(path + ".new", path)
    except OSError as err:
        raise StorageError(f"cannot write {path}", err.strerror or str(err)) from err


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def has_generator() -> bool:
    """Whether systemd calls pyman's generator for users."""
    return bool(generator.installed_generator(GENERATOR))


def unit_folder() -> str:
    """Where units lie for a user without a generator; those of the user's own and the administrator's count more."""
    data = os.environ.get("XDG_DATA_HOME", "")
    if not data.startswith("/"):
        data = os.path.join(os.environ.get("HOME") or os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "systemd", "user")


def refresh_units() -> list[str]:
    """Do the generator's work where there is none: write all units into the user's folder, and remove those that are no more.

    The paths of those written. Units that pyman has not written stay, and keep their names. StorageError.
    """
    folder = unit_folder()
    quadlets = sources.Quadlets(sources.folders(True))
    made = convert.convert_all(quadlets, True)
    own = {name for name in _listed(folder) if name.endswith(".service") and _is_ours(os.path.join(folder, name))}
    foreign = {name for name in _listed(folder) if name.endswith(".service")} - own
    made = [each for each in made if each.name not in foreign]
    try:
        for directory in [
            folder,
            *(os.path.join(folder, name) for name in _listed(folder) if name.endswith((".wants", ".requires", ".upholds"))),
        ]:
            for name in _listed(directory):
                path = os.path.join(directory, name)
                if os.path.islink(path) and os.path.basename(os.readlink(path)) in own:
                    os.unlink(path)
        for name in own - {each.name for each in made}:
            os.unlink(os.path.join(folder, name))
        return generator.write(made, folder, True)
    except OSError as err:
        raise StorageError(f"cannot write the units in {folder}", err.strerror or str(err)) from err


def _is_ours(path: str) -> bool:
    if os.path.islink(path):
        return False
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline(200).startswith(service.MARK)
    except OSError:
        return False


def own_files(folder: str) -> list[str]:
    """The names of the Quadlet files in the folder."""
    return [name for name in _listed(folder) if keys.kind_of(name) and not os.path.isdir(os.path.join(folder, name))]
