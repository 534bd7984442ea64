"""What the machine is called. Any process; imports nothing but os, since the shortest commands need it."""

from __future__ import annotations

import os

_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def architecture() -> str:
    """This machine's architecture as images, registries and Go name it: amd64 for the kernel's x86_64."""
    machine = os.uname().machine
    return _NAMES.get(machine, machine)
