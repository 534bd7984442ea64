"""Whether the bridges' keeper lives, looked at by commands that show or use networks; one that was killed gets a successor. CLI process.

Containers on one bridge still reach each other without it, but nothing outside and no names. Starts and reloads mend that by
themselves; here the other commands do. Costs a look for one file where no container ever was on a bridge.
"""

from __future__ import annotations

import os

from pyman import paths
from pyman.errors import PymanError
from pyman.linux import process
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NETNS = 9  # the keeper's descriptor of the namespace, as network/uplink.py has it


def look(warn: Callable[[str], None]) -> None:
    """Let the bridges have a keeper if one was killed while containers need it; what fails is told to `warn`."""
    hint = os.path.join(paths.runroot(), "networks", "uplink.json")
    try:
        keeper = store.read_json(hint)
        if keeper is None:
            return
        os.readlink(f"/proc/{int(keeper['pid'])}/fd/{NETNS}")  # one that is being killed has none any more
        if process.alive(int(keeper["pid"]), int(keeper["start"])):
            return
    except (PymanError, KeyError, OSError, TypeError, ValueError):
        pass  # a damaged hint: the containers know of their keeper, too
    try:
        _mend(hint)
    except PymanError as err:
        warn(f"the networks of running containers have lost their way out and their names: {err}; see: pyman network reload --all")


def _mend(hint: str) -> None:
    from pyman.config import containers as containers_conf
    from pyman.engine import bridge_change
    from pyman.engine.container import RUNNING
    from pyman.engine.container_list import list_containers
    from pyman.network import config, uplink

    failure: PymanError | None = None
    done: set[bool] = set()  # there is a name server for the internal networks and one for the others: both are waited for
    for container in list_containers():
        kinds = {bool(status["internal"]) for status in container.state.get("attached") or []}
        if container.state["status"] not in RUNNING or kinds <= done:
            continue
        try:
            noted = container.state.get("keeper") or {}
            if not done and (uplink.find([noted]) or uplink.search([noted])):
                return  # another command was faster
            conf = containers_conf.load()
            records = [config.get(status["name"], conf) for status in container.state["attached"]]
            bridge_change.mend(container, records, conf)
            done |= kinds
        except PymanError as err:
            failure = failure or err  # it ended just now, or its network's file is damaged: another one will do
        except OSError:
            continue
    if done:
        return
    if failure:
        raise failure
    with config.lock():  # nobody is on a bridge: the next command need not look again
        if not uplink.find([]):
            try:
                os.unlink(hint)
            except FileNotFoundError:
                pass
