"""`pyman-quadlet`: write the units of all Quadlet files where systemd wants them, at each start and daemon-reload. Generator process.

systemd calls it with three directories (systemd.generator(7)); by hand it is given one, or --dryrun prints the units. Nothing but the
standard library is imported, and little of it: the manager waits.
"""

from __future__ import annotations

import os
import sys

from pyman.systemd.quadlet import convert, service, sources
from pyman.systemd.unitfile import Problem

_ROOTS = ("/run", "/etc", "/usr/local/lib", "/usr/lib")  # where systemd looks for generators, in its order
_USAGE = """\
Usage: pyman-quadlet [--user] [-v] [--no-kmsg-log] DIRECTORY [EARLY LATE]
       pyman-quadlet [--user] --dryrun

Writes a unit into DIRECTORY for each .container, .volume, .network, .image and .artifact file of Quadlet's folders.

  --dryrun       print the units instead
  --user         the folders of a user (always so below a user's systemd, and for all users but root)
  --no-kmsg-log  write messages to stderr only
  -v             say what is read and written
  --version      print the version
"""


class _Log:
    """Messages to stderr, which below systemd is its journal; as root to the kernel's log, as generators of the system do."""

    def __init__(self, kernel: bool, verbose: bool) -> None:
        self.verbose = verbose
        self.fd = -1
        if kernel and os.getuid() == 0:
            try:
                self.fd = os.open("/dev/kmsg", os.O_WRONLY | os.O_CLOEXEC)
            except OSError:
                pass

    def say(self, text: str) -> None:
        shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
        line = f"pyman-quadlet[{os.getpid()}]: {shown}\n".encode("utf-8", "backslashreplace")
        try:
            os.write(self.fd if self.fd >= 0 else 2, line[:900] if self.fd >= 0 else line)
        except OSError:
            pass

    def detail(self, text: str) -> None:
        if self.verbose:
            self.say(text)


def main(argv: list[str], called: str = "") -> int:
    """Do what the command line says; 1 if a file could not be used (its unit says why too) or the directory not be written."""
    flags = {word.lstrip("-") for word in argv if word.startswith("-")}
    places = [word for word in argv if not word.startswith("-")]
    unknown = sorted(flags - {"user", "dryrun", "v", "no-kmsg-log", "version", "help", "h"})
    if unknown or flags & {"help", "h"}:
        sys.stderr.write((f"unknown option -{unknown[0]}\n" if unknown else "") + _USAGE)
        return 2 if unknown else 0
    if "version" in flags:
        from pyman.version import VERSION

        sys.stdout.write(VERSION + "\n")
        return 0
    dry = "dryrun" in flags
    if not dry and not places:
        sys.stderr.write("missing output directory argument\n" + _USAGE)
        return 1
    user = "user" in flags or "user" in os.path.basename(called) or os.getuid() != 0 or os.environ.get("SYSTEMD_SCOPE") == "user"
    log = _Log(not dry and "no-kmsg-log" not in flags, "v" in flags)
    return _print(user, log) if dry else _generate(places, user, log)


def _services(user: bool, log: _Log) -> tuple[list[service.Service], bool]:
    """The services, and whether each file could be used."""
    places = sources.folders(user)
    log.detail(f"folders: {' '.join(places) or 'none'}")
    if not places:
        return [], True
    quadlets = sources.Quadlets(places)
    made = convert.convert_all(quadlets, user)
    problems: list[Problem] = [problem for unit in quadlets.units.values() for problem in unit.problems]
    for problem in problems:
        log.say(str(problem))
    return made, all(problem.warning for problem in problems)


def _print(user: bool, log: _Log) -> int:
    made, good = _services(user, log)
    for each in made:
        text = f"---{each.name}---\n{each.text()}\n"
        sys.stdout.write(text)
    return 0 if good else 1


def _generate(places: list[str], user: bool, log: _Log) -> int:
    made, good = _services(user, log)
    if not made:
        return 0
    directory = places[0]
    podmans = installed_generator("podman-user-generator")
    if len(places) == 3 and user and podmans:
        # Both would write the same names at the same time. The last directory counts least: what Podman makes is used.
        directory = places[2]
        log.say(
            f"{podmans} reads the same files, and its units are used;"
            " so that pyman's are: ln -s /dev/null /etc/systemd/user-generators/podman-user-generator"
        )
    try:
        write(made, directory, user, log.detail)
    except OSError as err:
        log.say(f"cannot write {err.filename or directory}: {err.strerror}")
        return 1
    return 0 if good else 1


def installed_generator(name: str) -> str:
    """The path of a user generator, if systemd would call it (a link to /dev/null in a place that counts more hides it)."""
    for root in _ROOTS:
        path = f"{root}/systemd/user-generators/{name}"
        if os.path.lexists(path):
            return path if os.access(path, os.X_OK) and os.path.realpath(path) != os.devnull else ""
    return ""


def write(made: list[service.Service], directory: str, user: bool, say: object = None) -> list[str]:
    """Write units and links below `directory`; the paths written. OSError."""
    os.makedirs(directory, exist_ok=True)
    files = {each.name: each.text() for each in made}
    if user and any((service.WAIT in text) for text in files.values()):
        files.setdefault(service.WAIT, service.wait_text())
    written = []
    for name, text in files.items():
        path = os.path.join(directory, name)
        _replace(path, text)
        written.append(path)
    for each in made:
        for name, target in each.links:
            path = os.path.join(directory, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.islink(path):
                os.unlink(path)
            elif os.path.lexists(path):
                continue  # a unit of that name counts more than another's alias
            os.symlink(target, path)
            written.append(path)
    if callable(say):
        for path in written:
            say(f"wrote {path}")
    return written


def _replace(path: str, text: str) -> None:
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)
    os.rename(path + ".new", path)
