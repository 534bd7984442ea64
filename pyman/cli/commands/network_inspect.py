"""`pyman network inspect`. CLI process."""

from __future__ import annotations

from pyman.cli.commands import inspect
from pyman.cli.dispatch import print_error
from pyman.cli.go_reports import report
from pyman.cli.output import print_each
from pyman.engine import networks
from pyman.errors import PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.cli.gotemplate_print import Struct

NAMES = (
    *("ID", "Name", "Driver", "NetworkInterface", "Created", "Subnets", "Routes", "IPv6Enabled", "Internal", "DNSEnabled"),
    *("NetworkDNSServers", "Labels", "Options", "IPAMOptions", "Containers"),
)


def fields(record: dict[str, Any]) -> Struct:
    """A network by the names that templates use."""
    found = report(record, "NetworkInspectReport")
    without = {key: value for key, value in record.items() if key != "containers"}
    found.also["Network"] = report(without, "NetworkConfig")
    return found


def main(opts: Any, args: list[str]) -> int:
    """Print a JSON list, or a template's result per network. 125 if one does not exist."""
    if not args:
        raise UsageError("no network given", "inspect needs at least one name or id")
    found, code = [], 0
    for name in args:
        try:
            found.append(networks.inspect(name))
        except PymanError as err:
            print_error(err)
            code = 125
    if opts["format"] and opts["format"] != "json":
        from pyman.cli import gotemplate

        compiled, _ = gotemplate.compile_format(opts["format"])
        print_each(compiled, [fields(record) for record in found], opts["format"])
    else:
        inspect.show(found, "")
    return code
