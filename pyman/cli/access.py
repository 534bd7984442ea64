"""The options by which all commands reach registries, as keyword arguments of the image layer. CLI process."""

from __future__ import annotations

from pyman.cli import output
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNITS = {"ms": 0.001, "us": 1e-6, "ns": 1e-9, "h": 3600.0, "m": 60.0, "s": 1.0}


def of(opts: Any) -> dict[str, Any]:
    """tls_verify (None where the user did not say), creds, authfile, cert_dir, retry, retry_delay in seconds. UsageError."""
    delay = opts.get("retry_delay") or ""
    policy_of(opts)
    tls_verify = opts["tls_verify"] if "tls_verify" in opts.given else None
    if "insecure" in opts.given:
        if tls_verify is not None:
            raise UsageError("cannot use --insecure and --tls-verify together", "each of them says the whole")
        tls_verify = not opts["insecure"]
    return {
        "tls_verify": tls_verify,
        "creds": opts.get("creds") or "",
        "authfile": opts.get("authfile") or "",
        "cert_dir": opts.get("cert_dir") or "",
        "retry": opts.get("retry"),
        "retry_delay": seconds("--retry-delay", delay) if delay else None,
    }


def policy_of(opts: Any) -> None:
    """--signature-policy: the file's policy is in force for this command. ConfigError."""
    if opts.get("signature_policy"):
        from pyman.image import policy  # seldom asked for

        policy.use(opts["signature_policy"])


def seconds(option: str, text: str) -> float:
    """A length of time as Go writes it: 1h30m, 2.5s, 300ms; a bare number is seconds. UsageError."""
    total, rest = 0.0, text
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = next((unit for unit in _UNITS if rest[digits:].startswith(unit)), "" if total else "s" if digits == len(rest) else "")
        try:
            total += float(rest[:digits]) * _UNITS[unit]
        except (ValueError, KeyError):
            raise output.bad_value(option, text, "a length of time such as 30s, 1m30s, 500ms") from None
        rest = rest[digits + (len(unit) if rest[digits:] else 0) :]
    if total > (1 << 63) / 1e9:  # Go's longest
        raise output.bad_value(option, text, "a length of time of 292 years at most")
    return total
