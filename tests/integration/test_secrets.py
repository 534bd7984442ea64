"""Secrets: the commands, how containers get them, and that their values are nowhere else."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyman import stages
from tests.conftest import Run, command, environment
from tests.integration.test_stages import contents, kill_at

NONE = ("--rm", "--network", "none")
VALUE = "open-sesame-31415926535"


@pytest.fixture(autouse=True)
def no_secrets(pyman: Run) -> Iterator[None]:
    pyman("secret", "rm", "--all", rc=None)
    yield
    pyman("secret", "rm", "--all", rc=None)


def create(pyman: Run, name: str, value: str = VALUE, *options: str) -> str:
    return pyman("secret", "create", *options, name, "-", input=value).stdout.strip()


def test_create_ls_inspect_exists_rm(pyman: Run, base: Path) -> None:
    (base / "value").write_text(VALUE)
    first = pyman("secret", "create", "one", str(base / "value")).stdout.strip()
    assert len(first) == 25
    second = create(pyman, "two", "x", "-l", "a=b", "--label", "c")
    third = pyman("secret", "create", "--env", "three", "VARIABLE", env={"VARIABLE": "y"}).stdout.strip()
    assert "name in use" in pyman("secret", "create", "one", str(base / "value"), rc=125).stderr
    assert pyman("secret", "create", "--ignore", "one", str(base / "value")).stdout.strip() == first
    assert pyman("secret", "ls", "-q").stdout.split() == [first, second, third]
    listed = pyman("secret", "ls", "--filter", "name=^t").stdout.split("\n")
    assert listed[0].split() == ["ID", "NAME", "DRIVER", "CREATED", "UPDATED"] and listed[1].startswith(
        f"{second}  two         file        "
    )
    assert pyman("secret", "ls", "--filter", f"id={third[:6]}", "--format", "{{.Name}} {{.Driver}}").stdout == "three file\n"
    assert json.loads(pyman("secret", "ls", "--format", "json").stdout)[0]["Name"] == "one"
    value = json.loads(pyman("secret", "inspect", "two").stdout)[0]
    assert value["ID"] == second and value["Spec"]["Labels"] == {"a": "b", "c": ""} and "SecretData" not in value
    assert value["Spec"]["Driver"]["Name"] == "file" and value["CreatedAt"] == value["UpdatedAt"]
    assert pyman("secret", "inspect", "--showsecret", "one", "--format", "{{.Spec.Name}}={{.SecretData}}").stdout == f"one={VALUE}\n"
    pretty = pyman("secret", "inspect", "--pretty", "two").stdout.split("\n")
    assert pretty[:4] == [f"ID:              {second}", "Name:              two", "Labels:", " - a=b"]
    create(pyman, "forged", "v", "-l", "a=b\nDriver: none")
    assert " - a=b\\nDriver: none" in pyman("secret", "inspect", "--pretty", "forged").stdout.split("\n")
    pyman("secret", "rm", "forged")
    assert pyman("secret", "exists", third[:8]) and pyman("secret", "exists", "nope", rc=1)
    assert pyman("secret", "inspect", "one", "nope", "--format", "{{.Spec.Name}}", rc=125).stdout == "one\n"
    newer = create(pyman, "one", "z", "--replace")
    again = json.loads(pyman("secret", "inspect", "--showsecret", "one").stdout)[0]
    assert newer != first and again["SecretData"] == "z" and again["CreatedAt"] < again["UpdatedAt"]
    assert pyman("secret", "rm", "one", "nope", rc=125).stdout.strip() == newer
    assert pyman("secret", "rm", "--ignore", "nope").stdout == ""
    assert pyman("secret", "rm", "--all").stdout.split() == [second, third]
    for arguments, reason in (
        (("create", "--ignore", "--replace", "x", "-"), "together"),
        (("create", "x"), "arguments"),
        (("create", "x", str(base / "nowhere")), "No such file"),
        (("create", "x", str(base)), "directory"),
        (("create", "--env", "x", "UNSET"), "not set"),
        (("create", "a/b", "-"), "invalid secret name"),
        (("create", "a=b", "-"), "invalid secret name"),
        (("create", "a" * 254, "-"), "invalid secret name"),
        (("create", "-d", "vault", "x", "-"), "invalid driver"),
        (("create", "-d", "shell", "x", "-"), "missing config value"),
        (("create", "--driver-opts", "foo=bar", "x", "-"), "no option 'foo'"),
        (("create", "x", "-"), "larger than 0"),
        (("ls", "--filter", "label=a"), "no filter"),
        (("rm",), "name at least one"),
    ):
        given = "" if arguments == ("create", "x", "-") else "v"
        assert reason in pyman("secret", *arguments, rc=125, input=given).stderr, arguments
    assert "512000" in pyman("secret", "create", "x", "-", rc=125, input="v" * 512_000).stderr
    create(pyman, "big", "v" * 511_999)
    assert pyman("secret", "inspect", "--showsecret", "big", "--format", "{{len .SecretData}}").stdout == "511999\n"


def test_a_name_that_is_an_id(pyman: Run) -> None:
    """It means the secret of that id, as everywhere else; no other one gets it."""
    found = pyman("secret", "create", "first", "-", input="AAA").stdout.strip()
    done = pyman("secret", "create", found, "-", input="BBB", rc=125)
    assert found in done.stderr and "secret name in use" in done.stderr
    assert pyman("secret", "create", "--ignore", found, "-", input="BBB").stdout.strip() == found
    assert pyman("secret", "inspect", "--showsecret", "first", "-f", "{{.SecretData}}").stdout == "AAA\n"
    changed = pyman("secret", "create", "--replace", found, "-", input="CCC").stdout.strip()
    assert pyman("secret", "ls", "--format", "{{.ID}} {{.Name}}").stdout == f"{changed} first\n"
    assert pyman("secret", "inspect", "--showsecret", "first", "-f", "{{.SecretData}}").stdout == "CCC\n"
    # The beginning of one is a name like others.
    pyman("secret", "create", changed[:10], "-", input="DDD")
    assert pyman("secret", "inspect", "--showsecret", changed[:10], "-f", "{{.SecretData}}").stdout == "DDD\n"
    pyman("secret", "rm", "first", changed[:10])


def test_in_a_container(pyman: Run, image: str) -> None:
    create(pyman, "s1")
    create(pyman, "s2", "second\nline\n")
    options = ["--secret", "s1", "--secret", "s2,target=/my/own/place,uid=1,gid=2,mode=0400", "--secret", "source=s1,target=other"]
    options += ["--secret", "s2,type=env,target=TWO", "--secret", "s1,type=env"]
    script = """cat /run/secrets/s1 /run/secrets/other /my/own/place; echo "$s1,$TWO."; stat -c '%a %u:%g' /run/secrets/s1 /my/own/place
        ls /run/secrets; echo x > /run/secrets/s1 || echo closed; grep -c 'ramfs ro' /proc/mounts"""
    done = pyman("run", *NONE, *options, image, "sh", "-c", script, rc=None)
    expected = f"{VALUE}{VALUE}second\nline\n{VALUE},second\nline\n.\n444 0:0\n400 1:2\nother\ns1\nclosed\n3\n"
    assert done.stdout == expected, done.stderr
    assert pyman("run", *NONE, "--user", "33", "--secret", "s1", image, "cat", "/run/secrets/s1").stdout == VALUE
    assert (
        pyman("run", *NONE, "--userns", "keep-id", "--secret", "s1,uid=3", image, "sh", "-c", "stat -c %u /run/secrets/s1").stdout == "3\n"
    )
    assert pyman("run", *NONE, "--read-only", "--secret", "s1", image, "cat", "/run/secrets/s1").stdout == VALUE
    assert pyman("run", *NONE, "--tmpfs", "/run", "--secret", "s1", image, "cat", "/run/secrets/s1").stdout == VALUE
    assert pyman("run", *NONE, "--runtime", "crun", "--secret", "s1", image, "cat", "/run/secrets/s1").stdout == VALUE
    assert "in plain" in pyman("run", *NONE, "--runtime", "crun", "--secret", "s1,type=env", image, "true", rc=125).stderr
    for spec, reason in (
        ("nope", "no such secret"),
        ("target=x", "no such secret"),
        ("s1,type=env,uid=3", "cannot be set"),
        ("s1,type=foo", "type foo is invalid"),
        ("s1,foo=foo", "option foo=foo is invalid"),
        ("s1,foo", "option=value"),
        ("s1,mode=9", "mode 9 invalid"),
        ("s1,uid=-1", "uid -1 invalid"),
        ("s1,uid=99999999999", "invalid"),
        ("type=env,target=x", "names no secret"),
    ):
        assert reason in pyman("run", *NONE, "--secret", spec, image, "true", rc=125).stderr, spec
    assert "have the target" in pyman("run", *NONE, "--secret", "s1", "--secret", "s2,target=s1", image, "true", rc=125).stderr


def test_a_container_keeps_what_it_was_made_with(pyman: Run, image: str) -> None:
    create(pyman, "s", "before")
    script = "cat /run/secrets/s; echo $V"
    options = ("--network", "none", "--secret", "s", "--secret", "s,type=env,target=V")
    pyman("create", "--name", "c", *options, image, "sh", "-c", script)
    create(pyman, "s", "after", "--replace")
    assert pyman("start", "-a", "c").stdout == "beforebefore\n"
    pyman("secret", "rm", "s")
    assert pyman("start", "-a", "c").stdout == "beforebefore\n"
    pyman("rm", "c")


def found(places: list[Path], needles: list[bytes]) -> list[str]:
    """The files below `places` that hold one of `needles`, and the processes that have one in their arguments."""
    hits = []
    for place in places:
        for top, _, files in os.walk(place):
            for name in files:
                path = Path(top) / name
                try:
                    data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
                except OSError:
                    continue
                hits += [str(path) for needle in needles if needle in data]
    for entry in os.listdir("/proc"):
        try:
            line = Path(f"/proc/{entry}/cmdline").read_bytes() if entry.isdigit() else b""
        except OSError:
            continue
        hits += [f"process {entry}" for needle in needles if needle in line]
    return hits


def test_values_are_nowhere_else(pyman: Run, image: str, base: Path) -> None:
    raw = VALUE.encode()
    needles = [raw, raw.hex().encode(), base64.b64encode(raw)[:-4]]
    create(pyman, "s")
    options = ("--network", "none", "--secret", "s", "--secret", "s,type=env,target=TOKEN", "--restart", "on-failure:1")
    options += ("--health-cmd", 'test "$TOKEN" = "$(cat /run/secrets/s)"', "--health-interval", "disable")
    pyman("run", "-d", "--name", "c", *options, image, "sh", "-c", "echo started; sleep 600")
    assert pyman("exec", "c", "sh", "-c", 'echo "$TOKEN"; cat /run/secrets/s').stdout == f"{VALUE}\n{VALUE}"
    assert pyman("exec", "-e", "TOKEN=other", "c", "sh", "-c", "echo $TOKEN").stdout == "other\n"
    pyman("healthcheck", "run", "c")
    places = [base / "home", base / "run"]
    assert not found(places, needles)
    (base / "home/probe").write_text(VALUE)
    assert found(places, needles) == [str(base / "home/probe")], "the search finds what is there"
    (base / "home/probe").unlink()
    shown = pyman("inspect", "c").stdout
    value = json.loads(shown)[0]["Config"]
    assert VALUE not in shown and "TOKEN=*******" in value["Env"]
    assert [(item["Name"], item["UID"], item["Mode"]) for item in value["Secrets"]] == [("s", 0, 0o444)]
    assert VALUE not in pyman("events", "--stream=false", "--since", "5m").stdout + pyman("logs", "c").stdout
    assert VALUE not in pyman("secret", "inspect", "s").stdout + pyman("secret", "ls", "--format", "json").stdout
    pyman("stop", "-t", "0", "c")
    assert not found(places, needles)
    pyman("start", "c")
    assert pyman("exec", "c", "cat", "/run/secrets/s").stdout == VALUE
    pyman("rm", "-f", "-t", "0", "c")
    # Failures say nothing either, in whatever detail.
    failed = pyman("--log-level=debug", "run", *NONE, *options[2:6], image, "/no/such/program", rc=127)
    assert VALUE not in failed.stderr + failed.stdout
    failed = pyman("run", "--network", "none", "--name", "kept", "--secret", "s,type=env,target=PATH", image, "nosuch", rc=127)
    assert VALUE not in failed.stderr and "PATH is a secret" in failed.stderr
    pyman("run", "-d", "--name", "c", "--network", "none", "--secret", "s,type=env,target=PATH", image, "/bin/sleep", "600")
    assert VALUE not in (failed := pyman("exec", "c", "nosuch", rc=127).stderr) and "PATH is a secret" in failed
    assert VALUE not in pyman("why", "kept").stdout + pyman("events", "--stream=false", "--since", "5m").stdout
    assert not found(places, needles)
    pyman("rm", "-f", "-t", "0", "c", "kept")


def test_the_key_lies_outside_of_the_store(pyman: Run, image: str, base: Path) -> None:
    create(pyman, "s")
    key = base / "home/.config/pyman/secrets.key"
    assert oct(key.stat().st_mode)[-3:] == "600"
    pyman("create", "--name", "c", "--network", "none", "--secret", "s", image, "cat", "/run/secrets/s")
    text = key.read_text()
    key.unlink()
    missing = pyman("secret", "inspect", "--showsecret", "s", rc=125).stderr
    assert "missing" in missing and str(key) in missing
    assert "missing" in pyman("start", "-a", "c", rc=125).stderr
    assert "pyman secret rm -a" in pyman("secret", "create", "second", "-", input="x", rc=125).stderr and not key.exists()
    assert "no secret" in pyman("secret", "inspect", "second", rc=125).stderr
    key.write_text("0" * 64)
    key.chmod(0o600)
    assert "another key" in pyman("secret", "inspect", "--showsecret", "s", rc=125).stderr
    key.write_text(text)
    key.chmod(0o644)
    assert "chmod 600" in pyman("secret", "inspect", "--showsecret", "s", rc=125).stderr
    key.chmod(0o600)
    assert pyman("start", "-a", "c").stdout == VALUE
    pyman("rm", "c")
    # What was changed, or belongs to another secret, is refused; another secret is none the worse.
    other = create(pyman, "other", "fine")
    store = base / "home/.local/share/pyman/secrets"
    own = json.loads(pyman("secret", "inspect", "s").stdout)[0]["ID"]
    sealed = (store / f"{own}.sealed").read_bytes()
    for changed in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:30] + bytes([sealed[30] ^ 1]) + sealed[31:], sealed[:40], b""):
        (store / f"{own}.sealed").write_bytes(changed)
        assert "damaged" in pyman("secret", "inspect", "--showsecret", "s", rc=125).stderr
    (store / f"{own}.sealed").write_bytes((store / f"{other}.sealed").read_bytes())
    assert "damaged" in pyman("secret", "inspect", "--showsecret", "s", rc=125).stderr
    (store / f"{own}.json").write_text("{")
    assert pyman("secret", "ls", "-q", rc=125).stdout.strip() == other
    assert pyman("secret", "inspect", "--showsecret", "other", "--format", "{{.SecretData}}").stdout == "fine\n"
    (store / f"{own}.json").unlink()


def test_shell_and_pass_drivers(pyman: Run, image: str, base: Path) -> None:
    kept = base / "kept-secrets"
    kept.mkdir(exist_ok=True)
    commands = f"store=cat > {kept}/$SECRET_ID,lookup=cat {kept}/$SECRET_ID,delete=rm {kept}/$SECRET_ID,list=ls {kept}"
    made = create(pyman, "own", VALUE, "-d", "shell", "--driver-opts", commands)
    assert (kept / made).read_text() == VALUE
    assert pyman("run", *NONE, "--secret", "own", image, "cat", "/run/secrets/own").stdout == VALUE
    pyman("secret", "rm", "own")
    assert not os.listdir(kept)
    broken = commands.replace("store=cat", "store=echo told >&2; exit 3; cat")
    refused = pyman("secret", "create", "-d", "shell", "--driver-opts", broken, "own", "-", input=VALUE, rc=125).stderr
    assert refused.startswith("told\n") and "the command for store ended with exit code 3" in refused
    assert VALUE not in refused and pyman("secret", "exists", "own", rc=1)
    # What a command writes to stderr is not part of pyman's own words.
    loud = commands.replace("store=cat", "store=cat >&2; exit 1; cat")
    refused = pyman("secret", "create", "-d", "shell", "--driver-opts", loud, "own", "-", input=VALUE, rc=125).stderr
    assert VALUE not in refused[refused.index("Error:") :]
    # A value that cannot be deleted is still one of a secret's.
    stuck = commands.replace("delete=", f"delete=test -e {base}/vault-is-up && ")
    made = create(pyman, "own", VALUE, "-d", "shell", "--driver-opts", stuck)
    for _ in range(2):
        assert "the command for delete ended with exit code 1" in pyman("secret", "rm", "own", rc=125).stderr
        assert pyman("secret", "ls", "-q").stdout.strip() == made
    (base / "vault-is-up").touch()
    assert pyman("secret", "rm", "own").stdout.strip() == made
    assert not os.listdir(kept) and not pyman("secret", "ls", "-q").stdout
    elsewhere = base / "elsewhere"
    made = create(pyman, "own", VALUE, "--driver-opts", f"path={elsewhere}")
    elsewhere.chmod(0o500)
    assert "cannot delete secret own" in pyman("secret", "rm", "own", rc=125).stderr
    assert pyman("secret", "ls", "-q").stdout.strip() == made
    elsewhere.chmod(0o700)
    pyman("secret", "rm", "own")
    assert not os.listdir(elsewhere)
    home = base / "gpg"
    home.mkdir(mode=0o700, exist_ok=True)
    batch = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
    subprocess.run([*batch, "--quick-generate-key", "test@localhost", "default", "default", "never"], check=True, capture_output=True)
    try:
        (base / "passwords").mkdir(exist_ok=True)
        (base / "passwords/.gpg-id").write_text("test@localhost\n")
        options = f"root={base}/passwords,gpghomedir={home}"
        made = create(pyman, "gpg", VALUE, "-d", "pass", "--driver-opts", options)
        assert VALUE.encode() not in (base / f"passwords/{made}.gpg").read_bytes()
        assert pyman("run", *NONE, "--secret", "gpg", image, "cat", "/run/secrets/gpg").stdout == VALUE
        pyman("secret", "rm", "gpg")
        assert not (base / f"passwords/{made}.gpg").exists()
        refused = pyman("secret", "create", "-d", "pass", "--driver-opts", f"{options},key=nobody@localhost", "x", "-", input="v", rc=125)
        assert "nobody@localhost" in refused.stderr and "No public key" in refused.stderr
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    assert ".gpg-id" in pyman("secret", "create", "-d", "pass", "--driver-opts", f"root={base}/nowhere", "x", "-", input="v", rc=125).stderr


@pytest.mark.parametrize("stage", stages.SECRET)
def test_killed(pyman: Run, base: Path, stage: str) -> None:
    """There is the old secret or the new one, and in the end no value that nobody names."""
    create(pyman, "s", "old")
    value = base / "new-value"
    value.write_text("new")
    assert kill_at(base, stage, "secret", "create", "--replace", "s", str(value)) != 0
    shown = pyman("secret", "inspect", "--showsecret", "s", "--format", "{{.SecretData}}").stdout
    assert shown == ("old\n" if stage == "secret:stored" else "new\n")
    assert len(pyman("secret", "ls", "-q").stdout.split()) == 1
    time.sleep(0.001)  # "newest" is decided by the clock
    create(pyman, "s", "last", "--replace")
    assert pyman("secret", "inspect", "--showsecret", "s", "--format", "{{.SecretData}}").stdout == "last\n"
    assert len(contents(base / "home/.local/share/pyman/secrets")) == 2


def test_login_with_a_secret(pyman: Run) -> None:
    assert "no such secret" in pyman("login", "--secret", "nope", "localhost:1", rc=125).stderr


def test_a_start_beside_a_replacement(pyman: Run, image: str, base: Path) -> None:
    """A secret that is replaced all the time is there all the time."""
    create(pyman, "turning", "value")
    over = base / "over"
    script = "import os, subprocess, sys\nwhile not os.path.exists(sys.argv[1]): subprocess.run(sys.argv[2:], input=b'value', stdout=subprocess.DEVNULL)"
    words = [sys.executable, "-c", script, str(over), *command(), "secret", "create", "--replace", "turning", "-"]
    clients = [subprocess.Popen(words, env=environment(base)) for _ in range(3)]
    try:
        for _ in range(40):
            assert pyman("secret", "inspect", "--showsecret", "turning", "--format", "{{.SecretData}}").stdout == "value\n"
    finally:
        over.touch()
        for client in clients:
            client.wait()
        over.unlink()
        pyman("secret", "rm", "turning")
