"""The commands that work with health checks. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

RUN = """
ignore-result bool Exit with 0 whatever the check finds; other errors stay errors
"""
COMMANDS: dict[tuple[str, ...], Command] = {
    ("healthcheck", "run"): Command(
        "healthcheck_run", "CONTAINER", "Run the health check of a container now", RUN, ("pyman healthcheck run web",), most=1
    ),
}
ALIASES: dict[tuple[str, ...], tuple[str, ...]] = {}
