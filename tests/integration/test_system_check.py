"""system check: what is damaged is named with its users, healed where that is possible, and only then removed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import command, environment
from tests.integration.conftest import Own, runner
from tests.integration.test_registry import plain_registry
from tests.integration.test_stages import kill_at

EVIL = "cp -p bin/busybox new; printf evil | dd of=new conv=notrunc status=none; mv new bin/busybox"


@pytest.fixture
def own(store: Path) -> Own:
    """own(*args, rc=0) runs pyman in that store; its output, with what it says on stderr where it fails."""
    return runner(store)


@pytest.fixture(scope="module")
def registry(base: Path, layout: str) -> Iterator[str]:
    with plain_registry(base / "check-registry", layout, "demo:1") as address:
        yield address


@pytest.fixture
def insecure(store: Path, registry: str) -> str:
    """The image's name at the registry, which is plain HTTP and said to be so."""
    conf = store / "home/.config/containers/registries.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
    return f"{registry}/demo:1"


def in_layer(own: Own, store: Path, script: str) -> None:
    """Run a shell script, as root of the user namespace, in the one layer of the store."""
    own("unshare", "sh", "-euc", f"cd {shlex.quote(str(store))}/home/.local/share/pyman/layers/*/diff\n{script}")


def own_both(store: Path, *args: str) -> str:
    """What pyman says on both outputs; it must succeed."""
    done = subprocess.run([*command(), *args], env=environment(store), capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def layer_tar(store: Path) -> str:
    """A tar file with one file in it."""
    with tarfile.open(store / "one.tar", "w") as tar:
        tar.add(__file__, "file")
    return str(store / "one.tar")


def check(own: Own, *args: str, rc: int = 0) -> dict[str, object]:
    """The report as data."""
    text = own("system", "check", "--format", "json", *args, rc=rc)
    value: dict[str, object] = json.loads(text[: text.rindex("\n}") + 2])
    return value


def test_a_sound_store(own: Own, store: Path, layout: str) -> None:
    """Nothing to say, also while a container works in its own directory; a layer with everything in it is understood."""
    own("pull", "-q", f"oci:{layout}:latest")
    script = (
        "mkdir -p /d/e /old; echo x > /d/f; ln /d/f /d/g; ln -s ../f /d/e/l; mkfifo /d/p; chmod 4711 /d/f; chown 7:8 /d/e;"
        " rm /bin/ls; rm -r /etc; mkdir /etc; touch /d/empty; touch -d @1 /d/f; chmod 1777 /old"
    )
    own("run", "--name", "box", "--network", "none", "demo", "sh", "-c", script)
    own("commit", "-q", "box", "localhost/built")
    own("run", "-d", "--name", "busy", "--network", "none", "demo", "sh", "-c", "while :; do echo x > /a; mv /a /b; done")
    assert own("system", "check") == "" and own("system", "check", "--quick") == ""
    assert check(own)["Errors"] is False
    assert own("system", "check", "--repair", "--force") == ""
    assert sorted(own("ps", "-a", "--format", "{{.Names}}").split()) == ["box", "busy"]
    assert own("inspect", "-f", "{{.State.Status}}", "busy") == "running\n"
    own("rm", "-f", "-t", "0", "busy", "box")
    # Each kind of difference in a tree is seen, and mended from the layer's own record, without a registry.
    own("rmi", "demo")
    top = own("inspect", "-f", "{{index .RootFS.Layers 1}}", "built").strip().removeprefix("sha256:")
    changes = {
        "rm d/g": "missing",
        "rm d/e/l; ln -s /elsewhere d/e/l": "leads to /elsewhere",
        "chmod 0755 d/f": "mode 0755, not 4711",
        "touch d/f": "another time",
        "chown 0:0 d/e": "belongs to 0:0, not to 7:8",
        "touch d/planted": "d/planted does not belong there",
        "rm -f bin/ls; touch bin/ls": "is something else than it was",
        "echo more >> d/empty; touch -d @1 d/f": "d/empty has 5 bytes, not 0",
    }
    for change, problem in changes.items():
        own("unshare", "sh", "-euc", f"cd {store}/home/.local/share/pyman/layers/{top}/diff; {change}")
        found = check(own, rc=125)
        assert list(found["Layers"]) == [top] and problem in found["Layers"][top][0], (change, found)  # type: ignore[call-overload, index]
        assert "used by image localhost/built:latest" in found["Layers"][top][-1]  # type: ignore[index]
        text = own("system", "check", "--repair")
        assert "made again from its own contents" in text and "its layers are good again" in text and "Deleted" not in text
        assert own("system", "check") == "", change
    where = store / "home/.local/share/pyman"
    assert not os.listdir(where / "tmp") and not os.listdir(where / "trash") and len(os.listdir(where / "layers")) == 2


def test_heals_by_pulling_again(own: Own, store: Path, insecure: str) -> None:
    own("pull", "-q", insecure)
    image = own("images", "-q", "--no-trunc").strip()
    own("run", "-d", "--name", "box", "--network", "none", insecure, "sleep", "1000")
    in_layer(own, store, EVIL)
    assert own("system", "check", "--quick") == ""
    text = own("system", "check", rc=125)
    assert (
        "damage detected in local storage" in text
        and "Damaged layer " in text
        and f"Damaged image {image.removeprefix('sha256:')}:" in text
    )
    assert "1 error occurred:\n\t* layer " in text and "Damaged container " in text and f"used by image {insecure}, container box" in text
    # What runs on the layer would lose its files: it is left alone.
    text = own("system", "check", "--repair", rc=125)
    assert "box runs on it" in text and "still present after repair attempt" in text and "Deleted" not in text
    assert own("ps", "--format", "{{.Names}}") == "box\n"
    own("stop", "-t", "0", "box")
    text = own("system", "check", "--repair")
    assert f"Healed: {image.removeprefix('sha256:')}: pulled again from " in text and "Deleted" not in text
    assert own("system", "check") == ""
    assert own("start", "box") == "box\n"
    assert own("exec", "box", "echo", "alive") == "alive\n"
    own("rm", "-f", "-t", "0", "box")
    # Missing and damaged parts of other kinds.
    root = store / "home/.local/share/pyman"
    record = json.loads((root / "images.json").read_text())["images"][image.removeprefix("sha256:")]
    (root / "blobs/sha256" / record["config"]).write_text("{}")
    (root / "blobs/sha256" / record["manifest"]).unlink()
    own("unshare", "rm", "-rf", str(root / "layers" / record["layers"][0]))
    found = check(own, "--quick", rc=125)
    assert "is missing" in found["Images"][record["id"]][-1] and not found["Layers"]  # type: ignore[index]
    assert "pulled again" in own("system", "check", "--repair", "--quick")
    assert own("system", "check") == "" and own("images", "--format", "{{.Repository}}:{{.Tag}}") == f"{insecure}\n"
    assert own("run", "--rm", "--network", "none", insecure, "echo", "fine") == "fine\n"


def test_removes_what_nobody_can_heal(own: Own, store: Path, layout: str) -> None:
    own("pull", "-q", f"oci:{layout}:latest")
    own("tag", "demo", "localhost/second")
    own("create", "--name", "box", "demo", "true")
    in_layer(own, store, "rm bin/busybox")
    text = own("system", "check", "--repair", rc=125)
    assert "1 containers are made from it" in text and "still present" in text
    assert own("images", "--format", "x").count("x") == 2 and own("ps", "-aq")
    assert "it says how far --repair may go" in own("system", "check", "--force", rc=125)
    text = own("system", "check", "--repair", "--force")
    assert "Deleted damaged image: " in text and "Deleted damaged container: " in text
    assert not own("images", "-q") and not own("ps", "-aq") and own("system", "check") == ""
    root = store / "home/.local/share/pyman"
    assert not os.listdir(root / "layers") and not os.listdir(root / "blobs/sha256")


def test_damaged_records(own: Own, store: Path, layout: str) -> None:
    root = store / "home/.local/share/pyman"
    own("pull", "-q", f"oci:{layout}:latest")
    own("create", "--name", "box", "demo", "true")
    own("tag", "demo", "localhost/other")
    own("manifest", "create", "localhost/list", "demo")
    mine, names = root / "images.json", own("images", "--format", "{{.Repository}}")
    assert set(names.split()) == {"localhost/demo", "localhost/other", "localhost/list"}
    for damage in ('{"images": {"tru', "", "[]", '{"images": []}', None):  # nothing is lost: there is a copy
        mine.unlink() if damage is None else mine.write_text(damage)
        assert "pyman system check --repair" in own("images", rc=125)
        assert "pyman system check --repair" in own("tag", "demo", "more", rc=125)
        assert "Damaged store: the index of images" in own("system", "check", rc=125)
        said = own_both(store, "system", "check", "--repair")
        assert "their names are those of its copy, written 20" in said and "lost" not in said
        assert own("images", "--format", "{{.Repository}}") == names and own("system", "check") == ""
    # Without a copy names come from containers and events, and what may be lost is said.
    own("import", "-q", layer_tar(store), "localhost/imported:2")
    own("rmi", "localhost/list")
    for place in (mine, root / "images.json.copy"):
        place.write_text("{")
    said = own_both(store, "system", "check", "--repair")
    assert "its copy could not be used: lists of images are lost, and names that neither" in said and "2 images" in said
    found = own("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert sorted(found) == ["localhost/demo:latest", "localhost/imported:2", "localhost/other:latest"] and own("system", "check") == ""
    for place in (mine, root / "images.json.copy", root / "events/events.log"):
        place.write_text("{")
    said = own_both(store, "system", "check", "--repair")
    assert "without a name, or names that could not be found again: " in said and "pyman tag gives them one" in said
    assert set(own("images", "--format", "{{.Repository}}").split()) == {"localhost/demo", "<none>"}
    own("rmi", own("images", "-q", "--filter", "dangling=true").strip())
    # One record: from the copy, else from the manifest.
    for copied in (True, False):
        index = json.loads(mine.read_text())
        (record,) = index["images"].values()
        record["layers"] = "x"
        mine.write_text(json.dumps(index))
        if not copied:
            (root / "images.json.copy").unlink()
        text = own("system", "check", "--repair")
        assert f"Healed: {record['id']}: its record was " + ("taken from the copy" if copied else "made again from its manifest") in text
        assert own("images", "--format", "{{.Repository}}") == "localhost/demo\n" and own("system", "check") == ""
    index = json.loads(mine.read_text())
    index["images"]["0" * 64] = {"id": "0" * 64, "names": "x"}
    (root / "images.json").write_text(json.dumps(index))
    assert check(own, rc=125)["Images"] == {"0" * 64: ["its record in the index is damaged"]}
    own("system", "check", "--repair")
    assert own("system", "check") == "" and own("images", "-q").count("\n") == 1
    # A container whose files cannot be read goes only if asked for.
    box = own("ps", "-aq", "--no-trunc").strip()
    (root / "containers" / box / "state.json").write_text("{")
    assert own("system", "check") == "" and own("ps", "-aq", "--no-trunc").strip() == box  # its state is made again
    for name in ("state.json", "config.json"):
        (root / "containers" / box / name).write_text("{")
    assert list(check(own, rc=125)["Containers"]) == [box]  # type: ignore[call-overload]
    own("system", "check", "--repair", rc=125)
    assert f"Deleted damaged container: {box}" in own("system", "check", "--repair-lossy")
    assert own("ps", "-aq") == "" and own("system", "check") == "" and not os.listdir(root / "names")
    # Artifacts.
    (store / "file").write_text("content")
    own("artifact", "add", "localhost/thing:1", str(store / "file"))
    own("artifact", "add", "localhost/sound:1", str(Path(layout) / "oci-layout"))
    for blob in (root / "artifacts/blobs/sha256").iterdir():
        if blob.read_text() == "content":
            blob.chmod(0o600)
            blob.write_text("contend")
    assert list(check(own, rc=125)["Artifacts"]) == ["localhost/thing:1"]  # type: ignore[call-overload]
    assert "Deleted damaged artifact: localhost/thing:1" in own("system", "check", "--repair")
    assert own("artifact", "ls", "--format", "{{.Repository}}") == "localhost/sound\n" and own("system", "check") == ""


def test_leftovers_and_killed_repairs(own: Own, store: Path, layout: str, insecure: str) -> None:
    root = store / "home/.local/share/pyman"
    own("pull", "-q", f"oci:{layout}:latest", rc=-9, PYMAN_KILL_AT="pull:blobs")
    assert own("system", "check") == ""  # it may belong to a pull that goes on
    found = check(own, "--max", "0s", rc=125)
    assert len(found["Layers"]) == 3  # type: ignore[arg-type] # a layer and two blobs
    assert "nothing uses it" in own("system", "check", "--max", "0", rc=125)
    own("system", "check", "--max", "0", "--repair")
    assert not os.listdir(root / "layers") and not os.listdir(root / "blobs/sha256")
    # A repair that is killed leaves what the next one mends.
    own("pull", "-q", insecure)
    for stage in ("pull:manifest", "pull:unpacked", "pull:commit", "pull:layers", "pull:blobs"):
        in_layer(own, store, EVIL)
        assert kill_at(store, stage + "!", "system", "check", "--repair") == -9, stage
        own("system", "check", "--repair")
        assert own("system", "check") == ""
        assert own("run", "--rm", "--network", "none", insecure, "echo", "fine") == "fine\n"
        assert len(os.listdir(root / "layers")) == 1 and not os.listdir(root / "trash") and not os.listdir(root / "tmp"), stage
