"""Logging in, searching, registries.conf and certs.d against real registries, with TLS and passwords."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.test_registry import copy, plain_registry, start_registry


class Secure:
    """A registry with TLS and a password; `ca` is its certificate."""

    def __init__(self, address: str, ca: Path) -> None:
        self.address = address
        self.ca = ca


@pytest.fixture(scope="module")
def secure(base: Path, layout: str) -> Iterator[Secure]:
    directory = base / "secure-login"
    directory.mkdir()
    key, cert, users = (directory / name for name in ("key.pem", "cert.pem", "htpasswd"))
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(key), "-out", str(cert), *subject]
    subprocess.run(command, check=True, capture_output=True)
    users.write_text(subprocess.run(["htpasswd", "-Bbn", "me", "pass:word"], check=True, capture_output=True, text=True).stdout)
    settings = {
        "http": {"tls": {"certificate": str(cert), "key": str(key)}},
        "auth": {"htpasswd": {"realm": "test", "path": str(users)}},
    }
    process, address = start_registry(directory, settings)
    for name in ("team/demo:1", "team/demo:2", "other:1"):
        copy(layout, f"docker://{address}/{name}", "--dest-tls-verify=false", "--dest-creds", "me:pass:word")
    yield Secure(address, cert)
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def plain(base: Path, layout: str) -> Iterator[str]:
    with plain_registry(base / "plain", layout, "mirrored/team/demo:1", "demo:1") as address:
        yield address


@pytest.fixture
def dead() -> Iterator[str]:
    """An address of this machine where nobody listens, and nobody else can."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
def trusted(base: Path, secure: Secure) -> Iterator[Path]:
    """The registry's certificate lies in the user's certs.d."""
    directory = base / "home/.config/containers/certs.d" / secure.address
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_bytes(secure.ca.read_bytes())
    yield directory
    (directory / "ca.crt").unlink()
    directory.rmdir()


def test_login_stores_what_was_checked_and_says_where(pyman: Run, base: Path, secure: Secure, trusted: Path) -> None:
    assert "not logged into" in pyman("login", "--get-login", secure.address, rc=125).stderr
    wrong = pyman("login", "-u", "me", "--password-stdin", secure.address, input="wrong\n", rc=125)
    assert "refused the user name or the password" in wrong.stderr
    file = base / "run/containers/auth.json"
    assert not file.exists()
    done = pyman("login", "-u", "me", "--password-stdin", secure.address, input="pass:word\n")
    assert done.stdout == "Login Succeeded!\n"
    assert str(file) in done.stderr and "until you log out of this machine" in done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert pyman("login", "--get-login", secure.address).stdout == "me\n"
    assert "Already logged in" in pyman("login", secure.address).stdout
    pyman("pull", "-q", f"{secure.address}/team/demo:1")
    copied = ["skopeo", "inspect", "--tls-verify=false", "--authfile", str(file), f"docker://{secure.address}/team/demo:1"]
    assert subprocess.run(copied, capture_output=True, check=False).returncode == 0
    assert "Removed login credentials" in pyman("logout", secure.address).stdout
    assert "not logged into" in pyman("logout", secure.address, rc=125).stderr
    assert "wants a user and password" in pyman("pull", f"{secure.address}/team/demo:2", rc=125).stderr


def test_login_never_waits_for_a_terminal_that_is_not_there(pyman: Run, secure: Secure) -> None:
    assert "not a terminal" in pyman("login", secure.address, rc=125).stderr
    assert "not a terminal" in pyman("login", "-u", "me", secure.address, rc=125).stderr
    assert "user name is missing" in pyman("login", "--password-stdin", secure.address, input="x", rc=125).stderr
    assert "no registry" in pyman("login", rc=125, env={"CONTAINERS_REGISTRIES_CONF": "/dev/null"}).stderr


