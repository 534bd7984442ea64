"""Try everything a start needs; for each: verdict, evidence, and the one command that mends it. CLI process, slow path."""

from __future__ import annotations

from pyman.engine import doctor_host, doctor_session, doctor_trials
from pyman.engine.doctor_finding import FAIL, Finding
from pyman.errors import ConfigError, PymanError


def examine() -> list[Finding]:
    """All checks, in the order in which a start meets them."""
    found: list[Finding] = []
    for check in (*doctor_host.CHECKS, *doctor_trials.CHECKS, *doctor_session.CHECKS):
        try:
            found.append(check())
        except ConfigError as err:
            if check is doctor_host.configuration:  # the others that need it need not say so again
                found.append(Finding("configuration", FAIL, str(err), err.hint))
        except PymanError as err:
            found.append(Finding(check.__name__.strip("_").replace("_", " "), FAIL, str(err), err.hint))
        except OSError as err:
            found.append(Finding(check.__name__.strip("_").replace("_", " "), FAIL, f"{err.filename or ''} {err.strerror or err}".strip()))
    return found
