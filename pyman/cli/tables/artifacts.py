"""The commands that work with artifacts. Data only."""

from __future__ import annotations

from pyman.cli.table import Command
from pyman.cli.tables.images import SIGN_BY

_ACCESS = """
authfile str File with the registry credentials
cert-dir str Directory with the registry's certificates
creds str USER[:PASSWORD] for the registry
quiet,q bool Print no progress
retry int Times a failed request is tried again
retry-delay str Time between two tries
tls-verify bool=true Require a verified TLS connection
"""
ADD = """
annotation list KEY=VALUE: note at the artifact and its files
append,a bool Add the files to an artifact that is there
file-type str Media type of the files (default: by their content)
replace bool Take the place of an artifact that is there
type str Type of the artifact
"""
EXTRACT = """
digest str Only the file with this digest
title str Only the file with this name
"""
LS = """
format str json, table TEMPLATE or a Go template
no-trunc bool Do not shorten digests
noheading,n bool Print no heading
"""
PUSH = f"""
digestfile str Write the digest of what was pushed into this file
signature-policy str Policy file: checked for mistakes; a push has nothing to decide by it
{SIGN_BY}{_ACCESS.lstrip()}"""
RM = """
all,a bool Remove all artifacts
ignore,i bool No error for artifacts that do not exist
"""
_C = Command
_ARTIFACT = {
    "add": _C(
        "artifact_add",
        "NAME PATH [PATH...]",
        "Make an artifact of files, or add files to one",
        ADD,
        ("pyman artifact add quay.io/me/model:1 model.bin", "pyman artifact add --append quay.io/me/model:1 README.md"),
    ),
    "extract": _C(
        "artifact_extract",
        "NAME PATH",
        "Write an artifact's files into a directory, or one of them into a file",
        EXTRACT,
        ("pyman artifact extract quay.io/me/model:1 ./model", "pyman artifact extract --title README.md quay.io/me/model:1 readme"),
        most=2,
    ),
    "inspect": _C(
        "artifact_inspect",
        "NAME",
        "Show an artifact's manifest",
        "\nformat,f str json or a Go template\n",
        ("pyman artifact inspect quay.io/me/model:1",),
        most=1,
    ),
    "ls": _C("artifact_ls", "", "List artifacts", LS, ("pyman artifact ls",), most=0),
    "pull": _C(
        "artifact_pull",
        "NAME",
        "Bring an artifact from its registry into the store",
        f"\ndecryption-key list Key for encrypted artifacts !! encrypted images are not supported{_ACCESS}",
        ("pyman artifact pull quay.io/me/model:1",),
        most=1,
    ),
    "push": _C("artifact_push", "NAME", "Bring an artifact to its registry", PUSH, ("pyman artifact push quay.io/me/model:1",), most=1),
    "rm": _C("artifact_rm", "NAME...", "Remove artifacts", RM, ("pyman artifact rm quay.io/me/model:1", "pyman artifact rm --all")),
}
COMMANDS: dict[tuple[str, ...], Command] = {("artifact", name): command for name, command in _ARTIFACT.items()}
ALIASES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("artifact", "list"): ("artifact", "ls"),
    ("artifact", "remove"): ("artifact", "rm"),
}
