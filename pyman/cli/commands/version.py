"""`pyman version`. CLI process."""

from __future__ import annotations

import sys

from pyman.linux.machine import architecture
from pyman.version import COMPAT_VERSION, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the version, as text, json or by template."""
    python = sys.version.split()[0]
    if opts["format"]:
        from pyman.cli import go_reports, gotemplate, output
        from pyman.engine import machine

        client = {**machine.release(), "PythonVersion": python}
        if opts["format"] == "json":
            output.print_json({"Client": client})
        else:
            # Without a service the server is this program too; Podman also takes the fields without Client before them.
            data = go_reports.report({"Client": client, "Server": client}, "SystemVersionReport")
            data.also = client
            output.print_filled(gotemplate.compile_format(opts["format"])[0], data)
        return 0
    sys.stdout.write(
        f"Client:       pyman\nVersion:      {told()}\nAPI Version:  {COMPAT_VERSION}\nPython:       {python}\nOS/Arch:      linux/{architecture()}\n"
    )
    return 0
