"""`pyman image sign`: sign what registries have, with a key of gpg's. CLI process."""

from __future__ import annotations

from pyman.cli import access
from pyman.engine import sign
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """sign IMAGE..."""
    if not args:
        raise UsageError("no image given", "sign needs at least one", "pyman image sign --sign-by KEY docker://REGISTRY/NAME:TAG")
    if not opts["sign_by"]:
        raise UsageError(f"cannot sign {args[0]}", "no key given", "--sign-by KEY; gpg --list-secret-keys names those there are")
    sign.sign(args, sign.Signer(opts["sign_by"]), directory=opts["directory"], everything=opts["all"], **access.of(opts))
    return 0
