"""Remove all containers that do not run. CLI process."""

from __future__ import annotations

from pyman.engine import ps, remove, restart_policy
from pyman.engine.container import RUNNING
from pyman.engine.container_list import list_containers
from pyman.errors import NoSuchContainer, PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FILTERS = ("label", "label!", "until")


def prune(filters: list[str]) -> Iterator[str | PymanError]:
    """The ids of those removed, or why one was not. UsageError for a filter other than label, label! and until."""
    for item in filters:
        key = item.partition("=")[0]
        if key not in FILTERS:
            raise UsageError(f"{key} is an invalid filter", "known are label, label! and until")
    ps.check(filters)
    for container in list_containers():
        state = container.state
        if (
            (state["status"] in RUNNING and state["status"] != "initialized")
            or restart_policy.waiting(state)
            or state.get("lost")
            or not ps.matches(state, filters)
        ):
            continue
        try:
            remove.remove_container(container)
        except NoSuchContainer:
            continue  # another command was quicker
        except PymanError as err:
            if container.state["status"] not in RUNNING and not restart_policy.waiting(container.state):
                yield err  # else it was started meanwhile: none of those that are meant
        else:
            yield container.id
