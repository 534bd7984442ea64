"""`pyman images`: list images. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.engine import images
from pyman.storage import images as index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Row = dict[str, Any]

_SORT: dict[str, Callable[[Row], Any]] = {
    "created": lambda row: -row["record"]["created"],
    "id": lambda row: row["record"]["id"],
    "repository": lambda row: (row["repository"], row["tag"]),
    "size": lambda row: row["record"]["size"],
    "tag": lambda row: row["tag"],
}
_HEADINGS = {"ID": "IMAGE ID", "Id": "IMAGE ID", "CreatedSince": "CREATED", "ReadOnly": "R/O"}


def _digests(row: Row) -> list[str]:
    record = row["record"]
    return sorted({f"{full.rpartition(':')[0]}@{digest}" for full in record["names"] for digest in record["digests"] or [record["digest"]]})


def _history(row: Row) -> str:
    return ", ".join(index.history(row["record"])) or "<none>"


def _functions(trunc: bool, counts: Callable[[], dict[str, int]]) -> dict[str, Callable[[Row], Any]]:
    """Field name -> what works it out from a row."""
    return {
        "Containers": lambda r: counts().get(r["record"]["id"], 0),
        "Created": lambda r: output.ago(r["record"]["created"]),
        "CreatedAt": lambda r: output.go_time(r["record"]["created"]),
        "CreatedSince": lambda r: output.ago(r["record"]["created"]),
        "CreatedTime": lambda r: output.go_time(r["record"]["created"]),
        "Dangling": lambda r: not r["record"]["names"],
        "Digest": lambda r: r["record"]["digest"],
        "History": _history,
        "ID": lambda r: r["record"]["id"][:12] if trunc else "sha256:" + r["record"]["id"],
        "Id": lambda r: r["record"]["id"],
        "IsDangling": lambda r: not r["record"]["names"],
        "IsReadOnly": lambda r: "store" in r["record"],
        "Labels": lambda r: r["record"]["labels"],
        "Names": lambda r: r["record"]["names"],
        "ParentId": lambda r: "",
        "ReadOnly": lambda r: "store" in r["record"],
        "RepoDigests": _digests,
        "RepoTags": lambda r: r["record"]["names"],
        "Repository": lambda r: r["repository"],
        "SharedSize": lambda r: 0,
        "Size": lambda r: output.human_size(r["record"]["size"]),
        "Tag": lambda r: r["tag"],
        "VirtualSize": lambda r: r["record"]["size"],
    }


def _json(row: Row, counts: dict[str, int]) -> dict[str, Any]:
    record = row["record"]
    return {
        "Id": record["id"],
        "ParentId": "",
        "RepoTags": None,
        "RepoDigests": _digests(row),
        "Size": record["size"],
        "SharedSize": 0,
        "VirtualSize": record["size"],
        "Labels": record["labels"] or None,
        "Containers": counts.get(record["id"], 0),
        **({} if record["names"] else {"Dangling": True}),
        "Digest": record["digest"],
        "History": index.history(record),
        **({"Names": record["names"]} if record["names"] else {}),
        "Created": int(record["created"]),
        "CreatedAt": output.rfc3339(record["created"]),
    }


def _cell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main(opts: Any, args: list[str]) -> int:
    """Print the images asked for, one row per name."""
    if opts["sort"] not in _SORT:
        raise output.bad_value("--sort", opts["sort"], ", ".join(_SORT))
    rows = sorted(images.rows(opts["filter"], args[0] if args else ""), key=_SORT[opts["sort"]])
    trunc, template = not opts["no_trunc"], opts["format"]
    known: dict[str, int] = {}

    def counts() -> dict[str, int]:
        if not known:
            known.update(images.use_counts() or {"": 0})
        return known

    if template == "json":
        output.print_json([_json(row, counts()) for row in {row["record"]["id"]: row for row in rows}.values()])
    elif opts["quiet"] and not template:
        ids = list(dict.fromkeys(row["record"]["id"] for row in rows))
        sys.stdout.write("".join((key[:12] if trunc else "sha256:" + key) + "\n" for key in ids))
    elif template and template.strip() != "table":

        def plain(row: Row) -> dict[str, Any]:
            return _json(row, counts())

        def whole(row: Row) -> dict[str, Any]:
            names = {
                "Repository": row["repository"],
                "Tag": row["tag"],
                "RepoTags": row["record"]["names"],
                "ReadOnly": "store" in row["record"],
            }
            return {**plain(row), **names}

        heading = not opts["noheading"]
        output.print_template(template, rows, _functions(trunc, counts), plain, _HEADINGS, heading, ("imageReporter", whole))
    else:
        columns = ["Repository", "Tag", *(["Digest"] if opts["digests"] else []), "ID", "Created", "Size"]
        columns += ["History"] if opts["history"] else []
        columns += ["ReadOnly"] if any("store" in row["record"] for row in rows) else []
        functions = _functions(trunc, counts)
        headings = [_HEADINGS.get(column) or column.upper() for column in columns]
        output.print_table(headings, [[_cell(functions[column](row)) for column in columns] for row in rows], not opts["noheading"])
    return 0