def test_a_named_file_lasts_and_a_namespace_has_its_own_user(pyman: Run, base: Path, secure: Secure, trusted: Path) -> None:
    file = base / "kept/auth.json"
    done = pyman("login", "-u", "me", "-p", "pass:word", "--authfile", str(file), f"{secure.address}/team")
    assert "until pyman logout" in done.stderr
    assert list(json.loads(file.read_text())["auths"]) == [f"{secure.address}/team"]
    pyman("pull", "-q", "--authfile", str(file), f"{secure.address}/team/demo:1")
    pyman("pull", "--authfile", str(file), f"{secure.address}/other:1", rc=125)
    word = {"auth": "bWU6cGFzczp3b3Jk"}  # me:pass:word
    for key in (f"https://{secure.address}/v1/", f"http://{secure.address}", f"https://{secure.address}/v2"):
        file.write_text(json.dumps({"auths": {"http://other.example": {"auth": "!"}, key: word}}))
        pyman("pull", "-q", "--authfile", str(file), f"{secure.address}/other:1")
    for bad in ("!!!", "bm9jb2xvbg=="):
        file.write_text(json.dumps({"auths": {secure.address: {"auth": bad}}}))
        assert (
            f"in {file}: they are not USER:PASSWORD" in pyman("pull", "--authfile", str(file), f"{secure.address}/other:1", rc=125).stderr
        )
    docker = base / "kept/config.json"
    docker.write_text(json.dumps({"psFormat": "table"}))
    pyman("login", "-u", "me", "-p", "pass:word", "--compat-auth-file", str(docker), secure.address)
    assert json.loads(docker.read_text())["psFormat"] == "table"
    pyman("logout", "--all", "--authfile", str(file))
    assert json.loads(file.read_text())["auths"] == {}


def test_a_credential_helper_keeps_the_password(pyman: Run, base: Path, secure: Secure, trusted: Path) -> None:
    tools = base / "tools"
    tools.mkdir(exist_ok=True)
    helper = tools / "docker-credential-test"
    helper.write_text(
        f'#!/bin/sh\nread line\ncase $1 in\nstore) echo "$line" > {base}/vault;;\nerase) rm {base}/vault;;\n'
        f"get) [ -f {base}/vault ] && sed s/ServerURL/Server/ {base}/vault;;\nesac\n"
    )
    helper.chmod(0o755)
    file = base / "helped.json"
    file.write_text(json.dumps({"credHelpers": {secure.address: "test"}}))
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "REGISTRY_AUTH_FILE": str(file)}
    assert "docker-credential-test" in pyman("login", "-u", "me", "-p", "pass:word", secure.address, env=env).stderr
    assert "pass" not in file.read_text() and json.loads((base / "vault").read_text())["Secret"] == "pass:word"
    pyman("pull", "-q", f"{secure.address}/other:1", env=env)
    pyman("logout", secure.address, env=env)
    assert not (base / "vault").exists()


def test_search_and_tags(pyman: Run, secure: Secure, trusted: Path, plain: str) -> None:
    creds = ("--creds", "me:pass:word")
    assert pyman("search", *creds, "--format", "{{.Name}}", f"{secure.address}/demo").stdout == f"{secure.address}/team/demo\n"
    assert len(pyman("search", *creds, "--format", "{{.Name}}", f"{secure.address}/").stdout.split()) == 2
    assert len(pyman("search", *creds, "--limit", "1", "--format", "{{.Name}}", f"{secure.address}/").stdout.split()) == 1
    rows = pyman("search", *creds, "--list-tags", f"{secure.address}/team/demo").stdout.splitlines()
    assert rows[0].split() == ["NAME", "TAG"]
    assert sorted(row.split() for row in rows[1:]) == [[f"{secure.address}/team/demo", "1"], [f"{secure.address}/team/demo", "2"]]
    assert json.loads(pyman("search", *creds, "--list-tags", "--format", "json", f"{secure.address}/other").stdout)[0]["Tags"] == ["1"]
    assert pyman("search", "--tls-verify=false", f"{plain}/nothing-like-it").stdout == ""
    assert "full name" in pyman("search", "--list-tags", "demo", rc=125).stderr
    assert "invalid filter" in pyman("search", "--filter", "x=y", f"{plain}/x", rc=125).stderr


def test_certificates_of_a_directory(pyman: Run, base: Path, secure: Secure) -> None:
    creds = ("--creds", "me:pass:word")
    assert "certificate" in pyman("pull", *creds, f"{secure.address}/other:1", rc=125).stderr
    directory = base / "certs"
    directory.mkdir()
    (directory / "mine.crt").write_bytes(secure.ca.read_bytes())
    pyman("pull", "-q", *creds, "--cert-dir", str(directory), f"{secure.address}/other:1")
    (directory / "client.cert").write_text("x")
    assert "client.key is missing" in pyman("pull", *creds, "--cert-dir", str(directory), f"{secure.address}/other:1", rc=125).stderr
    assert "not a directory" in pyman("pull", *creds, "--cert-dir", "/nonexistent", f"{secure.address}/other:1", rc=125).stderr


