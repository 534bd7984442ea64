"""The commands that work with networks. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

CONNECT = """
alias commas Further name on this network
ip list IPv4 address
ip6 list IPv6 address
mac-address str MAC address
"""
DISCONNECT = """
force,f bool Disconnect even if the network does not exist any more
"""
RELOAD = """
all,a bool All running containers
latest,l bool The newest container
"""
TEST = """
format str table, or json
latest,l bool The newest container
"""
CREATE = """
disable-dns bool Containers do not find each other by name
dns commas Name server that the network's own asks
driver,d str=bridge Driver: bridge
gateway list Gateway of the subnet given before it
ignore bool No error if the network exists
interface-name str Name of the bridge device
internal bool No way out of the network
ip-range list Addresses given to containers: a SUBNET, or FIRST-LAST
ipam-driver str Who gives addresses: host-local, or none
ipv6 bool Give the network an IPv6 subnet too
label list Set a label: KEY=VALUE
opt,o list Driver option: mtu, metric, vlan, isolate, no_default_route
route list Route for every container: DESTINATION,GATEWAY[,METRIC]
subnet list Subnet, as ADDRESS/PREFIX
"""
INSPECT = """
format,f str json or a Go template
"""
LS = """
filter,f list Networks that match, for instance driver=bridge
format str json, table TEMPLATE or a Go template
no-trunc bool Do not shorten ids
noheading,n bool Print no heading
quiet,q bool Print names only
"""
PRUNE = """
filter list Networks that match: label, label!, until
force,f bool Do not ask
"""
RM = """
force,f bool Remove the containers on it first
time,t int Seconds until their SIGKILL
"""
UPDATE = """
dns-add commas Name servers to add, separated by commas
dns-drop commas Name servers to take away, separated by commas
"""
_C = Command
_NETWORK = {
    "connect": _C(
        "network_connect",
        "NETWORK CONTAINER",
        "Connect a container to a network",
        CONNECT,
        ("pyman network connect web job", "pyman network connect --alias db --ip 10.89.0.9 web job"),
        most=2,
    ),
    "disconnect": _C(
        "network_disconnect",
        "NETWORK CONTAINER",
        "Disconnect a container from a network",
        DISCONNECT,
        ("pyman network disconnect web job",),
        most=2,
    ),
    "reload": _C(
        "network_reload",
        "[CONTAINER...]",
        "Give networks of running containers what they have lost",
        RELOAD,
        ("pyman network reload web", "pyman network reload --all"),
    ),
    "test": _C(
        "network_test",
        "CONTAINER",
        "Try the network of a running container, and say what fails and why",
        TEST,
        ("pyman network test web", "pyman network test --format json web"),
        most=1,
    ),
    "create": _C(
        "network_create",
        "[NAME]",
        "Create a network",
        CREATE,
        ("pyman network create web", "pyman network create --subnet 10.5.0.0/24 --ipv6 --internal db"),
        most=1,
    ),
    "exists": _C("network_exists", "NETWORK", "Exit with 0 if the network exists, else with 1", "", ("pyman network exists web",), most=1),
    "inspect": _C(
        "network_inspect",
        "NETWORK...",
        "Show everything about networks",
        INSPECT,
        ("pyman network inspect web", "pyman network inspect -f '{{range .Subnets}}{{.Subnet}}{{end}}' web"),
    ),
    "ls": _C("network_ls", "", "List networks", LS, ("pyman network ls", "pyman network ls --format '{{.Name}} {{.Driver}}'"), most=0),
    "prune": _C("network_prune", "", "Remove networks that no container uses", PRUNE, ("pyman network prune -f",), most=0),
    "rm": _C("network_rm", "NETWORK...", "Remove networks", RM, ("pyman network rm web", "pyman network rm -f web")),
    "update": _C(
        "network_update", "NETWORK", "Change the name servers of a network", UPDATE, ("pyman network update --dns-add 9.9.9.9 web",), most=1
    ),
}
COMMANDS: dict[tuple[str, ...], Command] = {("network", name): command for name, command in _NETWORK.items()}
ALIASES = {
    ("network", "list"): ("network", "ls"),
    ("network", "remove"): ("network", "rm"),
}
