"""Compare an unpacked layer with the tar it came from: contents, types, owners, modes, times, links, attributes. Verify workers in U1.

One pass over the layer's skeleton makes the tar again, whose digest must be the diff id, and a model of the tree; then the tree is compared
with the model. A layer of a kind that the model does not tell apart is unpacked again aside, and both trees are compared.
"""

from __future__ import annotations

import hashlib
import os

from pyman.errors import PymanError
from pyman.linux import process
from pyman.storage import layers, skeleton, tarstream, trees_equal, unpacker
from pyman.storage.tarstream import WHITEOUT, Member
from pyman.storage.trees_equal import Facts, facts_of, walk
from pyman.storage.workers import Worker, several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MOST = 5  # problems told of one layer
_MODEL = 300_000  # entries of a layer that are kept in memory
_STEP = 4 << 20  # bytes between two progress messages
_OPAQUE_FILE = b".wh..wh..opq"


class Verifier:
    """A pool of workers."""

    __slots__ = ("workers",)

    def __init__(self, count: int) -> None:
        self.workers = several(count, lambda fd: Worker(_job, "verify a layer", unpacker.places, fd))

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.close()


def check(worker: Worker, diff_id: str, single: bool, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """{"problems": what is wrong, "note": why it could not be verified, "whole": whether the layer can be made again from itself}.

    single: the store has one id only, so owners were not kept. Blocks; call it from a thread of its own.
    """
    return _ask(worker, {"diff_id": diff_id, "single": single}, progress)


def rebuild(worker: Worker, diff_id: str, single: bool) -> dict[str, Any]:
    """Put a layer whose files' contents are all right in the place of itself, unpacked again. ImageError, StorageError."""
    return _ask(worker, {"diff_id": diff_id, "single": single, "rebuild": True}, None)


def _ask(worker: Worker, job: dict[str, Any], progress: Callable[[int], None] | None) -> dict[str, Any]:
    fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return worker.ask(fd, job, progress)
    finally:
        os.close(fd)


def _job(fd: int, job: dict[str, Any], sock: Any) -> dict[str, Any]:
    from pyman.state import fastjson

    diff_id, single = str(job["diff_id"]), bool(job["single"])
    if job.get("rebuild"):
        staging, info = _unpack_again(diff_id, single)
        with staging, layers.Aside([diff_id]):
            staging.commit(diff_id, info)
        return {}
    return _verify(diff_id, single, lambda done: sock.send(fastjson.dumps({"progress": done}).encode()))


def _verify(diff_id: str, single: bool, progress: Callable[[int], None]) -> dict[str, Any]:
    where = os.path.join(layers.layers_dir(), diff_id)
    if not skeleton.exists(where):
        return {"problems": [], "note": "the store does not know the tar that it came from", "whole": False}
    model = _Model()
    digest = hashlib.sha256()
    size = told = 0
    try:
        for piece in skeleton.plain(where, model.add):
            digest.update(piece)
            size += len(piece)
            if size - told >= _STEP:
                told = size
                progress(size)
    except PymanError as err:
        return _unlike(model, err.why or err.what)
    if digest.hexdigest() != diff_id:
        return _unlike(model, "the contents of its files are not what they were")
    single = single or bool(layers.read_info(diff_id).get("single"))
    problems = [] if model.odd else model.compare(os.path.join(where, "diff"), single)
    if problems or model.odd:
        # The model may be wrong about a strange layer; unpacking is right by definition.
        staging, _ = _unpack_again(diff_id, single)
        try:
            problems = trees_equal.differences(staging.diff, os.path.join(where, "diff"), single)
        finally:
            staging.abandon()
    return {"problems": problems[:_MOST], "note": "", "whole": True}


def _unlike(model: _Model, why: str) -> dict[str, Any]:
    if model.twice:
        return {"problems": [], "note": "it holds a file twice, so its tar cannot be made again", "whole": False}
    return {"problems": [why], "note": "", "whole": False}


def _unpack_again(diff_id: str, single: bool) -> tuple[layers.Staging, dict[str, Any]]:
    """The layer, unpacked from its own tar into a staging directory."""
    staging = layers.Staging()
    with staging:
        read_end, write_end = os.pipe()

        def write() -> int:
            for piece in skeleton.plain(os.path.join(layers.layers_dir(), diff_id)):
                view = memoryview(piece)
                while view:
                    view = view[os.write(write_end, view) :]
            return 0

        pid = process.fork(write, "pyman:[pack]", (write_end,))
        os.close(write_end)
        try:
            info = unpacker.unpack_layer(read_end, staging.path, media_type="", diff_id=diff_id, single=single, share=False)
        finally:
            os.close(read_end)
            process.wait(pid)
    known = layers.read_info(diff_id)
    return staging, {**info, **{key: known[key] for key in ("digest", "compressed_size") if key in known}}


class _Model:
    """What the tree must be after all members, in their order. `odd`: not all could be told; `twice`: nor can the tar be made again."""

    __slots__ = ("entries", "odd", "opaque", "twice")

    def __init__(self) -> None:
        self.entries: dict[bytes, Facts] = {}
        self.opaque: set[bytes] = set()
        self.odd = self.twice = False

    def add(self, member: Member) -> None:
        """The next member."""
        name = tarstream.clean_name(member.name)
        if not name:
            if member.type == "5":
                self.entries[b""] = Facts("5", member.mode)
            return
        directory, _, base = name.rpartition(b"/")
        before = self.entries.get(name)
        if before is not None and not (before.type == member.type == "5"):
            self.odd = self.twice = True  # replaced within the layer
        if base == _OPAQUE_FILE:
            self.opaque.add(directory)
        elif base.startswith(WHITEOUT):
            name = (directory + b"/" if directory else b"") + base[len(WHITEOUT) :]
            if name in self.entries:
                self.odd = self.twice = True
            self._put(name, Facts("w"))
        elif member.type == "1":
            target = self.entries.get(tarstream.clean_name(member.link))
            if target is None:
                self.odd = True
            else:
                self._put(name, target)
        elif member.type not in "34":  # devices are left out
            made = Facts(member.type, member.mode, member.uid, member.gid, member.mtime_ns // 10**9, member.size, member.link)
            made.xattrs = member.xattrs or None
            self._put(name, made)

    def _put(self, name: bytes, made: Facts) -> None:
        if len(self.entries) >= _MODEL:
            self.odd = True
        if self.odd and len(self.entries) >= _MODEL:
            return  # memory has a bound; what is replaced beyond it is found by unpacking
        self.entries[name] = made
        parent = name.rpartition(b"/")[0]
        while parent:
            known = self.entries.get(parent)
            if known is None:
                self.entries[parent] = Facts("d")  # no member of its own: a directory with whatever attributes
                parent = parent.rpartition(b"/")[0]
                continue
            if known.type not in "5d":
                self.odd = True  # below a symlink: it lies elsewhere
            return

    def compare(self, diff: str, single: bool) -> list[str]:
        """What is different in the tree at `diff`."""
        comparison = trees_equal.Comparison(single)
        left = set(self.entries)
        left.discard(b"")
        for name, parent_fd, base, info in walk(diff):
            expected = self.entries.get(name)
            left.discard(name)
            if expected is None:
                if name:
                    comparison.problem(name, "does not belong there")
                continue
            comparison.compare(name, expected, facts_of(parent_fd, base, info), opaque=name in self.opaque)
            if comparison.full():
                return comparison.problems()
        for name in sorted(left)[:_MOST]:
            comparison.problem(name, "is missing")
        return comparison.problems()
