"""What carries networks besides the container: keeper, way out, bridges, walls, helpers; for `network test` and `doctor`. CLI process."""

from __future__ import annotations

from pyman.config import containers as containers_conf
from pyman.engine import bridge_names
from pyman.engine.container import RUNNING
from pyman.engine.container_list import list_containers
from pyman.engine.network_test_rows import inside, row
from pyman.errors import PymanError
from pyman.linux import process
from pyman.network import config, living, names, uplink
from pyman.rootless import userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.network_test_rows import Row

_MENDS = "; pyman network reload mends it"


def rows(state: dict[str, Any], run_dir: str) -> list[Row]:
    """One row for each process and each part of the bridges' namespace that a running container needs."""
    found: list[Row] = []
    if state.get("attached"):
        noted = state.get("keeper") or {}
        keeper = uplink.find([noted]) or uplink.search([noted])
        found += _kept(state, keeper) if keeper else [row("keeper", "the bridges' namespace", "it was killed" + _MENDS)]
    stopped = _stopped_monitor("it", state)
    if stopped:
        found.append(row("monitor", f"pid {state['monitor_pid']}", stopped))
    name = living.expected(state)
    if name:
        pid = living.find(state, run_dir)
        why = living.why_stopped("it", pid, process.state(pid)) if pid else "it was killed" + _MENDS
        found.append(row(name, f"pid {pid}" if pid else "-", why))
    return found


def _kept(state: dict[str, Any], keeper: dict[str, Any]) -> list[Row]:
    """The keeper and what it keeps."""
    helpers = living.of_keeper(keeper)
    found = [row("keeper", "the bridges' namespace", living.why_stopped(*helpers[0]))]
    stopped = [living.why_stopped(*helper) for helper in helpers[1:]]
    pasta = any(what.endswith("pasta") for what, _, _ in helpers)
    conf = containers_conf.load()
    records = [config.get(status["name"], conf) for status in state["attached"]]
    found += _names(keeper, records, conf)
    why = "; ".join(text for text in stopped if text) or ("" if pasta else "pasta was killed, and is not there again")
    try:
        netns = uplink.open_netns(keeper)
    except PymanError as err:
        return [*found, row("keeper", "the bridges' namespace", str(err))]
    owner = userns.userns_of(keeper["pid"], keeper["start"])
    return found + inside(owner, netns, lambda: _look(state["attached"], records, why, keeper))


def _names(keeper: dict[str, Any], records: list[dict[str, Any]], conf: dict[str, Any]) -> list[Row]:
    """What the name servers read, if the networks have any."""
    served = [record for record in records if record["dns_enabled"]]
    faults = [names.servers_fault(keeper), *(bridge_names.fault(record, conf) for record in served)]
    why = "; ".join(text for text in faults if text)
    return [row("names", ", ".join(record["name"] for record in served), why and why + _MENDS)] if served else []


def _look(attached: list[dict[str, Any]], records: list[dict[str, Any]], why: str, keeper: dict[str, Any]) -> list[Row]:
    """Rows of the bridges' namespace, in which the caller is."""
    from pyman.network import bridge_mend, firewall_check, rtnl

    fault = bridge_mend.uplink_fault(keeper)
    found = [row("uplink", uplink.DEVICE, why or (fault and fault + _MENDS))]
    seen = rtnl.survey()
    fault = firewall_check.fault([bridge_mend.walls(record) for record in records], uplink.dns_port(keeper))
    found.append(row("rules", "NAT and walls", fault and fault + _MENDS))
    fault = uplink.forwarding_fault() or bridge_mend.marks_fault(seen)
    found.append(row("forwarding", "sysctls, marks", fault and fault + _MENDS))
    for status, record in zip(attached, records):
        device = record["network_interface"]
        link = next((link for link in seen["links"] if link["name"] == device), None)
        have = [entry["address"] for entry in seen["addresses"] if entry["device"] == device]
        lacking = [entry["gateway"] for entry in record.get("subnets") or [] if entry.get("gateway") and entry["gateway"] not in have]
        own = next((link for link in seen["links"] if link["index"] == status.get("port")), None)
        if not link:
            fault = "the bridge was deleted"
        elif not link["up"]:
            fault = "it is down"
        elif lacking:
            fault = f"it lacks its address {lacking[0]}"
        elif not own and "port" in status:
            fault = "the container's device was deleted"
        elif own and (own["master"] != link["index"] or not own["up"]):
            fault = f"the container's device {own['name']} " + ("is down" if own["master"] == link["index"] else "is not in it")
        else:
            fault = ""
        found.append(row("bridge", device, fault and fault + _MENDS, f"network {status['name']}"))
    return found


def _stopped_monitor(what: str, state: dict[str, Any]) -> str:
    """That somebody has stopped the container's monitor, or nothing."""
    return living.why_stopped(what, state["monitor_pid"], process.state(state["monitor_pid"]))


def stopped() -> list[str]:
    """What of all that carries containers' networks somebody has stopped, each with the line that lets it go on."""
    keeper = uplink.find([])
    found = [living.why_stopped(*helper) for helper in (living.of_keeper(keeper) if keeper else [])]
    for container in list_containers():
        try:
            if container.state["status"] not in RUNNING:
                continue
            found.append(_stopped_monitor(f"the monitor of container {container.name}", container.state))
            name = living.expected(container.state)
            pid = living.find(container.state, container.run_dir) if name else 0
        except PymanError:
            continue  # a damaged container is told of by its own commands
        if pid:
            found.append(living.why_stopped(f"the {name} of container {container.name}", pid, process.state(pid)))
    return [text for text in found if text]
