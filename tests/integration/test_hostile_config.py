"""Image configurations of an attacker: every value is refused with a reason or gives a good run; none chooses how the container runs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Run
from tests.integration.conftest import runner

NONE = ("--rm", "--network", "none")


@pytest.fixture
def variant(pyman: Run, layout: str, base: Path) -> Any:
    """variant(change): the demo image with its configuration changed by `change(document)`; returns the layout's name."""

    def make(change: Any) -> str:
        path = base / "variant"
        if not path.exists():
            shutil.copytree(layout, path)
        blobs = path / "blobs/sha256"
        source = Path(layout)
        index = json.loads((source / "index.json").read_text())
        manifest = json.loads((source / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
        config = json.loads((source / "blobs/sha256" / manifest["config"]["digest"][7:]).read_text())
        changed = change(config)
        document = changed if isinstance(changed, bytes) else json.dumps(config if changed is None else changed).encode()

        def add(data: bytes) -> dict[str, Any]:
            digest = hashlib.sha256(data).hexdigest()
            (blobs / digest).write_bytes(data)
            return {"digest": f"sha256:{digest}", "size": len(data)}

        manifest["config"].update(add(document))
        index["manifests"][0].update(add(json.dumps(manifest).encode()))
        (path / "index.json").write_text(json.dumps(index))
        return f"oci:{path}:latest"

    return make


def inner(**values: Any) -> Any:
    """A change of the `config` object."""
    return lambda document: document.setdefault("config", {}).update(values)


ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "",
    "x",
    "\ud800",
    "a\0b",
    "\x1b[2J",
    [],
    [1],
    [None],
    ["\ud800"],
    ["a\0b"],
    {},
    {"a": 1},
    {"\ud800": {}},
    [[]],
]
KEYS = "Healthcheck Env Cmd Entrypoint User WorkingDir StopSignal Labels Volumes ExposedPorts Shell".split()
# Read by other tools, or by nobody: their types do not matter.
UNUSED = "OnBuild Hostname Domainname Tty OpenStdin AttachStdin ArgsEscaped Memory MacAddress NetworkDisabled StopTimeout".split()


def check(pyman: Run, name: str) -> None:
    """Pull and run: refused with a reason, or a good run."""
    done = pyman("pull", "-q", name, rc=None)
    if done.returncode == 0:
        listed = pyman("images", "--format", "json")
        assert "Traceback" not in listed.stderr
        done = pyman("run", *NONE, "localhost/variant", rc=None)
        pyman("rmi", "-f", "localhost/variant")
    assert not [word for word in ("Traceback", "pyman:[", "codec") if word in done.stderr], done.stderr
    if done.returncode in (125, 126, 127):
        assert "Error: " in done.stderr or "not found" in done.stderr, done.stderr
    assert 0 <= done.returncode < 128, done


@pytest.mark.parametrize("key", KEYS)
def test_values_of_every_type(pyman: Run, variant: Any, key: str) -> None:
    for value in ODD:
        check(pyman, variant(inner(**{key: value})))


def test_unused_values_of_every_type(pyman: Run, variant: Any) -> None:
    for value in ODD:
        check(pyman, variant(inner(**dict.fromkeys(UNUSED, value))))


@pytest.mark.parametrize("key", ["architecture", "os", "variant", "created", "rootfs", "config"])
def test_values_of_the_document(pyman: Run, variant: Any, key: str) -> None:
    for value in ODD:
        check(pyman, variant(lambda document, value=value: document.update({key: value, "author": value, "history": value})))


def test_odd_histories(pyman: Run, variant: Any, base: Path) -> None:
    """What is no list of steps is refused; what of a step is odd is shown as text, or not at all."""
    for value in (5, "x", {}, [5], [["x"]], [None, "x"]):
        history = {"history": value}
        assert "history of its configuration" in pyman("pull", variant(lambda d, history=history: d.update(history)), rc=125).stderr
    steps: list[Any] = [None, {}, {"created_by": 5, "created": [], "comment": {}, "empty_layer": "x"}, {"author": 7, "empty_layer": True}]
    pyman("pull", "-q", variant(lambda document: document.update(history=steps, author=[1], comment={"a": 1})))
    for args in (
        ("history",),
        ("history", "--format", "json"),
        ("inspect",),
        ("inspect", "-f", "{{.Id}}{{.Config}}{{.History}}"),
        ("image", "tree"),
    ):
        done = pyman(*args, "localhost/variant", rc=None)
        assert "Traceback" not in done.stderr and done.returncode in (0, 125), done.stderr
    pyman("rmi", "-f", "localhost/variant")


def test_a_damaged_configuration_is_named(store: Path, layout: str) -> None:
    own = runner(store)
    root = store / "home/.local/share/pyman"
    own("pull", "-q", f"oci:{layout}:latest")
    own("create", "--name", "box", "--network", "none", "demo", "true")
    (record,) = json.loads((root / "images.json").read_text())["images"].values()
    blob = root / "blobs/sha256" / record["config"]
    whole = blob.read_bytes()
    for damage in ("", "{", "[]", '{"config": 5}', '{"config": {"Env": 5}}', '{"history": 5}', '{"config": {"ExposedPorts": 7}}'):
        blob.write_text(damage)
        for args in (("inspect", "demo"), ("history", "demo"), ("run", "--rm", "demo", "true"), ("create", "demo")):
            text = own(*args, rc=125)
            assert "its configuration is damaged" in text and "system check --repair" in text, (damage, args, text)
    blob.write_bytes(whole)
    box = next((root / "containers").iterdir())
    (box / "config.json").rename(box / "kept")
    (box / "config.json").write_text("{}")
    for args in (("inspect", "box"), ("start", "box")):
        text = own(*args, rc=125)
        assert "it is damaged: its" in text, (args, text)
    (box / "kept").rename(box / "config.json")
    own("rm", "box")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(config=st.dictionaries(st.sampled_from(KEYS + UNUSED), json_values, max_size=6))
def test_random_configurations(pyman: Run, variant: Any, config: dict[str, Any]) -> None:
    check(pyman, variant(lambda document: document.update(config=config)))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b"NaN",
        b'{"config": {"Labels": {"a": NaN}}}',
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda value: value[:12].decode("latin-1").encode("unicode_escape").decode(),
)
def test_documents_that_are_none(pyman: Run, variant: Any, document: bytes) -> None:
    assert "Error: " in pyman("pull", "-q", variant(lambda _document: document), rc=125).stderr


