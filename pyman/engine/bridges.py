"""A start on bridge networks: networks looked up, addresses leased, the keeper found or ordered. CLI process.

Lock order: container, then networks. Nothing here is imported by a start in another network mode.
"""

from __future__ import annotations

import os

from pyman.config import containers as containers_conf
from pyman.engine import networks
from pyman.engine.container import RUNNING, Container, containers_dir
from pyman.engine.plan import Plan
from pyman.errors import MissingProgram, NetworkError, PymanError, StateError
from pyman.linux import process
from pyman.network import bridge, config, firewall, helper, ipam, names, uplink
from pyman.rootless import userns
from pyman.state import store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def plan(made: Plan, container: Container) -> None:
    """Look up the networks a container is to join. NoSuchObject, UsageError, MissingProgram."""
    found = networks.attached_to(container)
    for attachment in found:
        attachment["record"] = config.get(attachment["name"], made.conf)
        attachment["name"] = attachment["record"]["name"]
    made.attachments = found
    check_programs([attachment["record"] for attachment in found])


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


def stale(container_id: str) -> bool:
    """Whether the leases of a container count no more: it has gone, or neither runs nor is being started."""
    container = Container(container_id)
    try:
        state = store.read_json(os.path.join(container.dir, "state.json"))
    except PymanError:
        state = None
    if state is None:
        return not os.path.exists(os.path.join(container.dir, "config.json"))
    if state["status"] in RUNNING:
        same_boot = state.get("boot_id") == process.boot_id()
        if same_boot and (process.alive(state["pid"], state["pid_start"]) or process.alive(state["monitor_pid"], state["monitor_start"])):
            return False
    lock = Lock(container.dir)
    try:
        if not lock.try_acquire():
            return False  # somebody is at work on it
    except FileNotFoundError:
        return True
    lock.release()
    return True


def _lease(made: Plan, container: Container) -> None:
    for attachment in made.attachments:
        try:
            attachment["addresses"] = ipam.allocate(attachment["record"], attachment["ips"], container.id, stale)
        except NetworkError as err:
            if err.stage.startswith("lease "):
                err.why = err.why.replace(err.stage[6:18], _name_of(err.stage[6:]))
            raise


def _name_of(container_id: str) -> str:
    try:
        return Container(container_id).name
    except PymanError:
        return container_id[:12]


def claim(made: Plan, container: Container) -> int:
    """Lease addresses, find or order the keeper, and start B; its pid. The plan gets the channel to it and the keeper's pipe.

    NetworkError, StateError.
    """
    config.networks_dir()
    try:
        return _claim(made, container)
    except BaseException:
        give_back(made, container)
        raise


def _claim(made: Plan, container: Container, first: int | None = None) -> int:
    """As `claim`; first: number of the first device, for a container that has some already."""
    job = bridge.Job(container.id, container.name, made.opts.get("hostname") or "", made.conf)
    job.dns = [server for server in made.opts.get("dns") or [] if server != "none"]
    job.attachments, job.first = made.attachments, first or 0

    def lease() -> None:
        _lease(made, container)
        # Noted before anybody else learns of it: whoever removes the container after a kill gives all of it back.
        kept = list(container.state.get("attached") or []) if first is not None else []
        container.state["attached"] = [*kept, *(_noted(entry) for entry in made.attachments)]
        container.save()

    return _order(made, job, lease)


def _order(made: Plan, job: bridge.Job, before: Callable[[], None] = lambda: None) -> int:
    """Under the networks' lock: do what comes `before`, find the keeper or let B start one; B's pid."""
    lock = config.lock()
    lock.acquire()
    try:
        before()
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

    def child() -> int:
        try:
            bridge.enter(job)
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
    states = [] if keeper else [state for state in _running_states() if state.get("keeper")]
    keeper = keeper or uplink.find([state["keeper"] for state in states])
    if keeper:
        try:
            made.life_fd = uplink.open_life(keeper)
            job.keeper = keeper
            return userns.userns_of(keeper["pid"], keeper["start"])
        except OSError:
            pass  # killed just now
    uplink.await_end([state["keeper"] for state in states])
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


def _running_states() -> list[dict[str, Any]]:
    """The states of all running containers, read without a change to any: the caller holds the networks' lock."""
    found = []
    for entry in os.listdir(containers_dir()) if os.path.isdir(containers_dir()) else ():
        try:
            state = store.read_json(os.path.join(containers_dir(), entry, "state.json"))
        except PymanError:
            continue
        if state and state["status"] in RUNNING:
            found.append(state)
    return found


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


def give_back(made: Plan, container: Container) -> None:
    """After a start that failed: no lease and no name is left."""
    container.state["keeper"] = uplink.find([]) or {}
    container.state["attached"] = [_noted(entry) for entry in made.attachments]
    release(container)
    container.save()


