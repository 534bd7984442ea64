"""The files of a container as an archive, without its volumes. CLI process; reads in U1, running or not."""

from __future__ import annotations

from pyman.engine import root_access
from pyman.engine.container import Container
from pyman.errors import StorageError
from pyman.linux import fs
from pyman.rootless import userns
from pyman.storage import tarsink, tarwriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyman.engine.plan import Plan


def export_container(container: Container, out_fd: int, warn: Callable[[str], None]) -> None:
    """Write the archive to `out_fd`; `warn` is told what was left out. StorageError."""
    container.sync()
    made = root_access.bare_plan(container)
    for text in userns.start_call(lambda: _export(made, out_fd), "pyman:[export]", (out_fd,)).finish():
        warn(text)
    container.event("export")


def _export(made: Plan, out_fd: int) -> list[str]:
    import _signal

    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)  # an error says more than a killed child
    left_out: list[str] = []
    writer = tarwriter.TreeWriter(tarsink.FdSink(out_fd), note=left_out.append)
    try:
        writer.tree(root_access.mount_read_only(made))
        writer.close()
    except BrokenPipeError as err:
        raise StorageError(f"cannot export container {made.container.name}", "the reader has gone", errno=32) from err
    except OSError as err:
        raise fs.failure(f"cannot export container {made.container.name}", err, out_fd) from err
    return left_out[:20]
