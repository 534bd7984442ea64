"""Run from a sealed copy of the interpreter where its file belongs to the caller (pyenv, copied environments). CLI process.

A container's root is the caller. A program `#!/proc/self/exe` in an image makes the kernel execute the interpreter that is
just starting the container, and through its /proc entry the file itself could be overwritten (CVE-2019-5736). A file of
root's is safe from that; any other is copied into a sealed memory file, and pyman starts anew from there.
"""

from __future__ import annotations

import os
import sys

_NAME = "pyman-interpreter"
_MFD_EXEC = 0x10  # Linux 6.3: asked for where vm.memfd_noexec is 1
_F_ADD_SEALS, _SEALS = 1033, 0xF  # F_SEAL_SEAL, SHRINK, GROW, WRITE


def _is_initial_namespace() -> bool:
    with open("/proc/self/uid_map", "rb") as file:
        return file.read().split() == [b"0", b"0", b"4294967295"]


def ensure() -> None:
    """Return if the interpreter is out of a container's reach, else execute this command again from a sealed copy. OSError."""
    info = os.stat("/proc/self/exe")
    if info.st_uid == 0 and _is_initial_namespace():
        return  # in any other user namespace "root" is the user who made it
    if info.st_uid != os.getuid() and not os.access("/proc/self/exe", os.W_OK):
        return
    if os.readlink("/proc/self/exe").startswith(f"/memfd:{_NAME}"):
        return
    import fcntl

    try:
        copy = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | _MFD_EXEC)
    except OSError:
        copy = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    source = os.open("/proc/self/exe", os.O_RDONLY | os.O_CLOEXEC)
    while os.sendfile(copy, source, None, 1 << 24):
        pass
    os.close(source)
    fcntl.fcntl(copy, _F_ADD_SEALS, _SEALS)
    os.execve(copy, sys.orig_argv, os.environ)