def attach_running(container: Container, attachment: dict[str, Any], conf: dict[str, Any], dns: list[str]) -> dict[str, Any]:
    """Attach a running container to one more network; what it got there. The caller holds its lock.

    Addresses, names and state are as before if that fails. NetworkError.
    """
    from pyman.engine.plan import Plan as NewPlan
    from pyman.network import bridged

    state = container.state
    made = NewPlan()
    made.container, made.conf, made.opts, made.attachments = container, conf, {"dns": dns}, [attachment]
    before = list(state.get("attached") or [])
    numbers = [int(status["interface"][3:]) for status in before if status["interface"][3:].isdigit()]
    netns = os.open(f"/proc/{state['pid']}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        child = _claim(made, container, max([len(before), *(number + 1 for number in numbers)]))
        bridged.send_netns(made.channel_fd, netns)
        try:
            report = bridged.receive(made.channel_fd)
        finally:
            os.waitpid(child, 0)
    except BaseException:
        state["attached"] = [_noted(attachment)]
        release(container)
        state["attached"] = before
        container.save()
        raise
    finally:
        os.close(netns)
        if made.channel_fd >= 0:
            os.close(made.channel_fd)
        made.close()
    status: dict[str, Any] = report["networks"][0]
    state["attached"] = [*before, status]
    state["keeper"] = report["keeper"]
    return status


def mend(container: Container, records: list[dict[str, Any]], conf: dict[str, Any]) -> None:
    """A new keeper where the old one was killed, the firewall's table and the bridges anew, names known. The caller holds the lock."""
    from pyman.engine.plan import Plan as NewPlan
    from pyman.network import bridged

    made = NewPlan()
    made.container, made.conf, made.opts = container, conf, {}
    job = bridge.Job(container.id, container.name, container.config["options"].get("hostname") or "", conf)
    job.dns = [server for server in container.config["options"].get("dns") or [] if server != "none"]
    job.attachments = [{**status, "record": record} for status, record in zip(container.state["attached"], records)]
    job.statuses = container.state["attached"]
    netns = os.open(f"/proc/{container.state['pid']}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        child = _order(made, job)
        bridged.send_netns(made.channel_fd, netns)
        try:
            container.state["keeper"] = bridged.receive(made.channel_fd)["keeper"]
        finally:
            os.waitpid(child, 0)
    finally:
        os.close(netns)
        if made.channel_fd >= 0:
            os.close(made.channel_fd)
        made.close()


def detach_running(container: Container, status: dict[str, Any]) -> None:
    """Take a running container off a network. The caller holds its lock."""
    state = container.state
    if "port" not in status:
        what = f"cannot take container {container.name} off network {status['name']}"
        raise NetworkError(what, "it was started by an older release", f"pyman restart {container.name}")
    owner = userns.userns_of(state["monitor_pid"], state["monitor_start"])
    # The bridges' namespace as the monitor holds it: the keeper may have been killed.
    netns = os.open(f"/proc/{state['monitor_pid']}/fd/{state['keeper_fds'][0]}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        code = process.wait(userns.fork_in_userns(lambda: bridge.detach(netns, status["port"]), "pyman:[bridge]", (netns,), owner))
    finally:
        os.close(netns)
        if owner >= 0:
            os.close(owner)
    if code:
        raise NetworkError(f"cannot take container {container.name} off network {status['name']}", os.strerror(code))
    others = [entry for entry in state["attached"] if entry["name"] != status["name"]]
    state["attached"] = [status]
    release(container)
    state["attached"] = others


def _noted(attachment: dict[str, Any]) -> dict[str, Any]:
    record = attachment["record"]
    return {
        "name": record["name"],
        "id": record["id"],
        "interface": "",
        "mac": "",
        "addresses": attachment.get("addresses") or [],
        "aliases": attachment["aliases"],
        "dns": bool(record["dns_enabled"]),
        "internal": bool(record["internal"]),
        "bridge": record["network_interface"],
    }


def sweep() -> None:
    """Take away what killed commands left: leases and names of containers that have gone or do not run."""
    with config.lock():
        records = {record["name"]: record for record in config.everything(containers_conf.load())[0]}
        for name, held in ipam.held().items():
            for owner in set(held.values()):
                if stale(owner):
                    ipam.release(name, owner)
        for name, known in names.entries().items():
            for owner in known:
                if stale(owner) and name in records:
                    names.forget(records[name], owner)


def release(container: Container) -> None:
    """Give back an ended container's addresses and names. The caller holds its lock, and saves its state afterwards."""
    attached = container.state.get("attached") or []
    container.state["attached"] = []
    with config.lock():
        for status in attached:
            ipam.release(status["name"], container.id)
            if status["dns"]:
                names.forget(status, container.id)
    if any(status["dns"] for status in attached):
        keeper = uplink.find([container.state.get("keeper")])
        if keeper:
            names.announce(keeper)
