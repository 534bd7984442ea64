"""What a container is made from: an image that is here or pulled, or a directory. CLI process."""

from __future__ import annotations

import os

from pyman.errors import NoSuchImage, UsageError
from pyman.linux import machine
from pyman.storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def pull_policy(opts: dict[str, Any], conf: dict[str, Any]) -> str:
    """--pull, or what the configuration says: always, missing, never or newer. UsageError."""
    policy = str(opts.get("pull") or conf["engine"].get("pull_policy") or "missing")
    policy = {"true": "always", "false": "never"}.get(policy, policy)
    if policy not in ("always", "missing", "never", "newer"):
        raise UsageError(f"invalid value {policy!r} for option --pull", "it must be one of always, missing, never, newer")
    return policy


def find(name: str, opts: dict[str, Any], conf: dict[str, Any], reporter: Callable[[], Any] | None) -> dict[str, Any]:
    """The image record for `name`, pulled first as `--pull` asks. NoSuchImage, RegistryError, ImageError."""
    if not name:
        raise UsageError("no image given", "an image name, or --rootfs with a directory, is needed", "pyman run --help")
    policy = pull_policy(opts, conf)
    transport = ":" in name and name.split(":", 1)[0] in ("oci", "oci-archive", "docker-archive", "dir", "docker")
    if not transport and policy in ("missing", "never"):
        try:
            record = images.load().resolve(name)
            if "list" in record:
                from pyman.engine import manifests  # with a list of images only

                return manifests.instance(record, platform(opts))
            if _platform_fits(record, opts):
                return record
        except NoSuchImage:
            if policy == "never":
                raise
        if policy == "never":
            raise NoSuchImage(
                f"no image {name} for the platform asked for",
                "the local image is for another platform, and --pull=never forbids to look further",
            )
    return _pull(name, policy, opts, conf, reporter)


def _pull(name: str, policy: str, opts: dict[str, Any], conf: dict[str, Any], reporter: Callable[[], Any] | None) -> dict[str, Any]:
    from pyman.image import pull  # the slow path: oras and requests

    if opts.get("signature_policy"):
        from pyman.image import policy as trust

        trust.use(opts["signature_policy"])
    wanted = platform(opts)
    delay = opts.get("retry_delay")
    if delay:
        from pyman.engine import health

        delay = health.duration("--retry-delay", delay) / 1e9
    return pull.pull(
        name,
        policy="always" if wanted and policy == "missing" else policy,  # what is here is for another platform
        platform=wanted,
        tls_verify=opts.get("tls_verify") if "tls_verify" in getattr(opts, "given", ()) else None,
        creds=opts.get("creds") or "",
        authfile=opts.get("authfile") or "",
        cert_dir=opts.get("cert_dir") or "",
        retry=opts.get("retry"),
        retry_delay=delay or None,
        reporter=reporter() if reporter else None,
        conf=conf,
    )


def platform(opts: dict[str, Any]) -> str:
    """See platforms.wanted, which is loaded where something was asked for."""
    if not any(opts.get(key) for key in ("platform", "arch", "os", "variant")):
        return ""
    from pyman.engine import platforms

    return platforms.wanted(opts)


def _platform_fits(record: dict[str, Any], opts: dict[str, Any]) -> bool:
    wanted = platform(opts).split("/") if platform(opts) else []
    have = [record.get("os", "linux"), record.get("architecture", ""), record.get("variant", "")]
    return all(a == b for a, b in zip(wanted, have))


def warn_of_platform(record: dict[str, Any], opts: dict[str, Any], warn: Callable[[str], None]) -> None:
    """Tell of an image that is for other machines, or for another platform than the one asked for."""
    host, asked = machine.architecture(), platform(opts)
    found = record.get("architecture") or host
    if not asked and found == host:
        return
    from pyman.engine import platforms  # for such an image only

    different, foreign = platforms.mismatch(record, asked), platforms.foreign(record)
    if different:
        warn(different)
    if foreign:
        warn(foreign)
    elif not asked:
        warn(f"the image's platform ({record.get('os') or 'linux'}/{found}) is not that of this machine (linux/{host})")


def described(image: dict[str, Any], given: str) -> dict[str, Any]:
    """What config.json says of the image that the user called `given`."""
    return {"name": _name(image, given), "id": image["id"], "digest": image.get("digest", "")}


def _name(image: dict[str, Any], given: str) -> str:
    """The image's name that the user meant by `given`, else its first one."""
    known = image.get("names") or []
    for name in known:
        if name == given or name.endswith(("/" + given, "/" + given + ":latest")) or name == given + ":latest":
            return str(name)
    return str(known[0]) if known else given


def plain_rootfs(args: list[str]) -> tuple[str, list[str]]:
    """--rootfs: (the directory that the first positional names, the command after it). UsageError."""
    if not args:
        raise UsageError("no root file system given", "--rootfs needs the path of a directory")
    text, colon, option = args[0].rpartition(":")
    if not colon or "/" in option:
        text, option = args[0], ""
    if option not in ("", "O"):
        raise UsageError(f"cannot use root file system {args[0]}", f"the option {option} needs privileges or is unknown", "known is DIR:O")
    path = os.path.abspath(text)
    if not os.path.isdir(path):
        raise UsageError(f"cannot use root file system {text}", "no such directory", "give the path of an unpacked root file system")
    return path, args[1:]
