"""Which volumes --filter of `volume ls` and `volume prune` asks for. CLI process."""

from __future__ import annotations

from pyman.engine import filters, volumes
from pyman.engine.image_filters import truth
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Record = dict[str, Any]

KNOWN = ("after", "anonymous", "dangling", "driver", "label", "name", "opt", "scope", "since", "until")


def compiled(filters: list[str]) -> Callable[[Record], bool]:
    """A function that says whether a volume passes all filters (equal keys are alternatives, but for label). UsageError, NoSuchObject."""
    groups: dict[str, list[Callable[[Record], bool]]] = {}
    for item in filters:
        key, separator, value = item.partition("=")
        plain = key.rstrip("!")
        if not separator:
            raise UsageError(f"invalid filter {item!r}", "filter input must be in the form of filter=value")
        if plain not in KNOWN or (plain != key and plain != "label"):
            raise UsageError(
                f"invalid filter {item!r}", f"{key!r} is an invalid volume filter", "filters are " + ", ".join((*KNOWN, "label!"))
            )
        groups.setdefault(key, []).append(_test(plain, value))

    def passes(record: Record) -> bool:
        for key, tests in groups.items():
            hits = [test(record) for test in tests]
            if key == "label!":
                if any(hits):
                    return False
            elif not (all(hits) if key == "label" else any(hits)):
                return False
        return True

    return passes


def _pair(value: str, of: str) -> Callable[[Record], bool]:
    name, equals, text = value.partition("=")
    return lambda record: name in record[of] and (not equals or record[of][name] == text)


def _test(key: str, value: str) -> Callable[[Record], bool]:
    if key in ("since", "after"):
        created = volumes.get(volumes.lookup(value))["created"]
        return lambda record: bool(record["created"] > created)
    if key == "until":
        from pyman.monitor.logs import parse_until

        moment = parse_until(value)
        return lambda record: bool(record["created"] < moment)
    if key == "dangling":
        wanted, used = truth(key, value), volumes.used_by()
        return lambda record: (record["name"] not in used) == wanted
    if key == "anonymous":
        owned = truth(key, value)
        return lambda record: bool(record["anonymous"]) == owned
    if key == "label":
        return lambda record: filters.has_label(record["labels"], value)
    if key == "opt":
        return _pair(value, "options")
    if key == "name":
        import re  # a regular expression, as in Podman

        try:
            pattern = re.compile(value)
        except re.error as err:
            raise UsageError(f"invalid filter name={value}", f"it is no regular expression: {err}") from err
        return lambda record: pattern.search(record["name"]) is not None
    return lambda record: {"driver": record["driver"], "scope": "local"}[key] == value
