"""Search registries for images, list the tags of one. CLI process, slow path."""

from __future__ import annotations

from pyman.config import registries
from pyman.digits import is_whole
from pyman.errors import PymanError, UsageError
from pyman.image import reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def search(term: str, *, limit: int, filters: list[str], warn: Callable[[PymanError], None], **options: Any) -> list[dict[str, Any]]:
    """Rows of all registries that are asked, each with its "index". The last error if no registry answers.

    warn: told why one of several registries was left out. UsageError for a filter.
    """
    from pyman.image import search as requests
    from pyman.image.registry import Access

    passes = [_filter(text) for text in filters]
    host, rest = _split(term)
    hosts = [host] if host else registries.load().search
    if not hosts:
        raise UsageError(
            f"cannot search for {term}", "no registry is configured for short names", f"name one: pyman search docker.io/{term}"
        )
    if limit < 1:
        raise UsageError(f"invalid value {limit} for --limit", "it must be a positive number")
    found: list[dict[str, Any]] = []
    failures: list[PymanError] = []
    access = Access(**options)
    for registry in hosts:
        try:
            rows = requests.search(registry, rest, limit, access)
            found += [{**row, "index": registry} for row in rows if all(test(row) for test in passes)]
        except PymanError as err:
            failures.append(err)
    if len(failures) == len(hosts):
        raise failures[-1]
    for failure in failures:
        warn(failure)
    return found


def _split(term: str) -> tuple[str, str]:
    """(registry or nothing, what is searched for)."""
    term = term.removeprefix("docker://")
    first, slash, rest = term.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "", term


def _filter(text: str) -> Callable[[dict[str, Any]], bool]:
    key, _, value = text.partition("=")
    if key == "stars" and is_whole(value, 18):
        least = int(value)
        return lambda row: bool(row["stars"] >= least)
    if key in ("is-official", "is-automated") and value in ("", "true", "false"):
        wanted = value != "false"
        return lambda row: row[key[3:]] is wanted
    raise UsageError(f"invalid filter {text!r}", "it must be stars=NUMBER, is-official=true|false or is-automated=true|false")


def list_tags(term: str, *, limit: int, **options: Any) -> list[dict[str, Any]]:
    """{"name", "tag"} of one repository, at most `limit`. UsageError, RegistryError."""
    from pyman.image.registry import Access
    from pyman.image.registry_source import RegistrySource

    if reference.is_short(term.removeprefix("docker://")):
        raise UsageError(f"cannot list the tags of {term}", "it must be a full name", f"for instance docker.io/library/{term}")
    parsed = reference.parse(term)
    source = RegistrySource(parsed, Access(**options), "list the tags of")
    try:
        return [{"name": f"{parsed.registry}/{parsed.repository}", "tag": tag} for tag in source.tags()[:limit]]
    finally:
        source.close()
