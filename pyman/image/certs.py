"""certs.d (containers-certs.d(5)): further authorities and client certificates for one registry. Slow path.

HOST[:PORT]/NAME.crt is a CA that is believed beside the system's; NAME.cert with NAME.key is shown to the registry.
"""

from __future__ import annotations

import os
import ssl

from pyman import paths
from pyman.errors import ConfigError


def directories(host: str, cert_dir: str) -> list[str]:
    """The directories for a registry that exist: --cert-dir alone, else the user's, the machine's and Docker's. ConfigError."""
    if cert_dir:
        if not os.path.isdir(cert_dir):
            raise ConfigError(f"cannot use --cert-dir {cert_dir}", "it is not a directory")
        return [cert_dir]
    bases = [os.path.join(paths.confdir(), "containers/certs.d"), "/etc/containers/certs.d", "/etc/docker/certs.d"]
    return [path for path in (os.path.join(base, host) for base in bases) if os.path.isdir(path)][:1]


def context(host: str, cert_dir: str, verify: bool, *, quick: bool = False) -> ssl.SSLContext:
    """The TLS settings for a registry: the system's authorities and what certs.d adds. ConfigError names the file that is wrong.

    quick: authorities are read from the directory when one is needed, not all of them from the bundle (30 ms); perhaps not all are found.
    """
    # SSL_CERT_FILE and SSL_CERT_DIR replace the system's authorities.
    directory = "" if os.environ.get("SSL_CERT_FILE") or not quick else ssl.get_default_verify_paths().capath or ""
    made = ssl.create_default_context(capath=directory or None)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    for directory in directories(host, cert_dir):
        _read(made, directory)
    return made


def _read(made: ssl.SSLContext, directory: str) -> None:
    path = directory
    try:
        names = sorted(os.listdir(directory))
        for name in names:
            path = os.path.join(directory, name)
            if name.endswith(".crt"):
                made.load_verify_locations(cafile=path)
            elif name.endswith(".cert"):
                key = name[:-5] + ".key"
                if key not in names:
                    raise ConfigError(f"cannot use {path}", f"its key {key} is missing")
                made.load_cert_chain(path, os.path.join(directory, key), password=_no_password)
            elif name.endswith(".key") and name[:-4] + ".cert" not in names:
                raise ConfigError(f"cannot use {path}", f"its certificate {name[:-4]}.cert is missing")
    except (OSError, ssl.SSLError, ValueError) as err:
        raise ConfigError(f"cannot use {path}", f"{getattr(err, 'reason', None) or err}") from err


def _no_password() -> str:
    """OpenSSL would ask on the terminal for the pass phrase of an encrypted key."""
    raise ValueError("the key is encrypted, and nobody is asked for its pass phrase")
