"""What a check of `doctor` tells. CLI process, pure."""

from __future__ import annotations

OK, WARN, FAIL = "ok", "warn", "fail"


class Finding:
    """One check's outcome. `fix`: a command, empty where nothing is to be done."""

    __slots__ = ("evidence", "fix", "name", "verdict")

    def __init__(self, name: str, verdict: str, evidence: str, fix: str = "") -> None:
        self.name = name
        self.verdict = verdict
        self.evidence = evidence
        self.fix = fix
