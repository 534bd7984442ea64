"""Namespaces that the launcher has begun before the interpreter started: the ids that it is to map, and taking them over.

See shims/early.h. The launcher cannot know the user's subordinate ids; it maps those of the last command, as noted in the run
directory. The command works out itself what it wants, and takes over only what was called with exactly that. CLI process.
"""

from __future__ import annotations

import os
import sys

from pyman import paths
from pyman.errors import PymanError
from pyman.linux import process
from pyman.state import store

_LIMIT = 4000  # bytes and below 250 words: what the launcher has room for


def take(how: list[str]) -> tuple[int, int, int] | None:
    """(pid, result, life) of the pyman-namespaces that the launcher started with the arguments `how`; None if there is none like that."""
    told = sys._xoptions.pop("pyman", "")
    numbers = [int(word) for word in str(told).split(":") if word.isdecimal()]
    if len(numbers) != 3:
        return None
    pid, result, life = numbers
    try:
        for fd in (result, life):
            os.set_inheritable(fd, False)
        if process.words(pid)[3:] == how:  # behind its name and its descriptors
            return pid, result, life
        os.close(result)
        os.close(life)
        os.kill(pid, 9)  # it would end by itself, but only after the maps of ids are written
        os.waitpid(pid, 0)
    except OSError:
        pass  # it is not there any more, or was no child of ours
    return None


def note(uids: list[str], gids: list[str]) -> None:
    """Have the launcher of the next command begin with these numbers for newuidmap and newgidmap."""
    path = os.path.join(paths.runroot(), "namespaces")
    text = "".join(f"{word}\0" for word in (*uids, "--", *gids))
    if len(text) > _LIMIT or len(uids) + len(gids) > 250:
        return
    try:
        if store.read_text(path, _LIMIT) != text:
            store.write_text(path, text)
    except (OSError, PymanError):
        pass  # the next command starts a little later
