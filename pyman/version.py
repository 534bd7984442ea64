"""The version literal; pyproject.toml and `pyman version` read it. Any process."""

VERSION = "0.1.0"
# Podman's version whose command line and output this release follows.
COMPAT_VERSION = "5.8.2"


def told() -> str:
    """The version that the command line tells: Podman's where a script has called us so (shims/podman), since it asks what it may use."""
    import os

    return COMPAT_VERSION if os.environ.get("PYMAN_CALLED") == "podman" else VERSION
