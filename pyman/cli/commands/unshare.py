"""`pyman unshare`: run a command in the user namespace, for instance to look at a volume's files. CLI process."""

from __future__ import annotations

import os

from pyman import paths
from pyman.cli.dispatch import print_error
from pyman.config import containers as containers_conf
from pyman.engine import root_access
from pyman.errors import PymanError
from pyman.linux import process
from pyman.rootless import userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Execute the command (default: $SHELL) as uid 0 of the user namespace; returns its exit code."""
    command = args or [os.environ.get("SHELL") or "/bin/sh"]

    def body() -> int:
        os.environ["CONTAINERS_GRAPHROOT"] = paths.graphroot()
        os.environ["CONTAINERS_RUNROOT"] = paths.runroot()
        os.umask(paths.umask)
        process.reset_signals()
        try:
            os.execvp(command[0], command)
        except FileNotFoundError:
            os.write(2, f"Error: cannot execute {command[0]}: no such program\n".encode())
            return 127
        except OSError as err:
            os.write(2, f"Error: cannot execute {command[0]}: {err.strerror}\n".encode())
            return 126

    if opts.get("rootless_netns"):
        from pyman.engine import bridge_keeper  # most calls do without

        return process.wait(bridge_keeper.enter(containers_conf.load(), body, _failed))
    join_fd = root_access.living_userns()
    try:
        return process.wait(userns.fork_in_userns(body, "pyman:[unshare]", join_fd=join_fd))
    finally:
        if join_fd >= 0:
            os.close(join_fd)


def _failed(err: PymanError) -> int:
    print_error(err)
    return err.exit_code
