"""--filter KEY=VALUE: what is wrong with one that a command does not have. CLI process, for mistakes only."""

from __future__ import annotations

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def unknown(item: str, key: str, kind: str, known: Iterable[str], form: str = "KEY=VALUE") -> UsageError:
    """The error for the filter `item` of objects of a kind (in the plural), whose keys are `known`."""
    known = tuple(known)
    why = f"the form is {form}" if key in known and "=" not in item else f"there is no filter {key!r} of {kind}"
    return UsageError(f"invalid filter {item!r}", why, "keys are " + ", ".join(known))
