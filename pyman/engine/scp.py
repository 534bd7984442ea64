"""Copy an image between this store and those of other machines: an archive through ssh, which is loaded there. CLI process, slow path.

ssh and the user's configuration of it decide who is reached and how; there pyman is called, or podman where that is not installed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess

from pyman.engine import images as image_engine
from pyman.engine import load, save
from pyman.errors import MissingProgram, PymanError, StateError, UsageError
from pyman.image import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMATS = ("docker-archive", "oci-archive")
_HOST = re.compile(
    r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*@)?(?P<host>[A-Za-z0-9][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?(/.*)?"
)
_THERE = 'p=$(command -v pyman || command -v podman) || { echo "neither pyman nor podman is installed" >&2; exit 127; }; exec "$p" "$@"'


class Place:
    """One end of a copy: `host` (empty: this store), `port`, and the image's name there."""

    __slots__ = ("host", "image", "port")

    def __init__(self, argument: str) -> None:
        self.host = self.port = ""
        before, colons, self.image = argument.partition("::")
        if not colons:
            self.image = argument
            return
        found = _HOST.fullmatch(before)
        if not found:
            raise UsageError(
                f"invalid place {argument!r}", "it must be [USER@]HOST[:PORT]::[IMAGE]", "pyman image scp app me@example.com::"
            )
        if found["host"] == "localhost" and found["user"] and not found["port"]:
            raise _other_account(found["user"][:-1], self.image)
        self.host = (found["user"] or "") + found["host"].strip("[]")
        self.port = found["port"] or ""


def _other_account(user: str, image: str) -> UsageError:
    there = f"sudo -iu {shlex.quote(user)} pyman"
    pipe = f"{there} save {shlex.quote(image)} | pyman load" if image else f"pyman save IMAGE | {there} load"
    return UsageError(f"cannot reach the store of account {user}", "it is written by that account alone", pipe)


def copy(source: str, target: str, *, kind: str = "", quiet: bool = False, reporter: Any = None, conf: dict[str, Any] | None = None) -> str:
    """Copy an image; what the loading side says. target empty: into this store. UsageError, NoSuchImage, StateError, MissingProgram."""
    if kind and kind not in FORMATS:
        raise UsageError(f"invalid value {kind!r} for --format", "it must be one of " + ", ".join(FORMATS))
    kind = kind or FORMATS[0]
    ours, theirs = Place(source), Place(target)
    if not ours.image:
        raise UsageError("no image to copy", "the first argument must name it")
    if not ours.host and not theirs.host:
        raise UsageError("cannot copy the image", "must specify a destination: neither argument names another place (HOST::)")
    load_words = ["load", *(["-q"] if quiet else [])]
    if not ours.host:
        text = _send(ours.image, theirs, load_words, kind, reporter, conf)
    else:
        spool = output.spool()
        try:
            _ssh(ours, ["save", "-q", "--format", kind, ours.image], stdout=spool)
            os.lseek(spool, 0, os.SEEK_SET)
            if theirs.host:
                text = _ssh(theirs, load_words, stdin=spool)
            else:
                loaded = load.load(f"/proc/self/fd/{spool}", reporter=reporter, conf=conf)
                text = "".join(f"Loaded image: {name}\n" for image in loaded for name in image.names or [f"sha256:{image.record['id']}"])
        finally:
            os.close(spool)
    if theirs.image:
        _name(theirs, text)
    return text


def _name(theirs: Place, text: str) -> None:
    """Give what was loaded a further name."""
    found = text.strip().rpartition(" ")[2]
    if not found:
        raise StateError(f"cannot name the image {theirs.image}", "the other side did not say what it has loaded")
    if theirs.host:
        _ssh(theirs, ["tag", found, theirs.image])
    else:
        from pyman.image import reference

        image_engine.tag(found, [reference.normalise_tag(theirs.image)])


def _command(place: Place, words: list[str]) -> list[str]:
    port = ["-p", place.port] if place.port else []
    return ["ssh", *port, "--", place.host, "sh", "-c", shlex.quote(_THERE), "sh", *(shlex.quote(word) for word in words)]


def _start(place: Place, words: list[str], stdin: int, stdout: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(_command(place, words), stdin=stdin, stdout=stdout)
    except FileNotFoundError:
        raise MissingProgram(f"cannot reach {place.host}", "ssh is not installed", "as root: apt-get install openssh-client") from None


def _ssh(place: Place, words: list[str], stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE) -> str:
    """Run a command of pyman at a place; what it wrote. Its own messages go to stderr. StateError if it fails."""
    process = _start(place, words, stdin, stdout)
    text = process.communicate()[0]
    _check(process, place)
    return text.decode("utf-8", "replace") if text else ""


def _check(process: subprocess.Popen[bytes], place: Place) -> None:
    code = process.wait()
    if code == 255:
        raise StateError(f"cannot reach {place.host}", "ssh has failed; it says why above", f"try: ssh {place.host} true")
    if code:
        raise StateError(f"cannot copy the image with {place.host}", f"the command there ended with code {code}; it says why above")


def _send(image: str, place: Place, words: list[str], kind: str, reporter: Any, conf: dict[str, Any] | None) -> str:
    """Save an image of this store into the pipe of the other side's load."""
    from pyman.storage import images

    images.load().resolve(image)  # before anybody is called
    read_end, write_end = os.pipe()
    process = _start(place, words, read_end, subprocess.PIPE)
    os.close(read_end)
    try:
        save.save([image], fd=write_end, kind=kind, reporter=reporter, conf=conf)
    except (PymanError, OSError):
        os.close(write_end)
        write_end = -1
        _check(process, place)  # a side that has gone away is the cause, and the broken pipe what follows
        raise
    finally:
        if write_end >= 0:
            os.close(write_end)
    text = process.communicate()[0]
    _check(process, place)
    return text.decode("utf-8", "replace")
