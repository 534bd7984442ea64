"""The commands that work with lists of images. Data only."""

from __future__ import annotations

from pyman.cli.table import Command
from pyman.cli.tables.images import SIGN_BY

_PLATFORM = """
annotation list KEY=VALUE: note at the image
arch str Architecture of the image
features list Features of the image (Docker's format only)
os str Operating system of the image
os-features list Features of the operating system that the image needs
os-version str Version of the operating system
variant str Variant of the architecture
"""
_ACCESS = """
authfile str File with the registry credentials
cert-dir str Directory with the registry's certificates
creds str USER[:PASSWORD] for the registry
insecure bool The same as --tls-verify=false
tls-verify bool=true Require a verified TLS connection
"""
CREATE = """
all bool Add all images of lists
amend,a bool Take the list that is there, if there is one
annotation list KEY=VALUE: note at the list
authfile str File with the registry credentials
cert-dir str Directory with the registry's certificates
creds str USER[:PASSWORD] for the registry
insecure bool The same as --tls-verify=false
tls-verify bool=true Require a verified TLS connection
"""
ADD = f"""
all bool Add all images of a list
artifact bool The arguments are files, which become one artifact
artifact-config str File with the artifact's configuration
artifact-config-type str Media type of the artifact's configuration
artifact-exclude-titles bool Do not note the files' names
artifact-layer-type str Media type of the artifact's files
artifact-subject str Image that the artifact is about
artifact-type str Type of the artifact{_PLATFORM}{_ACCESS.lstrip()}"""
ANNOTATE = f"""
index bool Put --annotation at the list itself
subject str Image that the list is about{_PLATFORM}"""
PUSH = f"""
add-compression list Push and list each image in these compressions too: zstd, zstd:chunked or gzip
all bool=true Push the images too, not the list alone
compression-format str Compression of the layers: gzip (default), zstd or zstd:chunked
compression-level int Level of the compression
digestfile str Write the digest of the list into this file
force-compression bool Upload layers anew that the target has in another compression; the default with --compression-format
format,f str Type of the list and its images: oci or v2s2 (default: the list's own)
purge,p bool The same as --rm
quiet,q bool Print no progress
remove-signatures bool Accepted: the store keeps no signatures
retry int Times a failed request is tried again
retry-delay str Time between two tries
rm bool Remove the list after the push
{SIGN_BY}{_ACCESS.lstrip()}"""
_C = Command
_MANIFEST = {
    "add": _C(
        "manifest_add",
        "LIST IMAGE [IMAGE...]",
        "Add images or artifacts to a list",
        ADD,
        (
            "pyman manifest add app:1 localhost/app-arm64",
            "pyman manifest add --all app:1 docker://quay.io/team/other:1",
            "pyman manifest add --artifact --artifact-type text/sbom app:1 sbom.json",
        ),
    ),
    "annotate": _C(
        "manifest_annotate",
        "LIST [IMAGE]",
        "Change what a list says of an image, or of itself",
        ANNOTATE,
        ("pyman manifest annotate --arch arm64 --variant v8 app:1 sha256:...", "pyman manifest annotate --index --annotation a=b app:1"),
        most=2,
    ),
    "create": _C(
        "manifest_create",
        "LIST [IMAGE...]",
        "Make a list of images",
        CREATE,
        ("pyman manifest create app:1", "pyman manifest create app:1 localhost/app-amd64 localhost/app-arm64"),
    ),
    "exists": _C("manifest_exists", "LIST", "Exit with 0 if the list exists, else with 1", "", ("pyman manifest exists app:1",), most=1),
    "inspect": _C(
        "manifest_inspect",
        "LIST",
        "Show a list of the store, or what a registry has under a name",
        _ACCESS + "verbose bool Accepted for Docker's sake\n",
        ("pyman manifest inspect app:1", "pyman manifest inspect docker.io/library/debian:13"),
        most=1,
    ),
    "push": _C(
        "manifest_push",
        "LIST [DESTINATION]",
        "Bring a list and its images to a registry, a layout or an archive",
        PUSH,
        ("pyman manifest push app:1 docker://quay.io/me/app:1", "pyman manifest push --add-compression zstd app:1 oci:./app:1"),
        most=2,
    ),
    "remove": _C("manifest_remove", "LIST DIGEST", "Take an image from a list", "", ("pyman manifest remove app:1 sha256:...",), most=2),
    "rm": _C(
        "manifest_rm",
        "LIST [LIST...]",
        "Remove lists from the store",
        "\nignore,i bool No error for lists that do not exist\n",
        ("pyman manifest rm app:1",),
    ),
}
COMMANDS: dict[tuple[str, ...], Command] = {("manifest", name): command for name, command in _MANIFEST.items()}
ALIASES: dict[tuple[str, ...], tuple[str, ...]] = {}
