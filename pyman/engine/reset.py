"""Bring the store back to nothing: containers, images, volumes, networks, secrets, run state. CLI process; deletes in U1.

Only what pyman puts into its directories is removed, by its name there: a directory that holds something else, too, keeps that. Nothing is
read that may be damaged, and no link is followed: a link in the store is removed, what it leads to is not.
"""

from __future__ import annotations

import os
import stat

from pyman import paths, stages
from pyman.engine import remove
from pyman.engine.container import Container, all_ids
from pyman.errors import PymanError, StorageError
from pyman.linux import fs, libc, process
from pyman.rootless import userns
from pyman.storage import trash

# What stands before the first point of an entry's name.
_STORE = (
    "artifacts blobs containers events images intents layers names networks partial secrets single-id tmp trash volumes pods build quadlets"
)
_RUN = "containers images namespaces netns networks userns doctor-"


class Done:
    """errors: what could not be removed; kept: what else lies in pyman's directories and is not pyman's."""

    __slots__ = ("errors", "kept")

    def __init__(self) -> None:
        self.errors: list[PymanError] = []
        self.kept: list[str] = []


def reset() -> Done:
    """End and remove all containers, then everything in the store and the run state. StorageError if nothing was touched."""
    done = Done()
    store, run = paths.graphroot(), paths.runroot()
    for place in (store, run):
        _refuse_shared(place)
        paths.refuse_foreign(place)
    _refuse_mounts([store, run])
    for container_id in all_ids():
        _remove_container(Container(container_id), done)
    _kill_monitors([store, run])
    stages.reach("reset:containers")
    moved = _to_trash(store)
    stages.reach("reset:renamed")
    ours = [os.path.join(run, name) for name in _listed(run) if _is_ours(name, _RUN)]
    for path in [*moved, *ours]:
        _delete(path, done)
    for place in (store, run):
        try:
            os.rmdir(place)
        except OSError:
            done.kept += [os.path.join(place, name) for name in _listed(place)]  # a mount point, or somebody's files
    return done


def _refuse_shared(place: str) -> None:
    """StorageError for a directory that cannot be pyman's alone."""
    real = os.path.realpath(place)
    homes = [os.path.realpath(path) for path in (paths.home(), os.environ.get("XDG_RUNTIME_DIR") or "/tmp", "/tmp")]
    if any(home == real or home.startswith(real.rstrip("/") + "/") for home in homes):
        raise StorageError(
            f"refusing to reset {place}",
            "it is, or holds, your home directory or a directory that others use",
            "remove what pyman has put there by hand, and give it a directory of its own (--root, --runroot)",
        )


def _refuse_mounts(places: list[str]) -> None:
    """StorageError for what is mounted below: its files are not the store's. Inside `pyman unshare` it is unmounted."""
    tops = [os.path.realpath(place).rstrip("/") + "/" for place in places]
    for path in sorted(fs.mounted_places(), reverse=True):
        if not any(path.startswith(top) for top in tops):
            continue
        try:
            libc.umount2(path)
        except OSError as err:
            raise StorageError(
                f"cannot reset the store: something is mounted at {path}", err.strerror or str(err), f"as root: umount {path}"
            ) from err


def _remove_container(container: Container, done: Done) -> None:
    try:
        remove.remove_container(container, force=True, timeout=0, volumes=True, depend=True)
    except (PymanError, OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # damaged, or gone with another: its processes are ended below, its directory goes with all the others
    if os.path.isdir(container.dir):
        from pyman.engine import cgroups

        try:
            cgroups.discard(container)
        except (PymanError, OSError):
            return


def _kill_monitors(places: list[str]) -> None:
    """End monitors of containers that nobody could read: the kernel ends the rest of such a container with its monitor.

    A process that only looks like a monitor ends nothing but itself.
    """
    mine = os.getuid()
    tops = tuple(place.rstrip("/") + "/" for place in places)
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            pidfd = libc.pidfd_open(int(entry))
        except OSError:
            continue
        try:
            words = process.words(int(entry))
            if words[:1] == ["pyman-monitor"] and os.stat(f"/proc/{entry}").st_uid == mine:
                if words[words.index("--run-dir") + 1].startswith(tops):
                    libc.pidfd_send_signal(pidfd, 9)
        except (OSError, ValueError, IndexError):
            continue
        finally:
            os.close(pidfd)


def _listed(place: str) -> list[str]:
    try:
        return sorted(os.listdir(place))
    except OSError:
        return []


def _is_ours(name: str, known: str) -> bool:
    return name.partition(".")[0] in known.split(" ") or any(word.endswith("-") and name.startswith(word) for word in known.split(" "))


def _to_trash(store: str) -> list[str]:
    """Make everything vanish at once, by renames; what is to be deleted then. A killed reset leaves trash, which any command sweeps."""
    names = [name for name in _listed(store) if _is_ours(name, _STORE)]
    if not names:
        return []
    place = os.path.join(store, "trash")
    left = [place]
    try:
        if os.path.lexists(place) and not stat.S_ISDIR(os.lstat(place).st_mode):
            os.unlink(place)
        os.makedirs(place, 0o700, exist_ok=True)
    except OSError:
        pass  # then all is deleted where it lies
    for name in names:
        if name == "trash":
            continue
        try:
            os.rename(os.path.join(store, name), os.path.join(place, f"{name}.{os.urandom(8).hex()}"))
        except OSError:
            left.append(os.path.join(store, name))  # one that is closed even to its owner
    return left


def _delete(path: str, done: Done) -> None:
    """Delete a file or tree with its files of subordinate ids."""
    if trash.remove_tree(path) or (not userns.in_userns() and userns.call_in_userns(lambda: trash.remove_tree(path))):
        return
    done.errors.append(
        StorageError(
            f"cannot remove all of {path}",
            "some files belong to ids that are not yours any more, or are in use",
            f"as root: rm -rf --one-file-system {path}",
        )
    )
