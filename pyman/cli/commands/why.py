"""`pyman why`: why containers stopped, in one sentence each, with its proof. CLI process."""

from __future__ import annotations

import sys
import time

from pyman.cli import output
from pyman.cli.dispatch import escape, print_error
from pyman.engine import why
from pyman.errors import PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Answer = dict[str, Any]


def main(opts: Any, args: list[str]) -> int:
    """Answer for each container; 125 if one is not known, even to the log of events."""
    if opts["format"] not in ("text", "json"):
        raise output.bad_value("--format", opts["format"], "text, json")
    if opts["latest"] and args:
        raise UsageError("cannot use --latest together with names", "--latest means the newest container")
    if not args and not opts["latest"]:
        raise UsageError("no container given", "why needs at least one name or id", "pyman why web")
    found, code = [], 0
    for name in args or [""]:
        try:
            found.append(why.answer(name, bool(opts["latest"])))
        except PymanError as err:
            print_error(err)
            code = 125
    if opts["format"] == "json":
        output.print_json([_plain(answer) for answer in found])
        return code
    sys.stdout.write("\n".join(_text(answer) for answer in found))
    return code


def _plain(answer: Answer) -> Answer:
    plain = {**answer, "StartedAt": output.rfc3339(answer["StartedAt"]), "FinishedAt": output.rfc3339(answer["FinishedAt"])}
    if "Runs" in answer:
        plain["Runs"] = [_plain(run) for run in answer["Runs"]]
    return plain


def _text(answer: Answer) -> str:
    """The sentence, the proof below it, and the earlier runs. Nothing in it can be another line of ours."""
    lines = [f"{answer['Name']} {answer['Sentence']}" + (f", {_lower(output.ago(answer['FinishedAt']))}." if answer["FinishedAt"] else ".")]
    lines += [f"  - {text}" for text in answer["Proof"]]
    if answer["StartedAt"] and answer["FinishedAt"]:
        lasted = output.duration(answer["FinishedAt"] - answer["StartedAt"]).lower()
        lines.append(f"  - it ran from {_clock(answer['StartedAt'])} to {_clock(answer['FinishedAt'])}: {lasted}")
    elif answer["StartedAt"]:
        lines.append(f"  - it was started at {_clock(answer['StartedAt'])}")
    if answer["Removed"]:
        lines.append("  - the container was removed; this is what the log of events tells")
    if answer["Hint"]:
        lines.append(f"  hint: {answer['Hint']}")
    if answer["Runs"]:
        lines.append("Before that it")
        lines += [f"  {_clock(run['FinishedAt'])}  {run['Sentence']}" for run in answer["Runs"]]
    return "".join(escape(line).replace("\n", "\\n").replace("\t", " ") + "\n" for line in lines)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
