"""Change an existing container: limits, restart policy, health checks, environment, ulimits. CLI process.

config.json never changes: what was updated is kept in the state, and laid over the options whenever they are read. What can take
effect at once does: the control group's limits, the policy, the health checks, the environment of further exec commands.
"""

from __future__ import annotations

import os

from pyman import stages
from pyman.engine import env, limits, restart_policy, spec_record, specgen
from pyman.engine.container import RUNNING, Container
from pyman.errors import RuntimeFailure, StateError, UsageError
from pyman.runtime import cgroup_limits, cgroup_place
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LIMITS = (
    *("blkio_weight", "blkio_weight_device", "cpu_period", "cpu_quota", "cpu_shares", "cpus", "cpuset_cpus", "cpuset_mems"),
    *("device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"),
    *("cgroup_conf", "memory", "memory_reservation", "memory_swap", "pids_limit"),
)


def update_container(container: Container, opts: Any, host: dict[str, str]) -> None:
    """Apply the options given, to the running container too, and keep them for later starts.

    host: the caller's environment. UsageError for values that make no sense (nothing is changed), RuntimeFailure where the kernel
    refuses a limit, StateError, StorageError.
    """
    given = {key: opts[key] for key in opts.given if key != "latest"}
    with container:
        state, old = container.state, container.config["options"]
        changed = {**_limits(given, old), **_environment(given, old, host), **_health(given)}
        if "ulimit" in given:
            specgen.rlimits(given, {})  # refuses what is none
            changed["ulimit"] = [*(old.get("ulimit") or []), *given["ulimit"]]
        merged = {**old, **changed, "_given": sorted({*(old.get("_given") or []), *changed})}
        policy = _policy(given, merged)
        spec = spec_record.read(container)
        health = _check(container, merged, changed, spec)
        resources = limits.resources(merged)
        running = state["status"] in RUNNING
        if running and spec is None:
            raise StateError(
                f"cannot update container {container.name}", "its spec.json is missing", f"pyman restart {container.name} makes it again"
            )
        if running and any(key in _LIMITS for key in changed):
            try:
                _apply(state.get("cgroup") or "", resources)
            except RuntimeFailure:
                if not state.get("cgroup") or os.path.isdir(state["cgroup"]):
                    raise
                running = False  # it has ended meanwhile, and its control group with it: its next start has the limits
        stages.reach("update:applied")
        if changed:
            state["updated"] = {**(state.get("updated") or {}), **changed, "_given": merged["_given"]}
        if policy:
            state["restart_policy"] = policy
            restart_policy.write_policy(container)
            if not running and not restart_policy.asks(state):
                restart_policy.cancel(container)
        if health is not None:
            state["health"] = health
        container.save()
        stages.reach("update:saved")
        container._config = None
        if spec is not None and changed:
            _rewrite_spec(container, spec, resources, given, changed)
        if running and health is not None:
            from pyman.engine import health_plan, health_state

            begins = not os.path.exists(health_plan.path(container))
            state["health"] = health_plan.write(container, container.config["options"], spec or {}, begins)
            container.save()
            health_state.reload(container)
        container.event("update")


