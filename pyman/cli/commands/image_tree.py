"""`pyman image tree`: the layers of an image. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.cli.dispatch import escape
from pyman.engine import image_tree
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.image_tree import Node


def main(opts: Any, args: list[str]) -> int:
    """Print the image's head and a line per layer."""
    if not args:
        raise UsageError("no image given", "tree needs the name of an image", "pyman image tree IMAGE")
    record, nodes = image_tree.tree(args[0], whatrequires=opts["whatrequires"])
    lines = [
        f"Image ID: {record['id'][:12]}",
        f"Tags:     [{' '.join(record['names'])}]",
        f"Size:     {output.human_size(record['size'], 4).replace(' ', '')}",
        "Image Layers" if nodes else "No Image Layers",
    ]
    # A stack of (layer, what stands before its branch, whether it is the last of its siblings): trees may be deep.
    pending = [(node, "", node is nodes[-1]) for node in reversed(nodes)]
    while pending:
        node, before, last = pending.pop()
        lines.append(before + ("└── " if last else "├── ") + _text(node))
        inner = before + ("    " if last else "│   ") if len(node.children) > 1 else before
        below = [(child, inner, child is node.children[-1]) for child in node.children]
        if len(below) == 1:  # a layer without siblings goes on in its parent's column, as Podman draws it
            lines[-1] = before + "├── " + _text(node)
            below = [(below[0][0], before, last)]
        pending += reversed(below)
    sys.stdout.write("".join(escape(line) + "\n" for line in lines) + "\n")
    return 0


def _text(node: Node) -> str:
    names = f" Top Layer of: [{' '.join(node.names)}]" if node.names else ""
    return f"ID: {node.diff_id[:12]} Size: {output.human_size(node.size, 4).replace(' ', ''):>7}{names}"