def test_the_environment_is_the_images(pyman: Run, variant: Any, base: Path) -> None:
    """Entries without `=` copy nothing from the host (CVE-2026-57231)."""
    name = variant(inner(Env=["*", "HOME", "HOST_SECRET", "HOST*", "=", "=x", "GOOD=1", "SP ACE=2", "NEWLINE=a\nHOST_SECRET=3"]))
    done = pyman("run", *NONE, name, "env", env={"HOST_SECRET": "leaked-value"})
    assert "leaked-value" not in done.stdout + done.stderr and "GOOD=1" in done.stdout and "Warning" in done.stderr
    pyman("rmi", "-f", "localhost/variant")


def test_what_cannot_be_printed_does_not_hide_the_rest(pyman: Run, variant: Any) -> None:
    """Half of a surrogate pair in a label: lists, tables, templates and events have it as other tools have."""
    pyman("pull", "-q", variant(inner(Labels={"first": "a\ud83db", "second": "whole"})))
    pyman("run", "-d", "--name", "half", "--network", "none", "localhost/variant", "sleep", "600")
    for line in (
        ("images", "--format", "{{.Labels}}"),
        ("image", "inspect", "localhost/variant", "--format", "{{.Config.Labels}}"),
        ("ps", "--format", "table {{.Names}} {{.Labels}}"),
        ("inspect", "half", "--format", "{{.Config.Labels}}"),
        ("inspect", "half", "--format", "{{json .Config.Labels}}"),
        ("events", "--stream=false", "--filter", "container=half"),
    ):
        shown = pyman(*line).stdout
        assert "whole" in shown and ("a\ufffdb" in shown or "a\\ud83db" in shown), (line, shown)
    pyman("rm", "-f", "-t", "0", "half")
    pyman("rmi", "localhost/variant")


