"""Image names: [docker://]registry/repository[:tag][@digest]. Slow path and tag; CLI process, pure."""

from __future__ import annotations

import re

from pyman.errors import UsageError

_DOMAIN = re.compile(r"^(?:localhost|\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::[0-9]{1,5})?$")
_REPOSITORY = re.compile(r"^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$")
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")


def check_digest(digest: str, what: str) -> str:
    """The 64 hex digits of a `sha256:` digest. UsageError for any other text, which must never reach a path or URL."""
    if not isinstance(digest, str) or not _DIGEST.match(digest):
        raise UsageError(f"invalid digest in {what}", f"{digest!r} is not sha256: and 64 lower-case hexadecimal digits")
    return digest[7:]


class Reference:
    """A full image name."""

    __slots__ = ("digest", "registry", "repository", "tag")

    def __init__(self, registry: str, repository: str, tag: str, digest: str) -> None:
        self.registry = registry
        self.repository = repository
        self.tag = tag
        self.digest = digest

    def name(self) -> str:
        """registry/repository:tag, or with @digest where that was given."""
        base = f"{self.registry}/{self.repository}"
        return f"{base}@{self.digest}" if self.digest else f"{base}:{self.tag}"

    def target(self) -> str:
        """What a registry is asked for: the digest, or the tag."""
        return self.digest or self.tag


def is_tag(text: str) -> bool:
    """Whether the text follows the grammar of tags (distribution-spec)."""
    return _TAG.match(text) is not None


def is_short(name: str) -> bool:
    """Whether the name does not say its registry."""
    first = name.split("/", 1)[0]
    return "/" not in name or not ("." in first or ":" in first or first == "localhost")


def parse(name: str) -> Reference:
    """Parse a full name (see `is_short`). UsageError says which part is wrong."""
    text = name.removeprefix("docker://")
    rest, at, digest = text.partition("@")
    if at:
        check_digest(digest, f"image name {name!r}")
    registry, _, path = rest.partition("/")
    repository, tag = path, ""
    if ":" in path.rsplit("/", 1)[-1]:
        repository, _, tag = path.rpartition(":")
        tag = tag or " "  # `name:` is no tag at all: refused below
    if not _DOMAIN.match(registry):
        raise UsageError(f"invalid image name {name!r}", f"{registry!r} is not a registry's host name")
    if not _REPOSITORY.match(repository):
        why = "repository names are lower case" if repository.lower() != repository else f"{repository!r} is not a repository's name"
        raise UsageError(f"invalid image name {name!r}", why)
    if tag and not _TAG.match(tag):
        raise UsageError(f"invalid image name {name!r}", f"{tag!r} is not a tag")
    if registry == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(registry, repository, tag or ("" if digest else "latest"), digest)


def normalise_tag(name: str) -> str:
    """The full name a local image gets by `tag`: localhost/ and :latest are filled in. UsageError."""
    text = name if not is_short(name) else f"localhost/{name}"
    if "@" in text:
        raise UsageError(f"invalid image name {name!r}", "a name given to an image cannot have a digest")
    return parse(text).name()
