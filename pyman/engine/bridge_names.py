"""What the bridges' name servers know of the running containers: made again where it was lost or damaged; for `network test`. CLI process, B.

The caller holds the networks' lock, where something is written.
"""

from __future__ import annotations

from pyman.config import containers as containers_conf
from pyman.engine import running
from pyman.engine.container import Container
from pyman.errors import PymanError
from pyman.network import config, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Entry = tuple[dict[str, Any], str, str]


def _entries(conf: dict[str, Any]) -> Iterator[Entry]:
    """(network's record, container's id, its line) of all running containers, whose own locks are not needed."""
    for container, state in running.living():
        try:
            options = container.config["options"]
            servers = names.asked_for(options)
            for status in state.get("attached") or []:
                if status["dns"] and status["addresses"]:
                    known = names.known_as(container.id, container.name, options.get("hostname") or "", status["aliases"])
                    addresses = [address["address"] for address in status["addresses"]]
                    record = config.get(status["name"], conf)
                    yield record, container.id, names.line(record, container.id, addresses, known, servers)
        except PymanError:
            continue  # being removed, or its network's file is damaged


def register_all(conf: dict[str, Any]) -> None:
    """The names of all running containers, in the files of all networks."""
    for record, container_id, line in _entries(conf):
        names.rewrite(record, container_id, line)


def mend(attached: list[dict[str, Any]], own: str) -> None:
    """As register_all, if a network's file was lost or damaged. Whoever takes a container out of its networks looks before."""
    conf = containers_conf.load()
    if names.lacking(attached, conf, own):
        register_all(conf)


def fault(record: dict[str, Any], conf: dict[str, Any]) -> str:
    """What is wrong with a network's file; empty if it says of all running containers what it should."""
    path, text = names.place(record), names.text_of(record)
    lines = {container_id: line for other, container_id, line in _entries(conf) if other["id"] == record["id"]}
    if text is None:
        return f"{path} was deleted"
    if not names.sound(record, text):
        return f"{path} is damaged"
    there = [line.split(" ")[:4] for line in text.split("\n")[1:]]  # what servers are asked, `network update` may have changed
    wrong = [container_id for container_id, line in lines.items() if line.split(" ")[:4] not in there]
    return f"{path} does not know container {Container(wrong[0]).name} as it should" if wrong else ""
