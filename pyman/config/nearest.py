"""What was probably meant: the known word that few typing mistakes away from the one written. CLI process, slow path."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word with the fewest mistakes in `word`, one for each three letters at most; empty if there is none."""
    most = max(1, len(word.strip("-")) // 3)
    found = [(distance, candidate) for candidate in known if (distance := _mistakes(word, candidate)) <= most]
    return min(found)[1] if found else ""


def _mistakes(left: str, right: str) -> int:
    """Letters too many, too few, wrong, or swapped with the next."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, above, row = row, before, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1]
