"""`pyman version`. CLI process."""

from __future__ import annotations

import sys

from pyman.version import COMPAT_VERSION, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the version, as text, json or by template."""
    import os

    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    client = {
        "APIVersion": COMPAT_VERSION,
        "Version": VERSION,
        "PythonVersion": sys.version.split()[0],
        "GoVersion": "",
        "GitCommit": "",
        "BuildOrigin": "",
        "Built": 0,
        "BuiltTime": "",
        "Os": "linux",
        "OsArch": f"linux/{machine}",
    }
    if opts["format"]:
        from pyman import version
        from pyman.cli import gotemplate, output
        from pyman.engine import machine as facts

        client.update(facts.built(version.__file__))
        if opts["format"] == "json":
            output.print_json({"Client": client})
        else:
            # Without a service the server is this program too; Podman also takes the fields without Client before them.
            data = {**client, "Client": client, "Server": client}
            output.print_text(gotemplate.compile_format(opts["format"])[0](data))
        return 0
    sys.stdout.write(
        f"Client:       pyman\nVersion:      {VERSION}\nAPI Version:  {COMPAT_VERSION}\nPython:       {client['PythonVersion']}\nOS/Arch:      linux/{machine}\n"
    )
    return 0
