"""Text of images and containers on a terminal, secrets, and sizes that somebody else chooses."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until
from tests.integration.test_pull_resumed import write_layout

NONE = ("--network", "none")
EVIL = "\x1b[2Jforged\x1b]0;title\x07\u202etxt.exe\x9b31m"


def on_terminal(base: Path, *args: str) -> str:
    """What the command writes when its stdout and stderr are a terminal."""
    master, slave = pty.openpty()
    child = subprocess.Popen([*command(), *args], env=environment(base), stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    os.close(slave)
    data = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        data += part
    child.wait()
    os.close(master)
    return data.decode("utf-8", "replace")


def clean(text: str) -> bool:
    return not any(char in text for char in "\x1b\x07\x9b\u202e")


def test_nothing_of_a_container_writes_to_the_terminal(pyman: Run, image: str, base: Path) -> None:
    pyman("run", "--name", "evil", *NONE, "-l", f"label={EVIL}", image, "printf", EVIL + "\\n")
    for args in (
        ("logs", "evil"),
        ("ps", "-a"),
        ("ps", "-a", "--no-trunc"),
        ("ps", "-a", "--format", "{{.Labels}} {{.Command}}"),
        ("ps", "-a", "--format", "table {{.Command}}\t{{.Labels}}"),
        ("inspect", "evil"),
        ("inspect", "evil", "--format", "{{.Config.Labels}}"),
        ("inspect", "evil", "--format", "{{json .Config.Labels}}"),
    ):
        text = on_terminal(base, *args)
        assert "forged" in text or args[:2] == ("ps", "-a"), args
        assert clean(text), (args, text)
    assert EVIL.encode() in pyman("logs", "evil").stdout.encode("utf-8", "surrogateescape")
    pyman("rm", "evil")


@pytest.mark.parametrize(
    "args", [("run", "--rm", EVIL), ("inspect", EVIL), ("start", EVIL), ("run", "--network", EVIL, "x"), (EVIL,), ("--" + EVIL,)]
)
def test_errors_are_escaped(base: Path, pyman: Run, args: tuple[str, ...]) -> None:
    assert clean(on_terminal(base, *args))


def test_an_error_that_quotes_the_image_is_escaped(pyman: Run, image: str, base: Path) -> None:
    text = on_terminal(base, "run", "--rm", *NONE, "-w", "/" + EVIL, image, "/" + EVIL)
    assert clean(text) and "forged" in text


def test_secrets_stay_where_the_user_put_them(pyman: Run, image: str, base: Path) -> None:
    secret = "s3cr3t-of-the-test"
    (base / "secret.env").write_text(f"TOKEN={secret}\n")
    pyman("run", "-d", "--name", "quiet", "--env-file", str(base / "secret.env"), image, "sleep", "600")
    for entry in os.listdir("/proc"):
        try:
            line = Path(f"/proc/{entry}/cmdline").read_bytes() if entry.isdigit() else b""
        except OSError:
            continue
        assert secret.encode() not in line, line
    shown = pyman("ps", "-a", "--no-trunc", "--format", "json").stdout + pyman("logs", "quiet").stdout
    failed = pyman("--log-level=debug", "exec", "quiet", "no-such-program", rc=127)
    assert secret not in shown + failed.stdout + failed.stderr
    # The container's own configuration has it, for this user only.
    found = subprocess.run(["grep", "-rl", secret, str(base / "home"), str(base / "run")], capture_output=True, text=True, check=False)
    for path in found.stdout.split():
        assert os.path.basename(path) in ("config.json", "spec.json") and os.stat(path).st_mode & 0o077 == 0, path
    pyman("rm", "-f", "-t", "0", "quiet")


def test_a_line_of_ten_megabytes(pyman: Run, image: str) -> None:
    script = "head -c 10000000 /dev/zero | tr '\\0' x; sleep 600"
    pyman("run", "-d", "--name", "long", *NONE, image, "sh", "-c", script)
    until(lambda: len(pyman("logs", "long").stdout) >= 10000000)
    text = pyman("logs", "long").stdout
    assert text.strip("\n") == "x" * 10000000
    monitor = pyman("inspect", "long", "--format", "{{.State.ConmonPid}}").stdout.strip()
    peak = next(line for line in Path(f"/proc/{monitor}/status").read_text().split("\n") if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 4096, peak
    pyman("rm", "-f", "-t", "0", "long")


def test_labels_of_two_megabytes(pyman: Run, image: str, base: Path) -> None:
    (base / "labels").write_text("big=" + "y" * (2 << 20) + "\n")
    pyman("run", "-d", "--name", "big", *NONE, "--label-file", str(base / "labels"), image, "sleep", "600")
    assert len(pyman("inspect", "big", "--format", "{{.Config.Labels.big}}").stdout) > 2 << 20
    pyman("stop", "-t", "0", "big")
    pyman("ps", "-a")
    pyman("rm", "big")


def test_a_configuration_of_ten_megabytes_is_refused(pyman: Run, base: Path) -> None:
    path = base / "huge-config"
    if not path.exists():
        write_layout(path, 1000)
        blobs = path / "blobs/sha256"
        import hashlib

        index = json.loads((path / "index.json").read_text())
        manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
        config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
        config["config"] = {"Labels": {"big": "z" * (10 << 20)}}

        def add(value: object) -> tuple[str, int]:
            data = json.dumps(value).encode()
            digest = hashlib.sha256(data).hexdigest()
            (blobs / digest).write_bytes(data)
            return f"sha256:{digest}", len(data)

        manifest["config"]["digest"], manifest["config"]["size"] = add(config)
        index["manifests"][0]["digest"], index["manifests"][0]["size"] = add(manifest)
        (path / "index.json").write_text(json.dumps(index))
    assert "bytes" in pyman("pull", f"oci:{path}:latest", rc=125).stderr


@pytest.mark.parametrize("variable", ["PYMAN_GRAPHROOT", "PYMAN_RUNROOT"])
def test_directories_of_others_are_refused(pyman: Run, base: Path, variable: str) -> None:
    for name, mode in (("open-to-group", 0o770), ("open-to-all", 0o777)):
        path = base / name
        path.mkdir(exist_ok=True)
        path.chmod(mode)
        done = pyman("run", "--rm", *NONE, "demo", "true", rc=125, env={variable: str(path)})
        assert "refusing to use directory" in done.stderr, done.stderr
    foreign = base / "foreign"
    foreign.mkdir(exist_ok=True)
    pyman("unshare", "chown", "33:33", str(foreign))
    assert "refusing" in pyman("run", "--rm", *NONE, "demo", "true", rc=125, env={variable: str(foreign)}).stderr
    pyman("unshare", "rm", "-rf", str(foreign))


@pytest.mark.parametrize("path", ["/proc/self/fd/3", "/proc/self/fd/9", "/proc/1/cwd", "/proc/self/root", "/leads/out", "relative"])
def test_working_directories_of_exec(pyman: Run, image: str, path: str) -> None:
    pyman("run", "-d", "--name", "cwd", *NONE, image, "sh", "-c", "mkdir /leads; ln -s /proc/self/fd/5 /leads/out; sleep 600")
    pyman("exec", "cwd", "sh", "-c", "while ! test -L /leads/out; do :; done")
    leaked = [os.open("/etc", os.O_RDONLY) for _ in range(20)]
    for fd in leaked:
        os.set_inheritable(fd, True)
    done = pyman("exec", "-w", path, "cwd", "sh", "-c", "pwd; cat shadow hostname", rc=None)
    for fd in leaked:
        os.close(fd)
    assert done.returncode in (125, 126, 127, 255) and done.stdout == "", done
    pyman("rm", "-f", "-t", "0", "cwd")
