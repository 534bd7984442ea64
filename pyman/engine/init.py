"""Initialise containers: everything a start does but for executing the command; and the start of such a container. CLI process."""

from __future__ import annotations

import os
import time

from pyman.engine import restart_policy, start, stop
from pyman.engine.container import RUNNING, Container
from pyman.errors import StateError, UsageError
from pyman.linux import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyman.engine.plan import Plan


def init_container(container: Container, warn: Callable[[str], None] | None = None, again: bool = False) -> None:
    """Make a container ready; its init waits at a gate until `start`. StateError if it is so already, unless `again`; what start raises."""
    with container:
        if container.state["status"] in RUNNING:
            if again:
                return
            raise StateError(
                f"container {container.id} has already been created in runtime: container state improper",
                f"its state is {container.state['status']}",
            )
        restart_policy.cancel(container)
        restart_policy.forget_wish(container)
        start.start_locked(container, warn=warn, gate=gate_path(container))


def gate_path(container: Container) -> str:
    """The FIFO that init waits at."""
    return os.path.join(container.run_dir, "gate")


def make_gate(plan: Plan, gate: str) -> None:
    """Make the FIFO for a start; UsageError where the runtime cannot wait."""
    if not plan.own_runtime:
        raise UsageError(
            f"cannot initialize container {plan.container.name}", "another OCI runtime would wait for its own start command", "pyman start"
        )
    try:
        os.unlink(gate)
    except FileNotFoundError:
        pass
    os.mkfifo(gate, 0o600)
    plan.gate = gate


def end_lost(container: Container) -> bool:
    """Whether an initialised container had lost its monitor, which was killed: nobody would see its output and its end. Then it is ended.

    The caller holds its lock, and starts it anew.
    """
    state = container.state
    if process.alive(state["monitor_pid"], state["monitor_start"]):
        return False
    process.kill(state["pid"], state["pid_start"])
    stop.wait_gone(state["pid"], state["pid_start"], 30)
    container.sync()
    return True


def open_locked(container: Container) -> None:
    """Let the command of an initialised container begin. The caller holds its lock. RuntimeFailure if nobody waits there."""
    from pyman.runtime import start as runtime_start

    # Saved first: whoever is killed in between, the container is known to run, and stop, kill and rm work on it.
    container.state.update(status="running", started=time.time())
    container.save()
    runtime_start.open_gate(gate_path(container))
    os.unlink(gate_path(container))
    container.event("start")
    if container.state.get("health"):
        from pyman.engine import health_state

        health_state.reload(container)
