"""What is wrong with Quadlet files, and the units that they become. CLI process."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile

from pyman.errors import StateError, UsageError
from pyman.systemd import unitfile, words
from pyman.systemd.quadlet import convert, generator, keys, service, sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Reads = Callable[[list[str]], tuple[str, bool]]

_NEEDED = ("Image", "Rootfs", "Artifact")
_SYSTEMD = ("Unit", "Service", "Install", "Quadlet")
_ABSENT = {"multi-user.target", "graphical.target", "network-online.target", "network.target", "local-fs.target", "remote-fs.target"}


class Checked:
    """A file's service, and its problems in the order of their lines."""

    __slots__ = ("made", "problems", "unit")

    def __init__(self, unit: unitfile.UnitFile, made: service.Service) -> None:
        self.unit = unit
        self.made = made
        self.problems = sorted(unit.problems, key=lambda problem: (problem.file != unit.path, problem.file, problem.line))


def check(paths: list[str], reads: Reads | None = None) -> list[Checked]:
    """Check the files named, or all in Quadlet's folders.

    reads: tells what is wrong with a command line of pyman's, empty if nothing, and whether only this host lacks what it names, which is
    a warning: the file may be meant for another one. UsageError if a file is none of Quadlet's.
    """
    if paths:
        return [check_file(path, reads) for path in paths]
    quadlets = sources.Quadlets(sources.folders(True))
    made = {each.source: each for each in convert.convert_all(quadlets, True)}
    return [_finish(unit, made[unit.path], quadlets, reads) for _, unit in sorted(quadlets.units.items())]


def check_file(path: str, reads: Reads | None = None) -> Checked:
    """Check one file; files beside it and in Quadlet's folders are those that it may name. UsageError."""
    path = os.path.abspath(path)
    if not keys.kind_of(os.path.basename(path)):
        raise UsageError(f"cannot check {path}", "it is no Quadlet file", "names of such files end in ." + ", .".join(keys.KINDS))
    beside = os.path.dirname(path)
    folders = sources.folders(True)
    quadlets = sources.Quadlets([beside, *(place for place in folders if place != os.path.realpath(beside))])
    unit = quadlets.add(path)
    return _finish(unit, convert.convert(unit, quadlets, True), quadlets, reads)


def _finish(unit: unitfile.UnitFile, made: service.Service, quadlets: sources.Quadlets, reads: Reads | None) -> Checked:
    _sections(unit)
    _targets(unit)
    if reads:
        for entry, text, absent in _of_commands(unit, made, quadlets, reads):
            unit.complain(entry, text, warning=absent)
    return Checked(unit, made)


def _of_commands(
    unit: unitfile.UnitFile, made: service.Service, quadlets: sources.Quadlets, reads: Reads
) -> list[tuple[unitfile.Entry | None, str, bool]]:
    """What is wrong with a unit's command lines, each with the line of the file without which it is not there."""
    section = keys.section(keys.kind_of(unit.name))
    problems, entries = unit.problems, unit.sections.get(section, [])
    found: list[tuple[unitfile.Entry | None, str, bool]] = []
    looking = True

    def right(wrong: tuple[str, str, bool], lines: list[unitfile.Entry]) -> bool:
        """Whether what is wrong is not there with these lines."""
        unit.problems, unit.sections[section] = [], lines
        made = convert.convert(unit, quadlets, True)
        return not unit.broken and wrong not in _wrong(made, reads)

    try:
        if unit.broken:  # what the other lines say
            bad = {(problem.file, problem.line) for problem in problems if not problem.warning}
            unit.problems, unit.sections[section] = [], [entry for entry in entries if (entry.file, entry.line) not in bad]
            made = convert.convert(unit, quadlets, True)
            looking = not unit.broken
        while looking:
            wrong = _wrong(made, reads)
            left = unit.sections.get(section, [])
            if wrong:
                culprit = next((entry for entry in left if right(wrong[0], [other for other in left if other is not entry])), None)
                found.append((culprit, "{}=: {}".format(*wrong[0]), wrong[0][2]))
                gone, looking = [culprit], culprit is not None
                rest = culprit and _rest(culprit, left, functools.partial(right, wrong[0]))
                left = [rest if rest and entry is culprit else entry for entry in left]
            else:  # behind a value that systemd has yet to put in there may be others
                gone = [entry for entry in left if ("%" in entry.value or "$" in entry.value) and entry.key not in _NEEDED]
                looking = bool(gone)
            unit.sections[section] = [entry for entry in left if entry not in gone]
            unit.problems = []
            made = convert.convert(unit, quadlets, True)
    finally:
        unit.problems, unit.sections[section] = problems, entries
    return found


