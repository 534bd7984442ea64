"""`generate systemd`: units that systemd understands, word for word the container's command."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from pyman.systemd import words
from tests.conftest import Run


def exec_start(unit: str) -> list[str]:
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    return words.split(line.partition("=")[2])


def test_units(pyman: Run, image: str, base: Path) -> None:
    strange = ["-e", "A=b  c", "--label", "x=y z$q%i\n'\"\\"]
    options = ["-dit", "--restart=always", "--network", "none", "-p8080:80", *strange, "--cidfile", str(base / "gs.cid"), "--replace"]
    pyman("run", "--name", "gs", *options, image, "sh", "-c", 'echo "hi" $HOME %n; sleep 600')
    identifier = pyman("inspect", "--format", "{{.Id}}", "gs").stdout.strip()
    new = pyman("generate", "systemd", "--new", "--name", "gs").stdout
    kept = ["-it", "--network", "none", "-p8080:80", "-e", "A=b  c", "--label", "x=y z$$q%%i\n'\"\\"]
    run = ["run", "--cidfile=%t/%n.ctr-id", "--cgroups=no-conmon", "--rm", "--sdnotify=conmon", "--replace", "-d", "--name", "gs"]
    assert exec_start(new)[1:] == [*run, *kept, image, "sh", "-c", 'echo "hi" $$HOME %%n; sleep 600']
    assert (
        "\nRestart=always\n" in new
        and "\nTimeoutStopSec=70\n" in new
        and "\nType=notify\n" in new
        and new.startswith("# container-gs.service\n")
    )
    more = ["--restart-policy", "on-abort", "--restart-sec", "7", "--stop-timeout", "5", "--start-timeout", "9", "--container-prefix", "cc"]
    more += [
        "--separator",
        "_",
        "--wants",
        "a.service",
        "--wants",
        "b.service",
        "--after",
        "c.service",
        "--requires",
        "d.service",
        "-e",
        "F=g h%",
    ]
    full = json.loads(pyman("generate", "systemd", "--new", "--name", "--no-header", "--format", "json", *more, "gs").stdout)["cc_gs"]
    for line in ("Restart=on-abort", "RestartSec=7", "TimeoutStartSec=9", "TimeoutStopSec=65", 'Environment="F=g h%%"', "Wants=a.service b.service",
                 "After=c.service", "Requires=d.service", "Environment=PODMAN_SYSTEMD_UNIT=%n"):  # fmt: skip
        assert f"\n{line}\n" in full
    assert full.startswith("[Unit]\n")
    template = pyman("generate", "systemd", "--template", "--name", "gs").stdout
    assert "# container-gs@.service" in template and "gs-%i" in exec_start(template)
    old = pyman("generate", "systemd", "gs")
    assert exec_start(old.stdout)[1:] == ["start", identifier] and "restart policy of its own" in old.stderr
    written = pyman("generate", "systemd", "--files", "--new", "--name", "gs").stdout.strip()
    assert written == str(base / "container-gs.service") and Path(written).read_text() == new
    (base / "container-old.service").write_text(old.stdout)
    for name in ("container-gs.service", "container-old.service"):
        path = base / name
        path.write_text(path.read_text().replace(exec_start(path.read_text())[0], "/bin/true"))
        done = subprocess.run(["systemd-analyze", "verify", "--user", "--man=no", path], capture_output=True, text=True, check=False)
        ours = [line for line in done.stderr.splitlines() if name in line]
        assert not ours, done.stderr
    for args, why in ((["nope"], "no container"), (["--restart-policy", "xx", "gs"], "restart policy"), (["--format", "x", "gs"], "json"),
                      ([], "no container"), (["--separator", "/", "gs"], "file's name")):  # fmt: skip
        assert why in pyman("generate", "systemd", *args, rc=125).stderr
    pyman("rm", "-f", "-t", "0", "gs")


def test_how_a_container_was_made_is_kept(pyman: Run, image: str, base: Path) -> None:
    """Options before the command belong to all commands of the unit; a policy's tries are the unit's; a unit needs a notification."""
    made = ["--root", str(base / "store%"), "--cgroup-manager=cgroupfs"]
    pyman(*made, "pull", "-q", f"oci:{base}/demo:latest")
    options = ["--restart=on-failure:3", "--sdnotify", "ignore", "--log-level", "error", "--network=none", "--health-cmd", "true"]
    pyman(*made, "container", "create", "--name=run", *options, image, "--log-level")
    new = pyman(
        *made, "generate", "systemd", "--new", "run", "-e", "ONE", "-e", "TW*", "-e", "NONE", env={"ONE": "1", "TWO": "2 x%"}
    ).stdout
    before = [word.replace("%", "%%") for word in made]
    start = exec_start(new)[1:]
    assert start[:4] == [*before, "run"] and "--sdnotify=conmon" in start and not {"--sdnotify", "ignore"} & set(start)
    assert start[-7:] == ["--log-level", "error", "--network=none", "--health-cmd", "true", image, "--log-level"]
    assert new.split("[Service]")[0].count("StartLimitBurst=3\n") == 1 and "\nRestart=on-failure\n" in new
    assert '\nEnvironment=ONE=1\nEnvironment="TWO=2 x%%"\n' in new and "NONE" not in new
    for key in ("ExecStop", "ExecStopPost"):
        line = next(line for line in new.splitlines() if line.startswith(key + "="))
        assert words.split(line.partition("=")[2])[1:4] == before
    pyman(*made, "rm", "-f", "run")


def test_other_spellings(pyman: Run, image: str) -> None:
    """Options under their older names, and letters with a value of true or false, are kept as they were written."""
    options = ["--network", "none", "--healthcheck-command", "true", "--healthcheck-retries=2", "-i=true", "-td=true", "-d=true"]
    pyman("run", "--name", "spelled", *options, image, "sleep", "600")
    new = pyman("generate", "systemd", "--new", "--name", "spelled").stdout
    assert exec_start(new)[-12:] == [*["--name", "spelled"], *options[:-2], "-t", image, "sleep", "600"]
    pyman("rm", "-f", "-t", "0", "spelled")
