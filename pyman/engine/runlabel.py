"""The command that a label of an image holds, for `container runlabel`. CLI process.

Whoever runs a label trusts the image: a container with mounts and privileges can do whatever the user can. It is read as words,
never by a shell, and the program is pyman itself, or none.
"""

from __future__ import annotations

import os
import shlex
import string
import sys

from pyman.engine import remove
from pyman.engine.container import lookup
from pyman.errors import NoSuchContainer, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROGRAMS = ("podman", "docker", "pyman")


def arguments(record: dict[str, Any], image: str, label: str, more: list[str], name: str) -> list[str]:
    """The arguments of the command line: IMAGE, NAME, $PWD and $HOME are replaced, `more` is appended. UsageError.

    record: the image's; image: as the user named it; label: in any case; name: for the container, else made of the image's name.
    """
    text = next((value for key, value in (record.get("labels") or {}).items() if key.lower() == label.lower()), "")
    what = f"cannot run label {label} of image {image}"
    if not text:
        raise UsageError(what, f"cannot find the value of label: {label} in image: {image}", "pyman image inspect shows its labels")
    try:
        words = shlex.split(text)
    except ValueError as err:
        raise UsageError(what, f"its value is no command line: {err}") from err
    if not words or os.path.basename(words[0]) not in _PROGRAMS:
        raise UsageError(
            what,
            f"its command is {words[0] if words else 'empty'}: of an image's word only {', '.join(_PROGRAMS)} are run, which all mean pyman",
            "--display shows it",
        )
    return [_replaced(word, _names(record, image, name)) for word in words[1:]] + more


def shown(record: dict[str, Any], image: str, label: str, more: list[str], name: str) -> str:
    """The command line, for people. UsageError."""
    return shlex.join(["pyman", *arguments(record, image, label, more, name)])


def _names(record: dict[str, Any], image: str, name: str) -> dict[str, str]:
    full = record["names"][0] if record.get("names") else record["id"]
    plain = full if record["id"].startswith(image) else image
    name = name or plain.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return {"IMAGE": full, "NAME": name, "PWD": os.getcwd(), "HOME": os.path.expanduser("~")}


def _replaced(word: str, values: dict[str, str]) -> str:
    """Each word of the label stays one word, whatever its values contain."""
    for key in ("IMAGE", "NAME"):
        if word == key or word.endswith(f"={key}"):
            return word[: len(word) - len(key)] + values[key]
    found = string.Template(word).safe_substitute({**values, "OPT1": "", "OPT2": "", "OPT3": ""})
    return str(found)


def make_room(line: list[str]) -> None:
    """Remove the container that has the name which the command line gives: --replace. What remove_container raises."""
    for number, word in enumerate(line):
        value = (
            line[number + 1]
            if word == "--name" and number + 1 < len(line)
            else word.partition("=")[2]
            if word.startswith("--name=")
            else ""
        )
        if value:
            try:
                remove.remove_container(lookup(value), force=True)
            except NoSuchContainer:
                pass
            return


def execute(line: list[str]) -> None:
    """Become pyman with that command line; does not return."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    os.execv(sys.executable, [sys.executable, "-SI", os.path.join(package, "__main__.py"), *line])