def _rest(entry: unitfile.Entry, entries: list[unitfile.Entry], right: Callable[[list[unitfile.Entry]], bool]) -> unitfile.Entry | None:
    """A line of several words without those that are wrong; the others may hide a mistake as well. None: they cannot be told apart."""
    try:
        pieces = _pieces(words.split(entry.value))
    except ValueError:
        return None
    if len(pieces) < 2 or entry.key == "Exec":
        return None
    at = entries.index(entry)
    for index in range(len(pieces)):
        value = words.join([word for piece in (*pieces[:index], *pieces[index + 1 :]) for word in piece])
        less = unitfile.Entry(entry.key, value, entry.file, entry.line)
        if right([*entries[:at], less, *entries[at + 1 :]]):
            return less
    return None


def _pieces(line: list[str]) -> list[list[str]]:
    """An option with its value is one, and so is each other word."""
    pieces: list[list[str]] = []
    for word in line:
        if pieces and len(pieces[-1]) == 1 and pieces[-1][0].startswith("-") and not word.startswith("-"):
            pieces[-1].append(word)
        else:
            pieces.append([word])
    return pieces


def _wrong(made: service.Service, reads: Reads) -> list[tuple[str, str, bool]]:
    """(key, what is wrong, whether only this host lacks it) of the command lines of pyman's in a unit."""
    found = []
    for key, value in made.sections.get("Service", ()):
        argv = words.split(value) if key.startswith("Exec") and value.lstrip("-").startswith(_program()) else []
        wrong, absent = reads(argv[1:]) if argv else ("", False)
        if wrong:
            found.append((key, wrong, absent))
    return found


def _program() -> str:
    from pyman.systemd.quadlet import commandline

    return commandline.program()


def _sections(unit: unitfile.UnitFile) -> None:
    """Sections that nobody reads are mistakes of typing."""
    from pyman.config.nearest import nearest

    known = [keys.section(keys.kind_of(unit.name)), *_SYSTEMD]
    for section, (file, line) in unit.lines.items():
        if section in known or section.startswith("X-"):
            continue
        likely = nearest(section[:40], known)
        hint = f"; did you mean [{likely}]?" if likely else ""
        unit.problems.append(unitfile.Problem(file, line, f"nothing reads the section [{section[:60]}]{hint}", warning=True))


def _targets(unit: unitfile.UnitFile) -> None:
    """Targets of the system do not exist for users' units."""
    for key in ("WantedBy", "RequiredBy"):
        for entry, word in unit.words("Install", key):
            others = [other for _, other in unit.words("Install", key) if other not in _ABSENT]
            if word in _ABSENT and not others:
                unit.complain(
                    entry,
                    f"{key}={word}: users' managers do not have it, so that nothing starts the unit; use default.target",
                    warning=True,
                )


def verify(checked: list[Checked]) -> list[str]:
    """What systemd-analyze says about the units; nothing where nothing is to be said. StateError where it is not installed."""
    program = shutil.which("systemd-analyze")
    if not checked:
        return []
    if not program:
        raise StateError("systemd has not looked at the units", "systemd-analyze is not installed", "--verify=false leaves that out")
    with tempfile.TemporaryDirectory(prefix="pyman-quadlet-") as folder:
        quadlets = sources.Quadlets(sources.folders(True))
        others = convert.convert_all(quadlets, True)
        own = {each.made.name for each in checked}
        generator.write([*(each for each in others if each.name not in own), *(each.made for each in checked)], folder, True)
        # A template is looked at as one of its instances.
        named = [name.replace("@.", "@instance.") for name in sorted(own)]
        environment = {
            "XDG_RUNTIME_DIR": folder,
            **os.environ,
            "SYSTEMD_UNIT_PATH": folder + ":",
            "SYSTEMD_LOG_COLOR": "0",
            "SYSTEMD_COLORS": "0",
        }
        done = subprocess.run(
            [program, "--user", "verify", "--man=no", "--recursive-errors=no", *named],
            env=environment, cwd=folder, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        lines = [line.replace(folder + "/", "") for line in done.stderr.split("\n") if line.strip()]
        return lines if done.returncode else [line for line in lines if any(line.startswith(name) for name in (*own, *named))]