def test_rewrites_mirrors_and_blocked_registries(pyman: Run, base: Path, plain: str, dead: str) -> None:
    file = base / "registries.conf"
    env = {"CONTAINERS_REGISTRIES_CONF": str(file)}

    def conf(text: str) -> None:
        pyman("rmi", "-af")
        file.write_text(text.replace("PLAIN", plain))

    conf('[[registry]]\nprefix = "example.test/work"\nlocation = "PLAIN/mirrored"\ninsecure = true\n')
    pyman("pull", "-q", "example.test/work/team/demo:1", env=env)
    assert pyman("images", "--format", "{{.Repository}}").stdout == "example.test/work/team/demo\n"
    mirrors = (
        '[[registry.mirror]]\nlocation = "DEAD/x"\ninsecure = true\n[[registry.mirror]]\nlocation = "PLAIN/mirrored"\ninsecure = true\n'
    )
    conf(('[[registry]]\nlocation = "example.test"\n' + mirrors).replace("DEAD", dead))
    pyman("pull", "-q", "example.test/team/demo:1", env=env)
    conf('[[registry]]\nlocation = "PLAIN"\ninsecure = true\n[[registry.mirror]]\nlocation = "PLAIN/mirrored"\ninsecure = true\n')
    pyman("pull", "-q", f"{plain}/demo:1", env=env)  # the mirror has no such repository, the registry has
    conf('[[registry]]\nprefix = "*.many.test"\nlocation = "PLAIN/mirrored"\ninsecure = true\n')
    pyman("pull", "-q", "one.many.test/team/demo:1", env=env)
    conf('[[registry]]\nprefix = "*.test"\nblocked = true\n')
    assert "blocks *.test" in pyman("pull", "a.b.test/x", rc=125, env=env).stderr
    digest_only = '[[registry]]\nlocation = "PLAIN/nowhere"\ninsecure = true\nmirror-by-digest-only = true\n'
    conf(digest_only + '[[registry.mirror]]\nlocation = "PLAIN/mirrored"\ninsecure = true\n')
    assert "404" in pyman("pull", f"{plain}/nowhere/team/demo:1", rc=125, env=env).stderr
    for text, complaint in (
        ('[[registry]]\nprefix = "a*b"\n', "neither a name's beginning"),
        ('[registries.search]\nregistries = ["x"]\n', "version 1"),
        ('short-name-mode = "loose"\n', "short-name-mode"),
        ("[[registry]]\nblocked = true\n", "neither a prefix nor a location"),
        ('[[registry]]\nlocation = "*.test"\n', "is no registry"),
    ):
        conf(text)
        assert complaint in pyman("pull", "a.test/b", rc=125, env=env).stderr


def test_short_names_by_mode(pyman: Run, base: Path, plain: str, dead: str) -> None:
    file = base / "short.conf"
    env = {"CONTAINERS_REGISTRIES_CONF": str(file)}
    search = f'unqualified-search-registries = ["{dead}", "{plain}"]\n'
    insecure = "".join(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n' for host in (dead, plain))
    file.write_text(search + insecure)
    done = pyman("pull", "demo:1", rc=125, env=env)
    assert f"{dead}/demo:1 or {plain}/demo:1" in done.stderr and f'[aliases] "demo" = "{dead}/demo"' in done.stderr
    for mode in ("permissive", "disabled"):
        pyman("rmi", "-af")
        file.write_text(f'short-name-mode = "{mode}"\n' + search + insecure)
        pyman("pull", "-q", "demo:1", env=env)
        assert pyman("images", "--format", "{{.Repository}}").stdout == f"{plain}/demo\n"
    none = pyman("pull", "-q", "--retry", "0", "nothing:1", rc=125, env=env).stderr  # each says why, not only the last
    assert f"{dead}/nothing:1: " in none and f"{plain}/nothing:1: " in none and "404" in none
    pyman("rmi", "-af")
    file.write_text(search + f'[aliases]\n"thing" = "{plain}/demo"\n' + insecure)
    pyman("pull", "-q", "thing:1", env=env)
    file.write_text(search + '[aliases]\n"thing" = "nonsense"\n' + insecure)
    assert "is no name with a registry" in pyman("pull", "-q", "thing:1", rc=125, env=env).stderr


def test_proxies_are_used(pyman: Run, plain: str, dead: str) -> None:
    done = pyman("pull", "--retry", "0", "registry.test/x:1", rc=125, env={"HTTPS_PROXY": f"http://{dead}"})
    assert "proxy" in done.stderr.lower()
    pyman("pull", "-q", "--tls-verify=false", f"{plain}/demo:1", env={"HTTP_PROXY": f"http://{dead}", "NO_PROXY": "127.0.0.1"})
