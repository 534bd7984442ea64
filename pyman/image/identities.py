"""Which signed names are good for the image that is asked for (containers-policy.json(5), signedIdentity). Slow path, pure."""

from __future__ import annotations

from pyman.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.image.reference import Reference

_FIELDS: dict[str, tuple[str, ...]] = {
    "matchExact": (),
    "matchRepoDigestOrExact": (),
    "matchRepository": (),
    "exactReference": ("dockerReference",),
    "exactRepository": ("dockerRepository",),
    "remapIdentity": ("prefix", "signedPrefix"),
}


def of(entry: dict[str, Any], what: str) -> dict[str, str]:
    """The signedIdentity of a requirement. ConfigError."""
    value = entry.get("signedIdentity", {"type": "matchRepoDigestOrExact"})
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in _FIELDS or set(value) != {"type", *_FIELDS[kind]} or not all(isinstance(text, str) for text in value.values()):
        raise ConfigError(what, f"signedIdentity of {entry['type']} is not understood: {str(kind)[:40]!r}")
    return dict(value)


def _parts(name: str) -> tuple[str, str]:
    """(repository, :tag or @digest) of a full name."""
    base, at, digest = name.partition("@")
    if at:
        return base.rpartition(":")[0] if ":" in base.rsplit("/", 1)[-1] else base, at + digest
    repository, colon, tag = base.rpartition(":")
    return (repository, colon + tag) if colon and "/" not in tag else (base, "")


def fits(signed: str, identity: dict[str, str], wanted: Reference | None) -> bool:
    """Whether a name that was signed is good for the image asked for; None: it has no name, only what the policy names can fit."""
    kind = identity["type"]
    if kind == "exactReference":
        return signed == identity["dockerReference"]
    if kind == "exactRepository":
        return _parts(signed)[0] == identity["dockerRepository"]
    if wanted is None:
        return False
    repository = f"{wanted.registry}/{wanted.repository}"
    if kind == "remapIdentity":
        prefix = identity["prefix"]
        if repository == prefix or repository.startswith(prefix + "/"):
            repository = identity["signedPrefix"] + repository[len(prefix) :]
        kind = "matchRepoDigestOrExact"
    base, mark = _parts(signed)
    if base != repository:
        return False
    if kind == "matchRepository":
        return True
    if wanted.digest:
        return kind != "matchExact" or mark == "@" + wanted.digest
    return mark == f":{wanted.tag}"
