"""Names of units: which are valid, their template and instance, their drop-in directories. Any process."""

from __future__ import annotations

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@")
LONGEST = 255


def valid(name: str) -> bool:
    """Whether systemd takes this name of a unit (with its suffix), or of a service without its suffix."""
    return 0 < len(name) <= LONGEST and all(char in _LETTERS for char in name) and name[0] not in ".@"


def escaped(name: str) -> str:
    """A valid name for any file name, as systemd-escape(1) makes it but for "-", cut where it would be too long."""
    text = "".join(
        chr(byte) if chr(byte) in _LETTERS and chr(byte) not in "\\" and (index or byte not in b".@") else f"\\x{byte:02x}"
        for index, byte in enumerate(name.encode("utf-8", "surrogateescape"))
    )
    return text[:200] or "_"


def template(name: str) -> tuple[str, str, bool]:
    """(what stands before @, the instance, whether there is an @) of a file name without its suffix."""
    base, at, instance = name.partition("@")
    return base, instance, bool(at)


def drop_in_directories(name: str) -> list[str]:
    """Where drop-ins of a file may lie, those that count most first.

    a-b@c.container: a-b@c.container.d, a-b@.container.d, a-@.container.d, a-.container.d, container.d
    """
    stem, _, kind = name.rpartition(".")
    base, instance, is_template = template(stem)
    found = [f"{kind}.d"]
    parts = base.split("-")
    for count in range(1, len(parts)):
        cut = "-".join(parts[:count]) + "-"
        found.append(f"{cut}.{kind}.d")
        if is_template:
            found.append(f"{cut}@.{kind}.d")
    if instance:
        found.append(f"{base}@.{kind}.d")
    found.append(f"{name}.d")
    return found[::-1]
