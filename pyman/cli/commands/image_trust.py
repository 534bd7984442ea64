"""`pyman image trust show` and `pyman image trust set`: the policy of which images may be used. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.cli.dispatch import escape
from pyman.engine import trust
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OWN = {
    "show": {"json", "noheading", "policypath", "raw", "registrypath", "signature_policy"},
    "set": {"policypath", "pubkeysfile", "signature_policy", "type"},
}


def main(opts: Any, args: list[str]) -> int:
    """trust show [REGISTRY], trust set REGISTRY"""
    verb = args[0] if args else ""
    if verb not in _OWN:
        raise UsageError("image trust needs show or set", f"{verb!r} was given" if verb else "nothing was given", "pyman image trust show")
    wrong = sorted(opts.given - _OWN[verb])
    if wrong:
        raise UsageError(f"cannot use --{wrong[0]} with image trust {verb}", "it belongs to the other one")
    if verb == "set":
        if len(args) != 2:
            raise UsageError("set needs a registry", f"{len(args) - 1} given", "pyman image trust set -t accept docker.io/library")
        place = trust.change(args[1], opts["type"], opts["pubkeysfile"], opts["signature_policy"] or opts["policypath"] or "")
        sys.stderr.write(f"The policy is in {escape(place)}.\n")
        return 0
    trust.use(opts["signature_policy"] or opts["policypath"] or "")
    if opts["raw"]:
        output.print_json(trust.in_force())
        return 0
    rows = trust.rows(args[1] if len(args) > 1 else "", opts["registrypath"] or "")
    if opts["json"]:
        output.print_json([{key: value for key, value in row.items() if value} for row in rows])
        return 0
    columns = ("transport", "repo_name", "type", "gpg_id", "sigstore")
    output.print_table(
        ["TRANSPORT", "NAME", "TYPE", "ID", "STORE"], [[row[column] for column in columns] for row in rows], not opts["noheading"]
    )
    return 0
