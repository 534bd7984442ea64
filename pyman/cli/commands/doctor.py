"""`pyman doctor`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.engine import doctor
from pyman.engine.doctor_finding import FAIL, OK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print all findings; 1 if a start would fail."""
    findings = doctor.examine()
    if opts["format"] == "json":
        output.print_json([{"name": f.name, "verdict": f.verdict, "evidence": f.evidence, "fix": f.fix} for f in findings])
    elif opts["format"] not in ("", "table"):
        raise output.bad_value("--format", opts["format"], "table, json")
    else:
        output.print_table(["CHECK", "VERDICT", "EVIDENCE"], [[f.name, f.verdict, f.evidence] for f in findings])
        for finding in findings:
            if finding.verdict != OK and finding.fix:
                sys.stdout.write(f"\nto mend {finding.name}:\n  {finding.fix}\n")
    return int(any(finding.verdict == FAIL for finding in findings))
