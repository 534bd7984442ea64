"""Image names: [docker://]registry/repository[:tag][@digest]. Slow path and tag; CLI process, pure."""

from __future__ import annotations

from pyman.errors import UsageError

# The grammars of distribution-spec ("Pulling manifests") by hand: regular expressions take as long to import and compile as a pull that
# finds nothing new takes to ask the registry, and their `$` lets a line feed at the end through.
_DIGITS = "0123456789"
_LOWER = "abcdefghijklmnopqrstuvwxyz" + _DIGITS
_LETTERS = _LOWER + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _only(text: str, characters: str) -> bool:
    """Whether the text is not empty and has no other characters."""
    return text != "" and not text.strip(characters)


def _is_host(text: str) -> bool:
    """NAME, ADDRESS or [ADDRESS], each with or without :PORT."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        right = bracket != "" and _only(host, _DIGITS + "abcdefABCDEF:")
    else:
        host, colon, port = text.partition(":")
        port = colon + port
        right = _only(host, _LETTERS + ".-") and host[0] not in ".-" and host[-1] not in ".-"
    return right and (not port or (port[0] == ":" and _only(port[1:], _DIGITS) and len(port) <= 6))


def _is_repository(text: str) -> bool:
    """Components of lower-case words; between two words stands one of `.`, `_`, `__` or any number of `-`."""
    for component in text.split("/"):
        pieces = component.split("-")
        if not pieces[0] or not pieces[-1]:
            return False
        for piece in filter(None, pieces):
            if not all(_only(word, _LOWER) for word in piece.replace("__", ".").replace("_", ".").split(".")):
                return False
    return True


def check_digest(digest: str, what: str) -> str:
    """The 64 hex digits of a `sha256:` digest. UsageError for any other text, which must never reach a path or URL."""
    if not isinstance(digest, str) or len(digest) != 71 or digest[:7] != "sha256:" or not _only(digest[7:], _DIGITS + "abcdef"):
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
    return _only(text, _LETTERS + "_.-") and text[0] not in ".-" and len(text) <= 128


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
    if not _is_host(registry):
        raise UsageError(f"invalid image name {name!r}", f"{registry!r} is not a registry's host name")
    if not _is_repository(repository):
        why = "repository names are lower case" if repository.lower() != repository else f"{repository!r} is not a repository's name"
        raise UsageError(f"invalid image name {name!r}", why)
    if tag and not is_tag(tag):
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
