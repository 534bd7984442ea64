"""Whether the rules in the bridges' namespace are still those that pyman made. A child in U1, inside that namespace, for `network test`.

Each nft words rules in its own way. So pyman's rules are loaded once more, in a network namespace that lives as long as this takes, and
the same nft's lists of both are compared.
"""

from __future__ import annotations

import os

from pyman.errors import NetworkError
from pyman.linux import libc, process
from pyman.network import firewall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Blocks = dict[str, list[str]]  # "chain NAME" or "set NAME" -> its lines

_TABLE = "the table inet pyman"


def fault(networks: list[tuple[str, bool, str]], dns_port: int) -> str:
    """What the table of this network namespace lacks or has too much; empty if it is whole. MissingProgram, NetworkError.

    networks: those whose walls are looked at, as firewall.load has them; others may have theirs. dns_port: as there.
    """
    text = _listing()
    if not text:
        return f"{_TABLE} was deleted"
    found, wanted = _blocks(text), _blocks(_pristine(networks, dns_port))
    for name, lines in wanted.items():
        if name not in found:
            return f"the {name} of {_TABLE} was deleted"
        why = _walls(name, lines, found[name], networks) if name.startswith("set ") else _chain(name, lines, found[name])
        if why:
            return why
    strange = [name for name in found if name not in wanted]
    return f"{_TABLE} has a {strange[0]} that is not pyman's" if strange else ""


def _chain(name: str, wanted: list[str], found: list[str]) -> str:
    """How a chain's lines differ."""
    if found == wanted:
        return ""
    left = list(found)
    for line in wanted:
        if line not in left:
            return f"the {name} of {_TABLE} lacks: {line}"
        left.remove(line)
    return f"the {name} of {_TABLE} has a line that is not pyman's: {left[0]}" if left else f"the {name} of {_TABLE} has another order"


def _walls(name: str, wanted: list[str], found: list[str], networks: list[tuple[str, bool, str]]) -> str:
    """How a set's elements differ, of those networks."""
    for device, _, _ in networks:
        quoted = f'"{device}"'
        here, asked = (any(quoted in line for line in lines) for lines in (found, wanted))
        if here != asked:
            return f"the {name} of {_TABLE} " + (f"lacks {device}" if asked else f"has {device}, which does not belong there")
    return ""


def _blocks(text: str) -> Blocks:
    """The lines of each chain and set."""
    blocks: Blocks = {}
    name = ""
    for line in text.split("\n"):
        words = line.split()
        if not name and words[:1] in (["chain"], ["set"], ["map"], ["flowtable"], ["counter"]):
            name = " ".join(words[:2])
            blocks[name] = []
        elif words == ["}"]:
            name = ""
        elif name and words:
            blocks[name].append(" ".join(words))
    return blocks


def _pristine(networks: list[tuple[str, bool, str]], dns_port: int) -> str:
    """nft's list of the table as it ought to be."""
    read_end, write_end = os.pipe()

    def child() -> int:
        libc.unshare(libc.CLONE_NEWNET)
        firewall.load(networks, dns_port)
        with open(write_end, "wb") as pipe:
            pipe.write(_listing().encode())
        return 0

    pid = process.fork(child, "pyman:[rules]", (write_end,))
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        text = pipe.read().decode()
    if process.wait(pid) or not text:
        raise NetworkError("cannot compare the rules of bridge networks", "nft does not list them")
    return text


def _listing() -> str:
    """nft's list of the table; empty if there is none."""
    program = firewall.find()
    read_end, write_end = os.pipe()
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    actions: list[Any] = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, write_end, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    pid = os.posix_spawn(program, ["nft", "list", "table", "inet", "pyman"], {"LC_ALL": "C"}, file_actions=actions)
    for fd in (write_end, null):
        os.close(fd)
    with open(read_end, "rb") as pipe:
        text = pipe.read().decode(errors="replace")
    return "" if process.wait(pid) else text
