"""A store on a file system that cannot hold it is refused before anything is put there, with what is missing and what to change."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.conftest import Run, command

SCRIPT = """
mount -t %(kind)s none "$STORE" || exit 1
chmod 700 "$STORE"
p() { %(command)s "$@"; }
export PYMAN_GRAPHROOT="$STORE"
p pull -q oci:"$DEMO":latest; echo "pull $?"
p import -q "$STORE/nothing"; echo "import $?"
p run --rm oci:"$DEMO":latest true; echo "run $?"
p doctor | grep -A 1 '^ *FAIL.*store\\|store.*fail'; ls -A "$STORE" "$STORE/tmp" "$STORE/trash" 2>/dev/null
"""


@pytest.mark.parametrize(
    ("kind", "why"), [("tmpfs -o noexec", "mounted noexec"), ("ramfs", "no extended attributes"), ("tmpfs -o ro", "read-only")]
)
def test_unsuitable(pyman: Run, layout: str, base: Path, kind: str, why: str) -> None:
    store = base / "unsuitable"
    store.mkdir(exist_ok=True)
    env = {"STORE": str(store), "DEMO": layout}
    done = pyman("unshare", "sh", "-c", SCRIPT % {"kind": kind, "command": shlex.join(command())} + "exec 2>&1", env=env)
    assert "Traceback" not in done.stderr
    for verb in ("pull", "import", "run"):
        assert f"{verb} 125\n" in done.stdout
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 3, done.stderr
    if "ro" not in kind.split():
        assert all(line.startswith(f"Error: cannot keep images and containers in {store}: ") and why in line for line in errors), errors
        assert done.stderr.count("export XDG_DATA_HOME=DIRECTORY, or pyman --root DIRECTORY") >= 3
        assert why in done.stdout, done.stdout  # doctor
    assert "layers" not in done.stdout.split()


def test_suitable(pyman: Run, layout: str, base: Path) -> None:
    """The trial leaves nothing behind, and is made once."""
    store = base / "suitable"
    env = {"PYMAN_GRAPHROOT": str(store)}
    pyman("pull", "-q", f"oci:{layout}:latest", env=env)
    assert not list((store / "tmp").iterdir()) and not list((store / "trash").iterdir())
    store.joinpath("tmp").chmod(0o500)  # no second trial could be made
    pyman("pull", "-q", f"oci:{layout}:latest", env=env)
    store.joinpath("tmp").chmod(0o700)
    pyman("system", "reset", "-f", env={**env, "PYMAN_RUNROOT": str(base / "suitable-run")})
