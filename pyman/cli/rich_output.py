"""Progress bars of downloads: the door of rich. CLI process, only for a pull on a terminal."""

from __future__ import annotations

from pyman.cli.reporter import PlainReporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class RichReporter(PlainReporter):
    """One bar per part on stderr."""

    def __init__(self) -> None:
        try:
            from rich import console, progress
        except ImportError:
            import site  # the launcher starts without site-packages

            site.main()
            from rich import console, progress
        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
        )
        self.progress = progress.Progress(*columns, console=console.Console(stderr=True))
        self.tasks: dict[str, Any] = {}
        self.progress.start()

    def start(self, key: str, label: str, total: int) -> None:
        """A bar for a part of `total` bytes."""
        self.tasks[key] = self.progress.add_task(label, total=total or None)

    def update(self, key: str, done: int) -> None:
        """`done` bytes are through."""
        self.progress.update(self.tasks[key], completed=done)

    def finish(self, key: str, note: str) -> None:
        """Fill the bar."""
        task = self.progress.tasks[self.tasks[key]]
        self.progress.update(self.tasks[key], completed=task.total or 1, total=task.total or 1)

    def close(self) -> None:
        """End the display."""
        self.progress.stop()
