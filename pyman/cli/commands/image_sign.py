"""`pyman image sign`: refused with what does it. CLI process."""

from __future__ import annotations

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """sign IMAGE..."""
    raise UsageError(
        f"cannot sign {args[0] if args else 'an image'}",
        "pyman makes no signatures yet: neither simple signing (OpenPGP) nor sigstore",
        "skopeo standalone-sign, skopeo copy --sign-by, or cosign sign, after the push",
    )