def test_labels_choose_nothing(pyman: Run, variant: Any, base: Path) -> None:
    """Labels and annotations with the names that have selected loggers, hooks, devices and mounts elsewhere."""
    evil = base / "label-victim"
    labels = {
        "io.podman.annotations.privileged": "TRUE",
        "io.podman.annotations.autoremove": "TRUE",
        "io.podman.annotations.seccomp": "unconfined",
        "io.podman.annotations.volumes-from": "x",
        "io.podman.annotations.userns": "host",
        "io.containers.autoupdate": "registry",
        "io.containers.capabilities": "SYS_ADMIN,NET_ADMIN",
        "io.containers.seccomp.profile": "unconfined",
        "run": f"touch {evil}",
        "RUN": f"touch {evil}",
        "INSTALL": f"touch {evil}",
        "run.oci.handler": "krun",
        "run.oci.keep_original_groups": "1",
        "run.oci.hooks.stderr": str(evil),
        "run.oci.hooks.stdout": str(evil),
        "cdi.k8s.io/x": "vendor.com/device=all",
        "containerd.io/logger": f"binary:///bin/touch?{evil}",
        "org.opencontainers.image.stopSignal": "9",
        "com.docker.security.privileged": "true",
    }
    name = variant(lambda document: (document.setdefault("config", {}).update(Labels=labels), document.update(annotations=labels))[1])
    pyman("pull", "-q", name)
    plain = pyman(
        "run", *NONE, "localhost/variant", "sh", "-c", "grep -E '^(Cap|NoNew|Seccomp)' /proc/self/status; id; cat /proc/mounts | wc -l"
    )
    pyman("pull", "-q", variant(lambda document: document.setdefault("config", {}).pop("Labels", None) and None))
    other = pyman(
        "run", *NONE, "localhost/variant", "sh", "-c", "grep -E '^(Cap|NoNew|Seccomp)' /proc/self/status; id; cat /proc/mounts | wc -l"
    )
    assert plain.stdout == other.stdout and not evil.exists()
    pyman("rmi", "-af")


def test_volumes_of_the_image_stay_inside(pyman: Run, variant: Any, base: Path) -> None:
    """VOLUME /.. and its relatives neither read nor change the host (CVE-2022-23648)."""
    before = sorted(os.listdir(base))
    for path in (
        "/..",
        "/../../etc",
        "///x/../../etc",
        "..",
        ".",
        "",
        "/",
        "//",
        "/proc",
        "/proc/self/fd/1",
        "/dev",
        "/dev/../..",
        "/sys",
        "a\0b",
        "/a:b",
        "/a\nb",
        "/etc/passwd",
        "/x" * 3000,
    ):
        done = pyman("run", *NONE, variant(inner(Volumes={path: {}})), "sh", "-c", "ls /etc; cat /etc/shadow; ls /etc/ssl", rc=None)
        assert "Traceback" not in done.stderr and "pyman:[" not in done.stderr, (path, done.stderr)
        assert "root:" not in done.stdout, path
        pyman("rmi", "-f", "localhost/variant", rc=None)
    assert sorted(os.listdir(base)) == [name for name in before if name != "variant"] + ["variant"] or sorted(os.listdir(base)) == before
    pyman("volume", "prune", "-f", rc=None)


@pytest.mark.parametrize("path", ["/proc/self/fd/3", "/proc/1/cwd", "/proc/self/root/etc", "relative", "/a\0b", "/x" * 3000, "/dev/fd/4"])
def test_working_directories_of_the_image(pyman: Run, variant: Any, path: str) -> None:
    done = pyman("run", *NONE, variant(inner(WorkingDir=path)), "sh", "-c", "cat shadow hostname; pwd", rc=None)
    assert "Traceback" not in done.stderr and "root:" not in done.stdout
    assert done.returncode in (125, 126, 127) or done.stdout.strip().startswith("/"), done
    pyman("rmi", "-f", "localhost/variant", rc=None)


@pytest.mark.parametrize(
    "user",
    [
        "-1",
        "+0",
        " 0",
        "0 ",
        "0x0",
        "1e3",
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "9" * 5000,
        "²",
        "٣",
        "0:-1",
        "0:4294967295",
        "0:0:0",
        ":",
        ":0",
        "0:",
        "root\n",
        "nobodyx",
        "\x1b[2J",
        "../etc",
    ],
)
def test_users_of_the_image(pyman: Run, variant: Any, user: str) -> None:
    """Nobody becomes root by a number that is none: the run is refused, or the id is the one that was written."""
    done = pyman("run", *NONE, variant(inner(User=user)), "id", rc=None)
    assert "Traceback" not in done.stderr and "pyman:[" not in done.stderr, done.stderr
    if user in (":", ":0", "0:"):
        assert done.returncode in (125, 126, 127) or done.stdout.startswith("uid=0(root) gid=0(root)")
    else:
        assert done.returncode in (125, 126, 127) and "Error: " in done.stderr, done
    pyman("rmi", "-f", "localhost/variant", rc=None)
