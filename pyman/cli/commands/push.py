"""`pyman push`: bring an image to a registry, a layout, an archive or a directory. CLI process."""

from __future__ import annotations

from pyman.cli import access
from pyman.cli.reporter import lazy_reporter
from pyman.config import containers
from pyman.engine import push
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def choice(opts: Any) -> Any:
    """Format and compression by the options that push and manifest push share. UsageError."""
    from pyman.image.push import Choice

    engine = containers.load()["engine"]
    kind = opts["compression_format"]
    return Choice(
        format=opts["format"],
        kind=kind or (engine["compression_format"] if engine["compression_format"] != "gzip" else None),
        level=opts["compression_level"] or engine["compression_level"] or None,
        force=opts["force_compression"] if "force_compression" in opts.given else bool(kind),
    )


def signer(opts: Any) -> Any:
    """Who signs by the options that all pushes share; None if nobody does. UsageError."""
    if opts["sign_by_sigstore_private_key"]:
        if opts["sign_by"]:
            raise UsageError("cannot use --sign-by and --sign-by-sigstore-private-key together", "they share one pass phrase", "push twice")
        from pyman.engine import sign_sigstore

        return sign_sigstore.Signer(opts["sign_by_sigstore_private_key"], opts["sign_passphrase_file"], **access.of(opts))
    if not opts["sign_by"]:
        if opts["sign_passphrase_file"]:
            raise UsageError("cannot use --sign-passphrase-file", "there is no key to sign with", "--sign-by KEY")
        return None
    from pyman.engine import sign

    return sign.Signer(opts["sign_by"], opts["sign_passphrase_file"])


def write_digest(path: str, digest: str) -> None:
    """--digestfile. UsageError."""
    if path:
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write(digest)
        except OSError as err:
            raise UsageError(f"cannot write digest file {path}", err.strerror or str(err)) from err


def main(opts: Any, args: list[str]) -> int:
    """push IMAGE [DESTINATION]"""
    if not args:
        raise UsageError("no image given", "push needs the name of an image", "pyman push IMAGE [DESTINATION]")
    reporter = lazy_reporter(opts["quiet"])
    try:
        digest = push.push(
            args[0],
            args[1] if len(args) > 1 else "",
            choice(opts),
            compress=opts["compress"],
            everything=opts["all"],
            signer=signer(opts),
            reporter=reporter,
            conf=containers.load(),
            **access.of(opts),
        )
    finally:
        reporter.close()
    write_digest(opts["digestfile"], digest)
    return 0
