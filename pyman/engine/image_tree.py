"""The layers of an image as a tree, with the images that end at each, or with all that is built on it. CLI process."""

from __future__ import annotations

from pyman.engine.history import size_of, tops
from pyman.storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Node:
    """A layer in its place: the names of the images that end here, and what lies on it."""

    __slots__ = ("children", "diff_id", "names", "size")

    def __init__(self, diff_id: str, names: list[str]) -> None:
        self.diff_id = diff_id
        self.names = names
        self.size = size_of(diff_id)
        self.children: list[Node] = []


def tree(name: str, *, whatrequires: bool) -> tuple[dict[str, Any], list[Node]]:
    """(the image's record, its layers bottom first); whatrequires: its topmost layer alone, with all that lies on it. NoSuchImage."""
    index = images.load()
    record = index.resolve(name)
    chain = list(record["layers"])
    if whatrequires:
        return record, [_above(index, chain)] if chain else []
    return record, [_node(index, chain[: count + 1]) for count in range(len(chain))]


def _node(index: images.ImageIndex, chain: list[str]) -> Node:
    return Node(chain[-1], [known for record in tops(index, chain) for known in record["names"]])


def _above(index: images.ImageIndex, chain: list[str]) -> Node:
    """The layer at the end of `chain`, and below it in the tree every chain of the store that begins so."""
    top = _node(index, chain)
    pending = [(top, len(chain), [record["layers"] for record in index.records.values() if record["layers"][: len(chain)] == chain])]
    while pending:  # no recursion: an image may have hundreds of layers
        node, depth, chains = pending.pop()
        for following in dict.fromkeys(layers[depth] for layers in chains if len(layers) > depth):
            longer = [layers for layers in chains if len(layers) > depth and layers[depth] == following]
            child = _node(index, longer[0][: depth + 1])
            node.children.append(child)
            pending.append((child, depth + 1, longer))
    return top
