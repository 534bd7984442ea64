"""image scp through a real ssh server of the same account with a store of its own; image mount inside unshare."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command
from tests.integration.test_registry import free_port


@pytest.fixture(scope="module")
def far(base: Path) -> Iterator[dict[str, str]]:
    """The environment in which `far:PORT` is reached by ssh; there, pyman has a store of its own. FAR_PORT is the port."""
    place = base / "ssh"
    (place / "bin").mkdir(parents=True)
    (place / "near").mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], check=True)
    (place / "bin/pyman").write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    (place / "near/ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {place}/config "$@"\n')
    for script in ("bin/pyman", "near/ssh"):
        (place / script).chmod(0o755)
    port = free_port()
    variables = f"PYMAN_GRAPHROOT={base}/far-store PYMAN_RUNROOT={base}/far-run PATH={place}/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    settings = (
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\nPidFile none\n"
        f"UsePAM no\nStrictModes no\nPrintMotd no\nSetEnv {variables}\n"
    )
    (place / "sshd_config").write_text(settings)
    (place / "config").write_text(
        f"Host far\n  Hostname 127.0.0.1\n  IdentityFile {place}/user\nHost *\n  StrictHostKeyChecking no\n"
        f"  UserKnownHostsFile {place}/known\n  LogLevel ERROR\n  BatchMode yes\n"
    )
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(place / "sshd_config")], stderr=subprocess.PIPE, text=True)
    assert server.stderr
    for line in server.stderr:
        if "listening" in line:
            break
    yield {"PATH": f"{place}/near:/usr/bin:/bin:/usr/sbin:/sbin", "FAR_PORT": str(port)}
    server.kill()
    server.wait()


def test_scp(pyman: Run, image: str, base: Path, far: dict[str, str]) -> None:
    port = far["FAR_PORT"]
    there = {"PYMAN_GRAPHROOT": f"{base}/far-store", "PYMAN_RUNROOT": f"{base}/far-run"}
    identity = pyman("images", "-q", "--no-trunc", image).stdout
    assert pyman("image", "scp", "-q", image, f"far:{port}::", env=far).stdout == f"Loaded image: {image}\n"
    assert pyman("images", "-q", "--no-trunc", env=there).stdout == identity
    # With another name, and back under it, in the other format.
    pyman("image", "scp", "--format", "oci-archive", image, f"far:{port}::localhost/other:2", env=far)
    assert pyman("image", "exists", "localhost/other:2", env=there).returncode == 0
    pyman("rmi", "demo", env=there)
    assert "localhost/other:2" in pyman("image", "scp", f"far:{port}::other:2", env=far).stdout
    assert pyman("inspect", "-f", "{{.Id}}", "localhost/other:2").stdout.strip() == identity.strip().removeprefix("sha256:")
    assert pyman("image", "scp", f"far:{port}::other:2", f"far:{port}::again", env=far).stdout.startswith("Loaded image")
    assert pyman("image", "exists", "localhost/again", env=there).returncode == 0
    pyman("rmi", "localhost/other:2")
    # What goes wrong is said by the side where it does.
    refused = [
        ((image,), "must specify a destination"),
        (("no-such", f"far:{port}::"), "no image no-such in the local store"),
        ((f"far:{port}::no-such",), "no image no-such in the local store"),
        ((image, "far:1::"), "ssh has failed"),
        (("--", image, "-oProxyCommand=id::"), "invalid place"),
        ((image, "root@localhost::"), "sudo -iu root pyman load"),
        (("::",), "invalid place"),
        (("--format", "oci-dir", image, "far::"), "must be one of docker-archive, oci-archive"),
    ]
    for args, text in refused:
        done = pyman("image", "scp", *args, env=far, rc=125)
        assert text in done.stderr and "Traceback" not in done.stderr, (args, done.stderr)


def test_mount(pyman: Run, image: str, base: Path) -> None:
    for verb in ("mount", "unmount"):
        text = pyman("image", verb, image, rc=125).stderr
        assert f'cannot run command "pyman image {verb}" in rootless mode, must execute `pyman unshare` first' in text
    assert "you may not pass any image names" in pyman("image", "mount", "-a", image, rc=125).stderr
    assert "must be specified" in pyman("image", "unmount", rc=125).stderr
    run = shlex.join(command())
    script = f"""set -eu
        where=$({run} image mount {image}); test -x "$where/bin/busybox"
        ! touch "$where/file" 2>/dev/null; test "$({run} image mount {image})" = "$where"
        {run} image mount; {run} image mount --format json
        cd "$where"; ! {run} image unmount {image} 2>&1; cd /
        {run} image umount {image}; test -z "$(ls "$where")"
        {run} image unmount {image}; {run} image mount --all >/dev/null; {run} image unmount --all --force
        test -z "$({run} image mount)"
        """
    text = pyman("unshare", "sh", "-c", script).stdout
    record = json.loads(pyman("image", "inspect", image).stdout)[0]
    rows = json.loads(text[text.index("[") : text.index("]\n", text.index('"mountpoint"')) + 1])
    assert rows[0]["id"] == record["Id"] and rows[0]["Repositories"] == [image] and rows[0]["mountpoint"].endswith("/merged")
    assert f"{image}  {rows[0]['mountpoint']}\n" in text and "Device or resource busy" in text
    assert text.endswith(f"{record['Id']}\n{record['Id']}\n")
    events = pyman("events", "--stream=false", "--filter", "type=image", "--format", "{{.Status}}").stdout.split()
    assert events.count("mount") >= 2 and events.count("unmount") == events.count("mount")
    # Nothing is left mounted, and the store can be used.
    assert pyman("run", "--rm", "--network", "none", image, "echo", "fine").stdout == "fine\n"
