"""`pyman quadlet`: install, list, print, check, from and remove, without a service manager; the generator as a program."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import quadlets
from tests.conftest import ROOT, Run, environment

GOOD = "[Container]\nImage=quay.io/x/y:1\n\n[Install]\nWantedBy=default.target\n"


@pytest.fixture
def folder(base: Path) -> Iterator[Path]:
    path = base / "home/.config/containers/systemd"
    yield path
    for place in (path, base / "home/.local/share/systemd", base / "work"):
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def work(base: Path) -> Path:
    path = base / "work"
    path.mkdir(exist_ok=True)
    return path


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_install_list_print_remove(pyman: Run, folder: Path, work: Path) -> None:
    (work / "web.container").write_text(GOOD)
    (work / "web.conf").write_text("settings\n")
    done = pyman("quadlet", "install", str(work / "web.container"), str(work / "web.conf"))
    assert done.stdout.split() == [str(folder / "web.container"), str(folder / "web.conf")]
    assert names(folder) == [".web.container.asset", "web.conf", "web.container"]
    again = pyman("quadlet", "install", str(work / "web.container"), rc=125)
    assert "exists" in again.stderr and "--replace" in again.stderr
    (work / "web.container").write_text(GOOD + "# newer\n")
    pyman("quadlet", "install", "--replace", str(work / "web.container"))
    assert pyman("quadlet", "print", "web.container").stdout == GOOD + "# newer\n"
    rows = json.loads(pyman("quadlet", "ls", "--format", "json").stdout)
    assert rows == [
        {"Name": "web.container", "UnitName": "web.service", "Path": str(folder / "web.container"), "Status": "Not loaded", "App": ""}
    ]
    assert pyman("quadlet", "list").stdout.split("\n")[0].split() == ["NAME", "UNIT", "NAME", "PATH", "ON", "DISK", "STATUS", "APPLICATION"]
    assert pyman("quadlet", "ls", "--filter", "name=no*", "--format", "{{.Name}}").stdout == ""
    assert pyman("quadlet", "ls", "--filter", "name=w*", "--format", "{{.Name}} {{.UnitName}}").stdout == "web.container web.service\n"
    assert "filtered by name" in pyman("quadlet", "ls", "--filter", "x=y", rc=125).stderr
    assert pyman("quadlet", "rm", "web.container").stdout == "web.container\n"
    assert names(folder) == []
    assert "no Quadlet file" in pyman("quadlet", "rm", "web.container", rc=125).stderr
    assert pyman("quadlet", "rm", "--ignore", "web.container").stdout == ""
    assert "no Quadlet file" in pyman("quadlet", "print", "web.container", rc=125).stderr
    assert "is no Quadlet file's name" in pyman("quadlet", "print", "../../secret", rc=125).stderr


def test_applications(pyman: Run, folder: Path, work: Path) -> None:
    (work / "app").mkdir()
    for name, text in {"a.container": GOOD, "b.volume": "[Volume]\n", "settings": "x"}.items():
        (work / "app" / name).write_text(text)
    (work / "all.quadlets").write_text(f"# FileName=c\n{GOOD}---\n\n# FileName=d\n[Network]\nLabel=a=b\n")
    pyman("quadlet", "install", str(work / "app"))
    pyman("quadlet", "install", str(work / "all.quadlets"))
    assert names(folder) == [".all.app", ".app.app", "a.container", "b.volume", "c.container", "d.network", "settings"]
    assert (folder / "c.container").read_text() == "# FileName=c\n" + GOOD
    shown = pyman("quadlet", "ls", "--format", "{{.Name}} {{.App}}").stdout.split("\n")[:-1]
    assert shown == ["a.container .app.app", "b.volume .app.app", "c.container .all.app", "d.network .all.app"]
    assert sorted(pyman("quadlet", "rm", "b.volume").stdout.split()) == ["a.container", "b.volume"]
    assert names(folder) == [".all.app", "c.container", "d.network"]
    # A list that was tampered with leads nowhere else.
    (folder.parent / "kept").write_text("x")
    (folder / ".all.app").write_text("c.container\n../kept\n/etc/passwd\n..\n")
    assert pyman("quadlet", "rm", "--all").stdout.split() == ["c.container", "d.network"]
    assert (folder.parent / "kept").exists() and names(folder) == []
    os.mkfifo(work / "pipe.container")
    assert "not a regular file" in pyman("quadlet", "install", str(work / "pipe.container"), rc=125).stderr
    (work / "bad.quadlets").write_text("[Container]\nImage=x\n")
    assert "lacks a comment # FileName=NAME" in pyman("quadlet", "install", str(work / "bad.quadlets"), rc=125).stderr
    (work / "bad.quadlets").write_text("# FileName=../../up\n[Container]\nImage=x\n")
    assert "cannot be called" in pyman("quadlet", "install", str(work / "bad.quadlets"), rc=125).stderr
    assert "no Quadlet file" in pyman("quadlet", "install", str(work / "app/settings"), rc=125).stderr
    assert names(folder) == []


def test_what_was_there_stays_when_others_are_removed(pyman: Run, folder: Path, work: Path) -> None:
    for name in ("a.container", "b.container", "c.conf", "d.conf"):
        (work / name).write_text(GOOD)
    pyman("quadlet", "install", str(work / "a.container"), str(work / "c.conf"))
    mixed = [str(work / name) for name in ("b.container", "a.container", "c.conf", "d.conf")]
    assert pyman("quadlet", "install", *mixed, rc=125).stderr.count(" exists\n") == 2
    assert pyman("quadlet", "rm", "b.container").stdout == "b.container\n"
    assert names(folder) == [".a.container.asset", "a.container", "c.conf"]
    pyman("quadlet", "install", str(work / "b.container"), str(work / "d.conf"))
    pyman("quadlet", "install", "--replace", *mixed)
    assert sorted(pyman("quadlet", "rm", "b.container").stdout.split()) == ["a.container", "b.container"]  # now it came with it
    assert pyman("quadlet", "rm", "--ignore", "b.container").stdout == ""
    assert "no Quadlet file" in pyman("quadlet", "rm", "b.container", rc=125).stderr


def test_links_of_a_directory_lead_nowhere_else(pyman: Run, folder: Path, work: Path) -> None:
    """Who puts an application together does not choose which other files of the user are copied, or shown to others."""
    (work / "key").write_text("secret-key\n")
    (work / "links").mkdir()
    (work / "links/web.container").write_text(GOOD)
    (work / "links/real.env").write_text("A=1\n")
    (work / "links/real.env").chmod(0o600)
    (work / "links/inner.env").symlink_to("real.env")
    for place in ("../key", str(work / "key"), "/proc/self/environ", "/proc/self/fd/0"):
        (work / "links/outer.env").symlink_to(place)
        told = pyman("quadlet", "install", str(work / "links"), rc=125).stderr
        assert "it is a link that leads out of" in told and names(folder) == []
        (work / "links/outer.env").unlink()
    pyman("quadlet", "install", str(work / "links"))
    assert names(folder) == [".links.app", "inner.env", "real.env", "web.container"]
    modes = {name: os.stat(folder / name).st_mode & 0o777 for name in names(folder)}
    assert modes["inner.env"] == modes["real.env"] == 0o600 and modes["web.container"] & 0o700 == 0o600
    (work / "whole.env").symlink_to("key")
    pyman("quadlet", "install", str(work / "links/web.container"), str(work / "whole.env"), "--replace")  # named by the user
    assert (folder / "whole.env").read_text() == "secret-key\n"
    os.mkfifo(folder / "pipe.container")
    assert "not a regular file" in pyman("quadlet", "print", "pipe.container", rc=125, timeout=60).stderr


def test_an_address(pyman: Run, folder: Path, tmp_path: Path) -> None:
    targets = {"/moved": "file:///etc/passwd"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers = {"/x/web.container": GOOD, "/moved": "", "/..%2f..%2fup.container": GOOD, **dict.fromkeys(NAMED, GOOD)}
            moved = targets.get(self.path)
            self.send_response(302 if moved else 200 if self.path in answers else 404)
            if moved:
                self.send_header("Location", moved)
            if self.path in NAMED:
                self.send_header("Content-Disposition", f"attachment; {NAMED[self.path]}")
            body = answers.get(self.path, "").encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server, safe = (http.server.HTTPServer(("127.0.0.1", 0), Handler) for _ in range(2))
    key, cert = str(tmp_path / "key"), str(tmp_path / "cert")
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", cert, *subject]
    subprocess.run(argv, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    safe.socket = context.wrap_socket(safe.socket, server_side=True)
    place, safe_place = f"http://127.0.0.1:{server.server_port}", f"https://127.0.0.1:{safe.server_port}"
    targets.update({"/down": f"{place}/x/web.container", "/up": f"{safe_place}/x/web.container"})
    threads = [threading.Thread(target=each.serve_forever) for each in (server, safe)]
    for thread in threads:
        thread.start()
    try:
        pyman("quadlet", "install", f"{place}/x/web.container")
        assert names(folder) == ["web.container"]
        for wrong in ("/moved", "/absent.container", "/..%2f..%2fup.container", *NAMED):
            assert "cannot" in pyman("quadlet", "install", place + wrong, rc=125).stderr
        known = {"SSL_CERT_FILE": cert}
        pyman("quadlet", "install", "--replace", f"{place}/up", env=known)
        pyman("quadlet", "install", "--replace", f"{safe_place}/x/web.container", env=known)
        told = pyman("quadlet", "install", "--replace", f"{safe_place}/down", env=known, rc=125).stderr
        assert "which anybody on the way can change" in told
        assert "certificate" in pyman("quadlet", "install", "--replace", f"{safe_place}/x/web.container", rc=125).stderr
    finally:
        for each, thread in zip((server, safe), threads, strict=True):
            each.shutdown()
            thread.join()
            each.server_close()
    assert names(folder) == ["web.container"]


def test_check(pyman: Run, folder: Path, work: Path) -> None:
    (work / "web.container").write_text(
        "[Container]\nImage=quay.io/x/y:1\nVolume=data.volume:/d\nPodmanArgs=--no-such\n[Instal]\nWantedBy=x\n"
    )
    (work / "data.volume").write_text("[Volume]\nLabels=a=b\n")
    done = pyman("quadlet", "check", str(work / "web.container"), rc=1)
    lines = done.stdout.split("\n")
    assert any(line.startswith(f"{work}/web.container:4: ExecStart=: unknown option --no-such") for line in lines)
    assert f"{work}/web.container:5: warning: nothing reads the section [Instal]; did you mean [Install]?" in lines
    bad = pyman("quadlet", "check", "--quiet", str(work / "data.volume"), rc=1)
    assert bad.stdout == f"{work}/data.volume:2: unknown key Labels= in [Volume]; did you mean Label= (Podman 4.4)?\n"
    (work / "web.container").write_text("[Container]\nImage=quay.io/x/y:1\nExec=x\x1b]0;title\n[Install]\nWantedBy=multi-user.target\n")
    done = pyman("quadlet", "check", "--verify=false", str(work / "web.container"))
    assert "web.container:5: warning: WantedBy=multi-user.target" in done.stdout and "---web.service---" in done.stdout
    assert "\x1b" not in done.stdout
    assert "no Quadlet file" in pyman("quadlet", "check", "/etc/passwd", rc=125).stderr
    installed = pyman("quadlet", "install", str(work / "data.volume"))
    assert "unknown key Labels=" in installed.stderr
    assert "unknown key Labels=" in pyman("quadlet", "check", "-q", rc=1).stdout
    assert "unknown key Labels=" in pyman("quadlet", "ls").stdout
    assert "cannot be used: data.volume" in pyman("doctor", rc=None).stdout


NAMED = {
    "/n1": 'filename="../up.container"',
    "/n2": 'filename="/etc/up.container"',
    "/n3": "filename*=UTF-8''up%00.container",
    "/n4": "filename*=UTF-8''up%0A.conf",
    "/n5": 'filename=".bashrc"',
    "/n6": 'filename=".app.app"',
    "/n7": "filename*=UTF-8''%1B]0;x.container",
}
WRONG = """[Container]
Image=quay.io/x/y:1
PublishPort=%i:80
PublishPort=no
Memory=64x
Volume=a:relative
Volume=%h/x:/ok
Network=later:ip=10.0.0.5
HealthInterval=abc
CgroupsMode=xyz
Notify=healthy
UIDMap=xx
Timezone=No/Where
StopSignal=SIGFOO
Pull=sometimes
WorkingDir=relative/dir
ContainersConfModule=/absent.toml
"""


def test_check_finds_the_values_that_run_would_not_take(pyman: Run, folder: Path, work: Path) -> None:
    (work / "wrong@.container").write_text(WRONG)
    lines = pyman("quadlet", "check", "-q", str(work / "wrong@.container"), rc=1).stdout.split("\n")
    for number, text in enumerate(WRONG.split("\n"), 1):
        key, _, value = text.partition("=")
        wrong = key in (
            "Memory",
            "HealthInterval",
            "CgroupsMode",
            "UIDMap",
            "Timezone",
            "StopSignal",
            "Pull",
            "WorkingDir",
        ) or value in ("no", "a:relative")
        told = [line for line in lines if line.startswith(f"{work}/wrong@.container:{number}: ExecStart=: ")]
        assert len(told) == wrong and all(value.rpartition(":")[2] in line for line in told), (text, lines)


ABSENT = """[Container]
Image=quay.io/x/y:1
Volume=/absent/directory:/a
Mount=type=bind,source=/absent/source,target=/b
EnvironmentFile=/absent.env
AddDevice=/dev/absent
SeccompProfile=/absent/profile.json
PodmanArgs=--label-file /absent/labels
"""


def test_check_warns_of_what_only_this_host_lacks(pyman: Run, folder: Path, work: Path) -> None:
    """Files and devices may be there on the host that the file is for: it can be used, here too once they are there."""
    file = work / "absent.container"
    file.write_text(ABSENT)
    lines = pyman("quadlet", "check", "-q", "--verify=false", str(file)).stdout.splitlines()
    assert len(lines) == 6
    for number, line in enumerate(lines, 3):
        assert line.startswith(f"{file}:{number}: warning: ExecStart=: cannot ") and "absent" in line
    file.write_text(ABSENT + "Memory=64x\n")
    lines = pyman("quadlet", "check", "-q", "--verify=false", str(file), rc=1).stdout.splitlines()
    assert [line.startswith(f"{file}:{number}: warning: ") for number, line in enumerate(lines, 3)] == [True] * 6 + [False]
    assert lines[6].startswith(f"{file}:9: ExecStart=: ")


def test_check_reports_each_mistake_of_a_line(pyman: Run, folder: Path, work: Path) -> None:
    """What comes first in a line hides nothing of what comes after it."""
    file = work / "several.container"
    file.write_text(
        "[Container]\nImage=quay.io/x/y:1\n"
        "PodmanArgs=--rm --label-file /absent/labels --memory=64x --env-file=/absent/env --bogus --cpus many\n"
        "Volume=/absent/directory:/a\nPodmanArgs=--label 'fine = 1' --pull sometimes\nLabls=a=b\nNotify=perhaps\n"
    )
    lines = pyman("quadlet", "check", "-q", "--verify=false", str(file), rc=1).stdout.splitlines()
    for number, warning, text in (
        (3, True, "/absent/labels"),
        (3, False, "64x"),
        (3, True, "/absent/env"),
        (3, False, "unknown option --bogus"),
        (3, False, "many"),
        (4, True, "/absent/directory"),
        (5, False, "sometimes"),
    ):
        start = f"{file}:{number}: {'warning: ' if warning else ''}ExecStart=: "
        assert [line for line in lines if text in line and line.startswith(start)], (text, lines)
    assert len(lines) == 9
    assert lines[7].startswith(f"{file}:6: unknown key Labls=") and lines[8].startswith(f"{file}:7: Notify=")


def test_create_refuses_what_no_start_would_take(pyman: Run, image: str) -> None:
    for option in ("--ip=1.2.3", "--uidmap=xx", "--gidmap=1", "--cgroups=xyz", "--tz=No/Where", "--cgroup-parent=../x"):
        done = pyman("create", "--name", "refused", option, image, rc=125)
        assert option.partition("=")[0] in done.stderr or option.partition("=")[2] in done.stderr
        pyman("container", "exists", "refused", rc=1)


def test_from_a_container(pyman: Run, image: str, folder: Path, work: Path) -> None:
    pyman(
        "create", "--name", "qf", "-e", "A=two words", "-v", "/tmp:/t:ro", "--memory", "64m", "--restart=on-failure:3", image, "sleep", "$X"
    )
    try:
        text = pyman("quadlet", "from", "qf").stdout
        lines = (f"Image={image}", 'Environment="A=two words"', "Volume=/tmp:/t:ro", "Memory=64m", "Restart=on-failure", "Exec=sleep $$X")
        for line in lines:
            assert f"\n{line}\n" in text
        path = pyman("quadlet", "from", "--name", "other", "-o", str(work), "qf").stdout.strip()
        assert path == str(work / "other.container") and "ContainerName=other\n" in Path(path).read_text()
        assert "exists" in pyman("quadlet", "from", "--name", "other", "-o", str(work), "qf", rc=125).stderr
        pyman("quadlet", "check", path)
    finally:
        pyman("rm", "-f", "qf")
    assert "no such container" in pyman("quadlet", "from", "qf", rc=125).stderr.lower()
    assert "is no run or create" in pyman("quadlet", "from", "ps", "-a", rc=125).stderr


def test_the_generator_as_systemd_calls_it(base: Path, tmp_path: Path) -> None:
    directories = [tmp_path / name for name in ("generator", "generator.early", "generator.late")]
    launcher = Path(sys.executable).parent / "pyman-quadlet"
    installed = os.environ.get("PYMAN_TEST_INSTALLED") and launcher.exists()
    program = [str(launcher)] if installed else [sys.executable, "-SI", str(ROOT / "pyman/systemd/quadlet/__main__.py")]
    given = environment(base, QUADLET_UNIT_DIRS=str(quadlets.FILES), SYSTEMD_SCOPE="user")
    done = subprocess.run([*program, *map(str, directories)], env=given, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    written = sorted(path.name for path in directories[0].iterdir())
    assert len(written) > 35 and "templated@.service" in written and "default.target.wants" in written
    assert not list(directories[1].glob("*")) and not list(directories[2].glob("*"))
    assert (directories[0] / "default.target.wants/templated@first.service").resolve() == directories[0] / "templated@.service"
