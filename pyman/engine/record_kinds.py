"""What the records of a container hold at their top, by key: one in which something is of another kind, or missing, is damaged. Any process.

It is looked at whenever they are read, so only what costs nothing is here; the rest is in engine/record_depths.py.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.state.store import Kinds

CONFIG_KINDS: Kinds = {"layers": list, "options": dict, "image": dict, "image_config": dict, "id": str, "name": str, "command": list}
EXIT_KINDS: Kinds = {"exit_code": int, "time": (int, float)}
_MAYBE = type(None)  # what is not in every state
_OF_STATE: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, "id status name image image_id"),
    (int, "pid pid_start monitor_pid monitor_start"),
    ((int, float), "created started finished"),
    (list, "command ports mounts networks"),
    (dict, "labels"),
    ((dict, _MAYBE), "volume_at binds end updated"),
    ((int, _MAYBE), "exit_code restarts waiter_pid waiter_start owner_pid owner_start"),
    ((str, _MAYBE), "boot_id restart_policy network_mode cgroup note stopped_by"),
)
STATE_KINDS: Kinds = {key: kind for kind, keys in _OF_STATE for key in keys.split()}
