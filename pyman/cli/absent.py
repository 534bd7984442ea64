"""Podman's commands that pyman does not have: the reason, and what does instead. Slow path of the command line. CLI process."""

from __future__ import annotations

_BUILD = (
    "pyman does not build images yet",
    "build it with buildah: buildah build -t app . && buildah push app oci:app && pyman pull oci:app; or change a container: pyman commit",
)
_PODS = (
    "pyman has no pods yet",
    "a container joins another's network with --network container:NAME; pyman network create joins many by name",
)
_KUBE = ("pyman neither reads nor writes Kubernetes YAML yet", "units of systemd describe containers, too: pyman quadlet from CONTAINER")
_REMOTE = ("pyman works on this machine, without a service", "run it on the other machine: ssh HOST pyman ...")
_SERVICE = ("pyman has no API service yet", "programs that speak to a socket need Podman's: podman system service")

# By the first word, or the first two.
ABSENT = {
    "build": _BUILD,
    "buildx": _BUILD,
    "builder": _BUILD,
    "image build": _BUILD,
    "pod": _PODS,
    "kube": _KUBE,
    "play": _KUBE,
    "generate kube": _KUBE,
    "generate spec": ("pyman has no other form of a container's options", "pyman inspect CONTAINER; pyman quadlet from CONTAINER"),
    "machine": ("pyman runs on Linux itself and has no virtual machines", "leave `machine` out: pyman run ..."),
    "farm": _REMOTE,
    "system connection": _REMOTE,
    "context": _REMOTE,
    "system service": _SERVICE,
    "compose": _SERVICE,
}


def reason(words: str) -> tuple[str, str]:
    """(why, what to do) for a command of Podman's that is not there; two empty texts for any other word."""
    return ABSENT.get(words, ("", ""))
