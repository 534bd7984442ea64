"""The keeper of the bridges' network namespace, found or ordered, and with it process B, which works there. CLI process."""

from __future__ import annotations

import os

from pyman.engine import running
from pyman.engine.plan import Plan
from pyman.errors import MissingProgram, PymanError, StateError
from pyman.linux import process
from pyman.network import bridge, config, firewall, helper, names, uplink
from pyman.rootless import userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def check_programs(records: list[dict[str, Any]]) -> None:
    """MissingProgram, with the package's name, for what bridge networks need."""
    firewall.find()
    helper.find("pasta")
    if any(record["dns_enabled"] for record in records) and not uplink.name_server():
        raise MissingProgram(
            "cannot find the program aardvark-dns",
            "it lets the containers of a network find each other by name",
            "as root: apt-get install aardvark-dns; or make the network with: pyman network create --disable-dns",
        )


def order(made: Plan, job: bridge.Job, before: Callable[[], None] = lambda: None) -> int:
    """Under the networks' lock: do what comes `before`, find the keeper or let B start one; B's pid."""
    lock = config.lock()
    lock.acquire()
    try:
        before()
        job.restore = lambda: _restore(job.conf)
        owner = _find_keeper(made, job)
        if owner >= 0:
            _use_userns(made, owner)
        if job.keeper is None:
            job.lock_fd = lock.fd
        made.channel_fd, theirs = _pair()
        try:
            return userns.fork_in_userns(lambda: bridge.run(job, theirs), "pyman:[bridge]", (theirs, *job.descriptors()), made.userns_fd)
        finally:
            os.close(theirs)
    finally:
        for fd in (job.life_fd, job.old_netns):
            if fd >= 0:
                os.close(fd)
        lock.release()


def enter(conf: dict[str, Any], body: Callable[[], int], failed: Callable[[PymanError], int]) -> int:
    """Fork a child that runs `body` as root of the bridges' user namespace, in their network namespace; its pid.

    Without containers on bridges the namespace is made for it; it lives as long as the child and what the child starts. What fails in
    the child is told to `failed`. MissingProgram, RootlessError.
    """
    check_programs([])
    config.networks_dir()
    made, job = Plan(), bridge.Job("", "unshare", "", conf)
    lock = config.lock()
    lock.acquire()

    from pyman.network import bridge_visits

    def child() -> int:
        try:
            bridge_visits.enter(job)
        except PymanError as err:
            return failed(err)
        os.set_inheritable(made.life_fd, True)
        return body()

    try:
        owner = _find_keeper(made, job)
        if job.keeper is None:
            job.lock_fd = lock.fd
        try:
            return userns.fork_in_userns(child, "pyman:[unshare]", (made.life_fd, *job.descriptors()), owner)
        finally:
            for fd in (job.life_fd, job.old_netns, made.life_fd, owner):
                if fd >= 0:
                    os.close(fd)
    finally:
        lock.release()


def _pair() -> tuple[int, int]:
    import _socket

    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return ours.detach(), theirs.detach()


def _find_keeper(made: Plan, job: bridge.Job) -> int:
    """Note in the job the living keeper, or what a new one is to take over; returns the user namespace both belong to, or -1.

    The plan gets an end of the keeper's pipe.
    """
    keeper = uplink.find([])
    states = [] if keeper else [state for _, state in running.recorded() if state.get("keeper")]
    noted = [state["keeper"] for state in states]
    keeper = keeper or uplink.find(noted) or uplink.search(noted)
    if keeper:
        try:
            made.life_fd = uplink.open_life(keeper)
            job.keeper = keeper
            owner = userns.userns_of(keeper["pid"], keeper["start"])
            lost = names.complete(keeper)
            if lost:
                _restore(job.conf)
                names.announce(keeper, hanging=lost == "damaged")  # one that runs reads it no more
            return owner
        except OSError:
            pass  # killed just now
    uplink.await_end(noted)
    for state in states:
        owner = userns.userns_of(state["monitor_pid"], state["monitor_start"])
        if owner < 0:
            continue
        place = f"/proc/{state['monitor_pid']}/fd"
        try:
            netns, life = state["keeper_fds"]
            if not os.readlink(f"{place}/{netns}").startswith("net:") or not os.readlink(f"{place}/{life}").startswith("pipe:"):
                raise FileNotFoundError
            job.old_netns = os.open(f"{place}/{netns}", os.O_RDONLY | os.O_CLOEXEC)
            job.life_fd = os.open(f"{place}/{life}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            made.life_fd = os.open(f"{place}/{life}", os.O_WRONLY | os.O_CLOEXEC)
            return owner
        except (OSError, KeyError, ValueError, TypeError):
            os.close(owner)
    job.life_fd, made.life_fd = os.pipe()
    return -1


def _restore(conf: dict[str, Any]) -> None:
    """The names of all running containers: what the name servers read was lost or damaged."""
    from pyman.engine import bridge_names

    bridge_names.register_all(conf)


def statuses_on(network: str) -> list[dict[str, Any]]:
    """What running containers have on a network, those aside whose end nobody has noted yet."""
    return [status for _, state in running.living() for status in state.get("attached") or [] if status["name"] == network]


def take_down(record: dict[str, Any]) -> None:
    """Delete the bridge of a network that is being removed, with its walls. The caller holds the networks' lock."""
    keeper = uplink.find([])
    device = record.get("network_interface")
    if not keeper or not device:
        return
    from pyman.network import bridge_visits

    try:
        owner, netns = userns.userns_of(keeper["pid"], keeper["start"]), uplink.open_netns(keeper)
    except (OSError, PymanError):
        return  # it has just ended, and all bridges with it
    try:
        process.wait(userns.fork_in_userns(lambda: bridge_visits.take_down(netns, device), "pyman:[bridge]", (netns,), owner))
    finally:
        os.close(netns)
        if owner >= 0:
            os.close(owner)
    try:
        os.unlink(os.path.join(uplink.directory(), f"bridge-{device}"))
    except FileNotFoundError:
        pass


def _use_userns(made: Plan, owner: int) -> None:
    """The container joins the bridges' user namespace; a network namespace made ahead in another one is forgotten."""
    if made.userns_fd >= 0 and os.fstat(owner).st_ino != os.fstat(made.userns_fd).st_ino:
        if made.pins:
            os.close(owner)
            raise StateError(
                "cannot join the namespaces of that container and the networks together",
                "they live in different user namespaces",
                "restart that container, so that they share one",
            )
        made.netns_fd = -1
    made.userns_fd = owner
    made.pins.append(owner)
