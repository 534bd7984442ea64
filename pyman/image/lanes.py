"""Several blobs at a time, a thread for each worker. CLI process, slow path."""

from __future__ import annotations

import threading

from pyman.errors import PymanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Item = TypeVar("Item")


def run(workers: list[Any], items: list[Item], action: Callable[[Any, Item], None]) -> None:
    """`action(worker, item)` for all items, as many at a time as there are workers; the first error ends the others and is raised."""
    queue = list(items)
    failures: list[BaseException] = []
    guard = threading.Lock()

    def lane(worker: Any) -> None:
        while True:
            with guard:
                if failures or not queue:
                    return
                item = queue.pop(0)
            try:
                action(worker, item)
            except BaseException as err:  # handed to the main thread, which raises it
                with guard:
                    failures.append(err)
                return

    threads = [threading.Thread(target=lane, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The cause, not its consequence: a broken pipe is what the download sees when unpacking has failed.
    for failure in sorted(failures, key=lambda err: not isinstance(err, PymanError)):
        raise failure
