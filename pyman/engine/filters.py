"""--filter KEY=VALUE: ids, labels, and what is wrong with a filter that a command does not have. CLI process, with such filters only."""

from __future__ import annotations

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def has_label(labels: dict[str, str], text: str) -> bool:
    """Whether an object has the label KEY or KEY=VALUE. A star in the key stands for anything, and so do both its ends then, as in Podman."""
    name, _, wanted = text.partition("=")
    if "*" not in name:
        return name in labels and wanted in ("", labels[name])
    import fnmatch  # hardly ever

    return any(fnmatch.fnmatchcase(key, f"*{name}*") and wanted in ("", value) for key, value in labels.items())


def has_id(object_id: str, text: str) -> bool:
    """Whether an id begins with `text`; what is not hexadecimal in whole is a regular expression, as in Podman. UsageError for a bad one."""
    if all(letter in "0123456789abcdefABCDEF" for letter in text):
        return object_id.startswith(text.lower())
    import re  # hardly ever

    try:
        return re.search(text, object_id) is not None
    except re.error as err:
        raise UsageError(f"invalid filter id={text}", f"it is no regular expression: {err}") from err


def unknown(item: str, key: str, kind: str, known: Iterable[str], form: str = "KEY=VALUE") -> UsageError:
    """The error for the filter `item` of objects of a kind (in the plural), whose keys are `known`."""
    known = tuple(known)
    why = f"the form is {form}" if key in known and "=" not in item else f"there is no filter {key!r} of {kind}"
    return UsageError(f"invalid filter {item!r}", why, "keys are " + ", ".join(known))
