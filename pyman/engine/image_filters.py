"""Which images --filter asks for. CLI process."""

from __future__ import annotations

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.storage.images import ImageIndex

    Record = dict[str, Any]

KNOWN = ("id", "before", "containers", "dangling", "digest", "intermediate", "label", "manifest", "readonly", "reference", "since", "until")
PRUNE = ("label", "until", "dangling", "reference", "id", "before", "since")  # the last five as `images` knows them


def compiled(filters: list[str], index: ImageIndex, known: tuple[str, ...] = KNOWN) -> Callable[[Record], bool]:
    """A function that says whether an image passes all filters (references are alternatives). UsageError, NoSuchImage."""
    groups: dict[str, list[Callable[[Record], bool]]] = {}
    for item in filters:
        key, separator, value = item.partition("=")
        plain = {"after": "since"}.get(key.rstrip("!"), key.rstrip("!"))
        if not separator or plain not in known:
            from pyman.engine import filters as mistakes

            raise mistakes.unknown(item, plain, "images", known, "KEY=VALUE or KEY!=VALUE")
        groups.setdefault(plain + ("!" if key.endswith("!") else ""), []).append(_test(plain, value, index))

    def passes(record: Record) -> bool:
        for key, tests in groups.items():
            hits = [test(record) for test in tests]
            found = any(hits) if key in ("reference", "id", "digest", "reference!", "id!", "digest!") else all(hits)
            if found == key.endswith("!"):
                return False
        return True

    return passes


def truth(key: str, value: str) -> bool:
    """The value of a filter that is true or false. UsageError."""
    if value.lower() not in ("true", "1", "t", "false", "0", "f"):
        raise UsageError(f"invalid filter {key}={value}", "its value is true or false")
    return value.lower() in ("true", "1", "t")


def _test(key: str, value: str, index: ImageIndex) -> Callable[[Record], bool]:
    if key in ("before", "since"):
        created = index.resolve(value)["created"]
        return (lambda r: r["created"] < created) if key == "before" else (lambda r: r["created"] > created)
    if key == "containers":
        from pyman.engine.container_list import list_containers

        wanted = truth(key, value)
        used = {container.state["image_id"] for container in list_containers()}
        return lambda r: (r["id"] in used) == wanted
    if key in ("dangling", "intermediate"):  # an image without a name has no children: layers are shared, not inherited
        without = truth(key, value)
        return lambda r: (not r["names"]) == without
    if key == "manifest":
        lists = truth(key, value)
        return lambda r: ("list" in r) == lists
    if key == "readonly":  # images may always be removed
        nothing = not truth(key, value)
        return lambda r: nothing
    if key == "label":
        name, equals, text = value.partition("=")
        return lambda r: name in r["labels"] and (not equals or r["labels"][name] == text)
    if key == "id":
        return lambda r: r["id"].startswith(value.removeprefix("sha256:"))
    if key == "digest":
        return lambda r: any(digest.startswith(value) for digest in (r["digest"], *r["digests"]))
    if key == "until":
        from pyman.monitor.logs import parse_until

        moment = parse_until(value)
        return lambda r: r["created"] < moment
    return lambda r: _called(r, value)


def _called(record: Record, pattern: str) -> bool:
    return any(called(full, pattern) for full in record["names"])


def called(full: str, pattern: str) -> bool:
    """Whether an image's full name, or a part of it from a / on, matches; without a tag any tag does."""
    import fnmatch  # only with this filter

    return any(
        fnmatch.fnmatch(part, wanted)
        for part in (full, full.rpartition(":")[0], full.rsplit("/", 1)[-1])
        for wanted in (pattern, f"*/{pattern}", f"{pattern}:*")
    )
