"""`pyman images`: list images. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.engine import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SORT = {
    "created": lambda row: -row["record"]["created"],
    "id": lambda row: row["record"]["id"],
    "repository": lambda row: row["repository"],
    "size": lambda row: row["record"]["size"],
    "tag": lambda row: row["tag"],
}


def _fields(row: dict[str, Any], trunc: bool) -> dict[str, Any]:
    record = row["record"]
    return {
        "Repository": row["repository"],
        "Tag": row["tag"],
        "ID": record["id"][:12] if trunc else "sha256:" + record["id"],
        "Id": record["id"],
        "Digest": record["digest"],
        "Created": output.ago(record["created"]),
        "CreatedAt": output.go_time(record["created"]),
        "CreatedSince": output.ago(record["created"]),
        "CreatedTime": output.go_time(record["created"]),
        "Size": output.human_size(record["size"]),
        "VirtualSize": output.human_size(record["size"]),
        "Labels": record["labels"],
        "ReadOnly": False,
        "Dangling": not record["names"],
        "Names": record["names"],
    }


def _json(row: dict[str, Any]) -> dict[str, Any]:
    record = row["record"]
    return {
        "Id": record["id"],
        "ParentId": "",
        "RepoTags": None,
        "RepoDigests": [f"{full.rpartition(':')[0]}@{record['digest']}" for full in record["names"]],
        "Size": record["size"],
        "SharedSize": 0,
        "VirtualSize": record["size"],
        "Labels": record["labels"] or None,
        "Containers": 0,
        "Dangling": not record["names"],
        "Digest": record["digest"],
        "Names": record["names"],
        "Created": int(record["created"]),
        "CreatedAt": output.rfc3339(record["created"]),
    }


def main(opts: Any, args: list[str]) -> int:
    """Print the images asked for, one row per name."""
    if opts["sort"] not in _SORT:
        raise output.bad_value("--sort", opts["sort"], ", ".join(_SORT))
    rows = sorted(images.rows(opts["filter"], args[0] if args else ""), key=_SORT[opts["sort"]])
    trunc = not opts["no_trunc"]
    if opts["quiet"]:
        ids = list(dict.fromkeys(row["record"]["id"] for row in rows))
        sys.stdout.write("".join((key[:12] if trunc else "sha256:" + key) + "\n" for key in ids))
    elif opts["format"]:
        seen = {row["record"]["id"]: row for row in rows}
        output.print_formatted(opts["format"], [_fields(row, trunc) for row in rows], [_json(row) for row in seen.values()])
    else:
        columns = ["Repository", "Tag", *(["Digest"] if opts["digests"] else []), "ID", "Created", "Size"]
        headings = ["REPOSITORY", "TAG", *(["DIGEST"] if opts["digests"] else []), "IMAGE ID", "CREATED", "SIZE"]
        shown = [_fields(row, trunc) for row in rows]
        output.print_table(headings, [[str(row[column]) for column in columns] for row in shown], not opts["noheading"])
    return 0
