"""Progress of long work: bars on a terminal (rich), lines otherwise, nothing with --quiet. CLI process."""

from __future__ import annotations

import os
import sys


class PlainReporter:
    """One line on stderr per finished part."""

    def start(self, key: str, label: str, total: int) -> None:
        """A part begins; `total` bytes are expected."""
        self.labels = {**getattr(self, "labels", {}), key: label}

    def update(self, key: str, done: int) -> None:
        """`done` bytes of it are through."""

    def finish(self, key: str, note: str) -> None:
        """It is done."""
        sys.stderr.write(f"{self.labels.get(key, key)}: {note}\n")

    def message(self, text: str) -> None:
        """Something worth a line."""
        sys.stderr.write(text + "\n")

    def close(self) -> None:
        """Nothing to end."""


class QuietReporter(PlainReporter):
    """Says nothing."""

    def finish(self, key: str, note: str) -> None:
        """It is done, and nobody wants to know."""

    def message(self, text: str) -> None:
        """Dropped."""


class _Lazy(PlainReporter):
    """Becomes a bar display when the first part starts, so that nothing heavy is imported before."""

    def __init__(self) -> None:
        self.inner: PlainReporter | None = None

    def start(self, key: str, label: str, total: int) -> None:
        """See PlainReporter."""
        if self.inner is None:
            from pyman.cli import rich_output  # rich: only for a pull on a terminal

            self.inner = rich_output.RichReporter()
        self.inner.start(key, label, total)

    def update(self, key: str, done: int) -> None:
        """See PlainReporter."""
        if self.inner:
            self.inner.update(key, done)

    def finish(self, key: str, note: str) -> None:
        """See PlainReporter."""
        if self.inner:
            self.inner.finish(key, note)

    def close(self) -> None:
        """End the display."""
        if self.inner:
            self.inner.close()


def lazy_reporter(quiet: bool) -> PlainReporter:
    """The reporter that fits stderr."""
    if quiet:
        return QuietReporter()
    return _Lazy() if os.isatty(2) else PlainReporter()
