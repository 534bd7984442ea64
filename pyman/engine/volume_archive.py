"""`volume export` and `volume import`: a volume's files as a tar stream. CLI process; the work is done by a child in U1.

An archive is hostile: it is unpacked aside, and only a whole and decent one is moved into the volume. What a container does
in the volume at the same time is as hostile: nothing is looked up twice, and no link is followed.
"""

from __future__ import annotations

import os
import time

from pyman import paths, stages
from pyman.engine import volume_mounts, volumes
from pyman.errors import ImageError, PymanError, StateError, StorageError
from pyman.linux import fs, libc, merge
from pyman.rootless import idmap, userns
from pyman.state.lock import Lock
from pyman.storage import tarsink, tarwriter, trash, untar, workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PATIENCE = 2.0  # seconds without a word
_STEP = 1 << 20  # bytes between two words of the child


def export(name: str, fd: int) -> list[str]:
    """Write the volume's files as a tar archive to `fd`; what was left out, and why. NoSuchObject, StorageError, BrokenPipeError."""
    record = volumes.get(volumes.lookup(name))
    notes: list[str] = []

    def body() -> list[str]:
        _confine_process()
        root = _open(record)
        writer = tarwriter.TreeWriter(tarsink.FdSink(fd), note=lambda text: notes.append(text) if len(notes) < 20 else None)
        writer.tree(root)
        writer.close()
        return notes

    joined = volume_mounts.userns_of_users([record])
    try:
        return list(userns.call_in_userns(body, "pyman:[export]", (fd,), join_fd=joined))
    except StorageError as err:
        if err.errno == 32:
            raise BrokenPipeError(32, "the reader has gone") from None
        raise fs.failure(f"cannot export volume {record['name']}", err, fd) from err
    finally:
        if joined >= 0:
            os.close(joined)


def _confine_process() -> None:
    """No network, no new rights, and an end with the command."""
    libc.prctl(libc.PR_SET_PDEATHSIG, 9)
    libc.unshare(libc.CLONE_NEWNET)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)


def _open(record: dict[str, Any], lasting: bool = False) -> int:
    """The top directory of the volume's files, mounted first in this process's mount namespace where need be.

    lasting: StateError for a volume in memory that no container has just now: what is put there would be gone at once.
    """
    path = volumes.data_path(record["name"])
    if volume_mounts.kind_of(record["options"]):
        shared = volume_mounts.mount([record], "", only_shared=lasting and volume_mounts.passes(record))
        if lasting and not shared:
            raise StateError(
                f"cannot import into volume {record['name']}",
                "it lies in memory, and no container that runs has it",
                "start a container that has it first",
            )
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def import_archive(name: str, fd: int, reporter: Any, size: int = 0) -> list[str]:
    """Move the files of the tar archive read from `fd` into the volume, over those that are there; what was left out.

    A damaged or hostile archive changes nothing. size: bytes expected, for the progress that `reporter` shows after two
    seconds. NoSuchObject, ImageError, StorageError, StateError.
    """
    record = volumes.get(volumes.lookup(name))
    single = idmap.load_idmap().single
    trash.sweep()  # what killed imports have left
    tmp = os.path.join(paths.graphroot(), "tmp")
    stage = os.path.join(tmp, f"import-{os.urandom(8).hex()}")
    lock = Lock(stage)
    os.makedirs(tmp, 0o700, exist_ok=True)
    with Lock(tmp, shared=True):  # no sweep between the directory and its lock
        os.mkdir(stage, 0o700)
        lock.acquire()
    joined = volume_mounts.userns_of_users([record])
    shown = _Shown(reporter, f"volume {record['name']}", size)
    try:
        return list(
            userns.call_in_userns(lambda tell: _import(record, fd, stage, single, tell), "pyman:[import]", (fd,), shown.update, joined)
        )
    except ImageError as err:
        raise ImageError(f"cannot import into volume {record['name']}", str(err), "the volume is as it was") from err
    except StateError:
        raise
    except PymanError as err:
        raise StorageError(f"cannot import into volume {record['name']}", str(err), err.hint, errno=err.errno) from err
    finally:
        shown.close()
        if joined >= 0:
            os.close(joined)
        lock.release()
        trash.discard(stage)


def _import(record: dict[str, Any], fd: int, stage: str, single: bool, tell: Any) -> list[str]:
    """In the child: unpack, then move."""
    _confine_process()
    target = _open(record, lasting=True)
    workers.confine([], [stage, volumes.directory(record["name"])])
    told = [0]

    def progress(done: int) -> None:
        if done - told[0] >= _STEP:
            told[0] = done
            tell(done)

    rules = untar.Rules()
    rules.overwrite, rules.single = True, single
    source = os.open(stage, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        notes = untar.put(fd, source, rules, progress)
    except (PymanError, OSError):
        raise
    except Exception as err:  # a parser's bug on hostile input must end as a refused archive
        raise ImageError("refused archive", f"it cannot be read: {type(err).__name__}: {err}") from err
    stages.reach("volume:unpacked")
    with Lock(volumes.directory(record["name"])):
        merge.move_into(source, target, _moved)
    fs.syncfs(volumes.data_path(record["name"]))
    return notes


def _moved() -> None:
    stages.reach("volume:importing")


class _Shown:
    """Progress that begins after two seconds."""

    __slots__ = ("began", "label", "reporter", "size", "started")

    def __init__(self, reporter: Any, label: str, size: int) -> None:
        self.reporter, self.label, self.size = reporter, label, size
        self.began, self.started = time.monotonic(), False

    def update(self, done: int) -> None:
        """`done` bytes of the archive are read."""
        if not self.started:
            if time.monotonic() - self.began < _PATIENCE:
                return
            self.started = True
            self.reporter.start("import", self.label, self.size)
        self.reporter.update("import", done)

    def close(self) -> None:
        """It is over."""
        if self.started:
            self.reporter.finish("import", "done")
            self.reporter.close()
