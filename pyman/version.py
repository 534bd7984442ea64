"""The version literal; pyproject.toml and `pyman version` read it. Any process."""

VERSION = "0.1.0"
# Podman's version whose command line and output this release follows.
COMPAT_VERSION = "5.8.2"
