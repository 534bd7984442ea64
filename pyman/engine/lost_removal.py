"""The end of containers of which too much is damaged: their processes are found without their records. CLI process, such containers only."""

from __future__ import annotations

from pyman.engine import cgroups, lost_state, names, restart_policy, stop
from pyman.engine.container import Container
from pyman.errors import PymanError
from pyman.linux import process
from pyman.state import events, store
from pyman.state.lock import Lock
from pyman.storage import trash


def end_processes(container: Container) -> None:
    """Kill what is known to run of a container of which no file can be believed. It waits for the end."""
    try:
        store.write_text(restart_policy.stopped_path(container), "user")  # nobody starts it again
    except PymanError:
        pass
    monitor, init = lost_state.living(container)
    for pid, seconds in ((init, 0), (monitor, 5)):  # the monitor ends by itself, unless its policy lets it wait
        started = process.start_time(pid) if pid else 0
        if started and not (seconds and stop.wait_gone(pid, started, seconds)):
            process.kill(pid, started)
            stop.wait_gone(pid, started, 30)
    try:
        cgroups.discard(container)
    except (PymanError, OSError):
        pass  # nothing that can be read says where it is


def clear(container: Container) -> bool:
    """Remove a container with force of which too much is damaged for its orderly removal; false if another command has it locked."""
    lost_state.open_directory(container.dir)
    lock = Lock(container.dir)
    try:
        if container.lock_fd < 0 and not lock.try_acquire():
            return False
    except OSError:
        pass  # it is no directory
    try:
        end_processes(container)
        mine = names.release_all(container.id)
        trash.discard(container.dir)
        trash.remove_tree(container.run_dir)
        events.emit("container", "remove", container.id, mine[0] if mine else "")
    finally:
        lock.release()
    return True