def _limits(given: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    changed = {key: given[key] for key in _LIMITS if key in given}
    # Two ways to say the same: the newer one counts.
    if "cpus" in changed:
        changed.update({key: None for key in ("cpu_period", "cpu_quota") if old.get(key) and key not in changed})
    elif ("cpu_period" in changed or "cpu_quota" in changed) and old.get("cpus"):
        changed["cpus"] = None
    if "memory" in changed and old.get("memory_swap"):
        changed.setdefault("memory_swap", None)  # twice the memory, as at creation: an older value may leave no swap, or be too low
    return changed


def _environment(given: dict[str, Any], old: dict[str, Any], host: dict[str, str]) -> dict[str, Any]:
    """--env and --unsetenv over what the container has. UsageError."""
    if "env" not in given and "unsetenv" not in given:
        return {}
    added = env.frozen({"env": given.get("env") or []}, host)
    removed = list(given.get("unsetenv") or [])
    names = {item.partition("=")[0] for item in added}
    gone = [*(name for name in old.get("unsetenv") or [] if name not in names), *removed]
    kept = [item for item in old.get("env") or [] if item.partition("=")[0] not in {*names, *removed}]
    return {"env": [*kept, *(item for item in added if item.partition("=")[0] not in removed)], "unsetenv": gone}


def _health(given: dict[str, Any]) -> dict[str, Any]:
    changed = {key: value for key, value in given.items() if key.startswith("health_") or key == "no_healthcheck"}
    where = changed.get("health_log_destination") or ""
    if where and where not in ("local", "events_logger"):
        changed["health_log_destination"] = os.path.abspath(where)
    if given.get("no_healthcheck") and not given.get("health_cmd"):
        changed["health_cmd"] = changed["health_startup_cmd"] = ""
    elif given.get("health_cmd"):
        changed.setdefault("no_healthcheck", False)
    return changed


def _policy(given: dict[str, Any], merged: dict[str, Any]) -> str:
    """The new restart policy as the state keeps it; empty if none was given. UsageError."""
    if "restart" not in given:
        return ""
    restart_policy.check({"restart": given["restart"], "rm": merged.get("rm")})
    name, most = restart_policy.parse(str(given["restart"]))
    return f"{name}:{most}" if most else name


def _check(container: Container, merged: dict[str, Any], changed: dict[str, Any], spec: dict[str, Any] | None) -> int | None:
    """What the state notes of the health check; None where it does not change. UsageError, ImageError."""
    if not any(key.startswith("health_") or key == "no_healthcheck" for key in changed):
        return (
            None
            if not (spec and container.state.get("health") and ("env" in changed or "ulimit" in changed))
            else container.state["health"]
        )
    from pyman.engine import health

    image = container.config["image_config"]
    if not health.check(merged, image):
        ended = changed.get("health_cmd") == "none"
        if not ended and any(key.startswith("health_") and value != "" for key, value in changed.items()):  # nought is a value, too
            raise UsageError(
                f"cannot change the health check of container {container.name}", "it has none", "give it one: --health-cmd COMMAND"
            )
        return 0
    return 1


def _apply(directory: str, resources: dict[str, Any]) -> None:
    """Write the limits into the control group of a running container. RuntimeFailure."""
    if not directory:
        raise RuntimeFailure(
            "cannot change the container's limits", "it runs without a control group", "stop it, update it, start it again"
        )
    needed = {setting.controller for setting in cgroup_limits.settings(resources)} - {"cgroup"}
    missing = sorted(needed - set((store.read_text(f"{directory}/cgroup.controllers") or "").split()))
    try:
        if missing:
            cgroup_place.enable(os.path.dirname(directory), missing)
    except OSError as err:
        raise RuntimeFailure(
            "cannot change the container's limits",
            f"the controller{'s' if len(missing) > 1 else ''} {', '.join(missing)} cannot be enabled for its control group: {err.strerror}",
            "stop it, update it, start it again: a start with limits looks for a place where they can be set",
        ) from err
    if resources.get("memory"):
        # A limit below what is in use would kill the container rather than limit it.
        resources = {**resources, "memory": {**resources["memory"], "checkBeforeUpdate": True}}
    cgroup_place.update(directory, resources)


def _rewrite_spec(
    container: Container, spec: dict[str, Any], resources: dict[str, Any], given: dict[str, Any], changed: dict[str, Any]
) -> None:
    """exec, inspect and the health checks read the spec of the last start."""
    if any(key in _LIMITS for key in changed):
        spec.setdefault("linux", {})["resources"] = {**(spec.get("linux", {}).get("resources") or {}), **resources}
    if "env" in changed:
        gone = set(given.get("unsetenv") or [])
        entries = dict(item.partition("=")[::2] for item in [*(spec["process"].get("env") or []), *changed["env"]])
        spec["process"]["env"] = [f"{name}={value}" for name, value in entries.items() if name not in gone]
    store.write_json(spec_record.path(container), spec)
