"""The commands that work with images. Data only."""

from __future__ import annotations

from pyman.cli.table import Command
from pyman.cli.tables.registries import COMMANDS as _REGISTRIES

PULL = """
all-tags,a bool Pull all tags of the repository
arch str Use this architecture instead of the host's
authfile str File with the registry credentials
cert-dir str Directory with the registry's certificates
creds str USER[:PASSWORD] for the registry
decryption-key list Key for encrypted images !! encrypted images are not supported
disable-content-trust bool Accepted for Docker's sake
os str Use this operating system
platform str Platform: os/arch[/variant]
policy str=always Pull policy: always, missing, never, newer
quiet,q bool Print no progress
retry uint Times a failed pull is tried again
retry-delay str Time between two tries
signature-policy str Policy file instead of policy.json
tls-verify bool=true Require a verified TLS connection
variant str Use this variant of the architecture
"""
SIGN = (
    "of signatures, pyman makes OpenPGP's by gpg (--sign-by) and sigstore's by a key (--sign-by-sigstore-private-key): "
    "make others after the push, by cosign or skopeo"
)
SIGN_BY = f"""sign-by str Sign with this key of gpg's
sign-by-sigstore str Sign with this parameter file !! {SIGN}
sign-by-sigstore-private-key str Sign with the sigstore key in this file
sign-by-sq-fingerprint str Sign with this Sequoia-PGP key !! {SIGN}
sign-passphrase-file str File with the pass phrase of the signing key
"""
PUSH = f"""
all bool=true Push the images of a list too, not the list alone
authfile str File with the registry credentials
cert-dir str Directory with the registry's certificates
compress bool Compress the layers (target dir: only)
compression-format str Compression of the layers: gzip (default), zstd or zstd:chunked
compression-level int Level of the compression
creds str USER[:PASSWORD] for the registry
digestfile str Write the digest of what was pushed into this file
disable-content-trust bool Accepted for Docker's sake
encrypt-layer list Layers to encrypt !! encrypted images are not supported
encryption-key list Key to encrypt with !! encrypted images are not supported
force-compression bool Upload layers anew that the target has in another compression; the default with --compression-format
format,f str Manifest type: oci or v2s2 (default: the image's own)
quiet,q bool Print no progress
remove-signatures bool Accepted: the store keeps no signatures
retry uint Times a failed request is tried again
retry-delay str Time between two tries
{SIGN_BY}signature-policy str Policy file: checked for mistakes; a push has nothing to decide by it
tls-verify bool=true Require a verified TLS connection
"""
SAVE = """
compress bool Compress the layers (--format docker-dir only)
format str=docker-archive docker-archive, oci-archive, oci-dir or docker-dir
multi-image-archive,m bool The arguments are images, not further names of the first one (docker-archive only)
output,o str Write to this file or directory instead of stdout
quiet,q bool Print no progress
signature-policy str Policy file instead of policy.json
uncompressed bool Do not compress the layers (the other formats have plain ones in any case)
"""
IMPORT = """
arch str Architecture of the image (default: the host's)
change,c list Change its configuration: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR
message,m str Note in the image's history
os str Operating system of the image (default: the host's)
quiet,q bool Print no progress
signature-policy str Policy file instead of policy.json
variant str Variant of the architecture
"""
LOAD = """
input,i str Read from this file, directory or http(s) address instead of stdin
no-names bool Do not give the images the names that stand in the archive
quiet,q bool Print no progress
signature-policy str Policy file instead of policy.json
"""
IMAGES = """
all,a bool Show all images
digests bool Show digests
filter,f list Images that match, for instance reference=debian, label!=x, until=24h
format str json, table TEMPLATE or a Go template
history bool Show all names that each ever had
no-trunc bool Do not shorten ids
noheading,n bool Print no heading
quiet,q bool Print ids only
sort str=created Order: created, id, repository, size, tag
"""
HISTORY = """
format str json or a Go template
human,H bool=true Sizes and times for human readers
no-trunc bool Do not shorten ids and commands
quiet,q bool Print ids only
"""
SIGNATURE = """
all,a bool Sign all images of a list, instead of the list
authfile str File with the registry credentials
cert-dir str Directory with the registry's certificates
directory,d str Directory for the signatures (default: that of registries.d)
sign-by str Sign with this key of gpg's
"""
TRUST = """
json,j bool show: print JSON
noheading,n bool show: print no heading
policypath str The policy to show or change, instead of policy.json
pubkeysfile,f list set: file with the public keys that signatures are made by
raw bool show: print the policy itself
registrypath str show: directory with the places of signatures, instead of registries.d
signature-policy str The same as --policypath
type,t str=signedBy set: signedBy, sigstoreSigned, accept or reject
"""
RMI = """
all,a bool Remove all images
force,f bool Remove containers that use it, and all its names
ignore,i bool No error for images that do not exist
no-prune bool Accepted: layers other images need are always kept
"""
IMAGE_INSPECT = """
format,f str json or a Go template
"""
IMAGE_PRUNE = """
all,a bool Remove all images that no container uses
build-cache bool Remove the build cache !! there is none
external bool Remove containers of other tools !! the store holds none
filter list Images that match, for instance label=x
force,f bool Do not ask
"""
_C = Command
_IMAGE = {
    "diff": _C(
        "image_diff",
        "IMAGE [IMAGE]",
        "Show what an image's topmost layer, or another image, changes",
        "\nformat str json\n",
        ("pyman image diff app", "pyman image diff --format json app debian"),
        most=2,
    ),
    "exists": _C("image_exists", "IMAGE", "Exit with 0 if the image exists, else with 1", "", ("pyman image exists debian",), most=1),
    "history": _C(
        "history",
        "IMAGE",
        "Show the steps that made an image",
        HISTORY,
        ("pyman history debian", "pyman history --no-trunc --format '{{.CreatedBy}}' debian"),
        most=1,
    ),
    "inspect": _C("image_inspect", "IMAGE...", "Show everything about images", IMAGE_INSPECT, ("pyman image inspect debian",)),
    "import": _C(
        "import_image",
        "PATH [NAME]",
        "Make an image of a root file system's archive",
        IMPORT,
        (
            "pyman import rootfs.tar.xz localhost/base",
            "pyman import -c CMD=/bin/sh -m 'from the installer' - base < rootfs.tar",
            "pyman import https://example.com/rootfs.tar.gz base:1",
        ),
        most=2,
    ),
    "load": _C(
        "load",
        "",
        "Bring the images of an archive or directory into the store",
        LOAD,
        ("pyman load -i app.tar", "pyman load < app.tar.zst", "pyman load -i https://example.com/app.tar.gz"),
        most=0,
    ),
    "mount": _C(
        "image_mount",
        "[IMAGE...]",
        "Mount images' files inside `pyman unshare`, or list those that are mounted there",
        "\nall,a bool Mount all images\nformat str json\n",
        ("pyman unshare sh -c 'ls $(pyman image mount debian)'", "pyman image mount --format json"),
    ),
    "unmount": _C(
        "image_unmount",
        "IMAGE...",
        "Unmount images' files inside `pyman unshare`",
        "\nall,a bool Unmount all that are mounted\nforce,f bool Unmount them even if they are in use\n",
        ("pyman image unmount debian", "pyman image unmount --all"),
    ),
    "ls": _C("images", "[IMAGE]", "List images", IMAGES, ("pyman images", "pyman images --format '{{.Repository}}:{{.Tag}}'"), most=1),
    "prune": _C("image_prune", "", "Remove images without a name, or all unused ones", IMAGE_PRUNE, ("pyman image prune -af",), most=0),
    "pull": _C(
        "pull",
        "IMAGE...",
        "Pull images from a registry, a directory or an archive",
        PULL,
        ("pyman pull debian:13", "pyman pull oci:./layout:latest"),
    ),
    "push": _C(
        "push",
        "IMAGE [DESTINATION]",
        "Bring an image to a registry, a layout, an archive or a directory",
        PUSH,
        (
            "pyman push quay.io/me/app:1",
            "pyman push localhost/app docker://registry.example/me/app:1",
            "pyman push --compression-format zstd app oci-archive:app.tar",
        ),
        most=2,
    ),
    "rm": _C("rmi", "IMAGE...", "Remove images", RMI, ("pyman rmi debian:12",)),
    "save": _C(
        "save",
        "IMAGE [IMAGE...]",
        "Write images to an archive, a directory or stdout",
        SAVE,
        ("pyman save -o app.tar app", "pyman save -m app db | zstd > all.tar.zst", "pyman save --format oci-dir -o app app"),
    ),
    "scp": _C(
        "image_scp",
        "[HOST::]IMAGE [HOST::[NAME]]",
        "Copy an image from or to another machine by ssh",
        "\nformat str Format of the archive: docker-archive (default) or oci-archive\nquiet,q bool Print no progress\n",
        ("pyman image scp app me@other.example::", "pyman image scp other.example:2222::app", "pyman image scp one::app two::copy"),
        most=2,
    ),
    "search": _REGISTRIES[("search",)],
    "sign": _C(
        "image_sign",
        "IMAGE...",
        "Sign what a registry has, into the directory of its signatures",
        SIGNATURE,
        (
            "pyman image sign --sign-by me@example.com docker://quay.io/me/app:1",
            "pyman image sign --sign-by me -d ./signatures quay.io/me/app",
        ),
    ),
    "trust": _C(
        "image_trust",
        "show|set [REGISTRY]",
        "Show or change the policy of which images may be used",
        TRUST,
        ("pyman image trust show", "pyman image trust set -t reject docker.io", "pyman image trust set -f key.gpg quay.io/team"),
    ),
    "tree": _C(
        "image_tree",
        "IMAGE",
        "Show the layers of an image, or all that is built on it",
        "\nwhatrequires bool Show the images and layers built on it instead\n",
        ("pyman image tree debian", "pyman image tree --whatrequires debian"),
        most=1,
    ),
    "tag": _C("tag", "IMAGE NAME...", "Give an image further names", "", ("pyman tag debian:13 localhost/base",)),
    "untag": _C("untag", "IMAGE [NAME...]", "Take names from an image", "", ("pyman untag localhost/base",)),
}
COMMANDS: dict[tuple[str, ...], Command] = {
    **{("image", name): command for name, command in _IMAGE.items()},
    **{(name,): _IMAGE[name] for name in ("history", "import", "load", "pull", "push", "save", "tag", "untag")},
    ("images",): _IMAGE["ls"],
    ("rmi",): _IMAGE["rm"],
}
ALIASES = {
    ("image", "umount"): ("image", "unmount"),
    ("image", "list"): ("images",),
    ("image", "remove"): ("rmi",),
}
