"""kill -9 at every named stage of pull and run: the next commands work, and in the end nothing is left."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyman import stages
from tests.conftest import ROOT, Run, command, environment, until
from tests.integration.test_registry import plain_registry
from tests.integration.test_restart_policies import ended


@pytest.fixture(scope="module")
def registry(base: Path, layout: str) -> Iterator[str]:
    with plain_registry(base / "stages-registry", layout, "demo:1") as address:
        yield address


def kill_at(base: Path, stage: str, *args: str, **extra: str) -> int:
    """Run pyman in a process group of its own, to be killed at `stage`; its exit code."""
    env = environment(base, PYMAN_KILL_AT=stage, **extra)
    child = subprocess.Popen(
        [*command(), *args], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    code = child.wait(300)
    group_ended(child.pid)
    return code


def group_ended(group: int) -> None:
    """Wait for what was killed with a command, or ends since it has gone: it may hold locks until then."""
    until(lambda: not any(_in_group(entry, group) for entry in os.listdir("/proc")), f"processes of the group {group} are left")


def _in_group(entry: str, group: int) -> bool:
    try:
        fields = Path(f"/proc/{entry}/stat").read_text(errors="replace").rpartition(")")[2].split() if entry.isdigit() else ["Z"]
    except OSError:
        return False
    return fields[0] not in "ZX" and int(fields[2]) == group


def settled(base: Path, store: str) -> None:
    """No process that names the store or its containers is left (those killed need a moment to go)."""
    for _ in range(6000):
        left = []
        for entry in os.listdir("/proc"):
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes() if entry.isdigit() else b""
                mine = bool(line) and os.stat(f"/proc/{entry}").st_uid == os.getuid() and int(entry) != os.getpid()
            except OSError:
                continue
            # A holder of namespaces names no directory.
            if mine and (store.encode() in line or str(base).encode() + b"/run" in line or line.startswith(b"pyman-namespaces")):
                left.append(line.replace(b"\0", b" "))
        if not left:
            return
        time.sleep(0.01)
    raise AssertionError(left)


def contents(path: Path) -> list[str]:
    return sorted(os.listdir(path)) if path.exists() else []


@pytest.mark.parametrize("whole", ["process", "group"])
@pytest.mark.parametrize("stage", stages.RUN)
def test_run(pyman: Run, image: str, base: Path, stage: str, whole: str) -> None:
    settled(base, "nothing of the tests before")
    code = kill_at(base, stage + ("!" if whole == "group" else ""), "run", "--rm", "--name", "killed", image, "true")
    assert code != 0, f"{stage} was not reached"
    pyman("ps", "-a")
    until(lambda: not pyman("ps", "-aq").stdout)  # a container whose init has just been killed takes a moment to end
    assert pyman("run", "--rm", "--name", "killed", image, "echo", "fine").stdout == "fine\n"
    assert not pyman("ps", "-aq").stdout
    settled(base, str(base / "home"))
    store = base / "home/.local/share/pyman"
    for place in (store / "containers", store / "names", base / "run/pyman/containers"):
        until(lambda place=place: not contents(place), f"{place} is not empty")  # type: ignore[misc] # the killed one's monitor tidies up itself
    # What the monitor's clean-up could not delete, because the one that was killed had not ended yet, goes with the next command.
    until(
        lambda: not contents(store / "trash") or pyman("run", "--rm", "--network", "none", image, "true").returncode,
        "the trash is not empty",
    )


@pytest.mark.parametrize("stage", [stage for stage in stages.RUN if stage.startswith("create:")])
def test_create(pyman: Run, image: str, base: Path, stage: str) -> None:
    """What is not complete is no container; what is can be used."""
    assert kill_at(base, stage, "create", "--name", "killed", "--network", "none", image, "true") != 0
    exists = stage == "create:config"
    assert pyman("ps", "-a", "--format", "{{.Names}}").stdout.split() == (["killed"] if exists else [])
    pyman("auto-update", "--dry-run")
    pyman("create", "--replace", "--name", "killed", "--network", "none", image, "true")
    pyman("start", "-a", "killed")
    pyman("rm", "killed")
    assert not contents(base / "home/.local/share/pyman/containers")


@pytest.mark.parametrize("stage", [stage for stage in stages.RUN if stage.startswith("start:")])
def test_detached_run_and_restart(pyman: Run, image: str, base: Path, stage: str) -> None:
    pyman("create", "--name", "kept", image, "sleep", "600")
    kill_at(base, stage + "!", "start", "kept")
    pyman("rm", "-f", "-t", "0", "probe", rc=None)

    def state() -> str:
        return pyman("ps", "-a", "--format", "{{.State}}").stdout.strip()

    # A container whose monitor was killed is about to end.
    until(lambda: state() != "running" or not ended(int(pyman("inspect", "-f", "{{.State.ConmonPid}}", "kept").stdout)))
    assert state() in ("created", "running", "exited")
    pyman("start", "kept")
    assert pyman("exec", "kept", "echo", "alive").stdout == "alive\n"
    pyman("rm", "-f", "-t", "0", "kept")
    settled(base, str(base / "home"))


@pytest.mark.parametrize("whole", ["process", "group"])
@pytest.mark.parametrize("stage", stages.PULL)
def test_pull(pyman: Run, base: Path, registry: str, stage: str, whole: str) -> None:
    store = base / "stages-store"
    env = {"PYMAN_GRAPHROOT": str(store)}
    name = f"{registry}/demo:1"
    code = kill_at(base, stage + ("!" if whole == "group" else ""), "pull", "-q", "--tls-verify=false", name, **env)
    assert code != 0, f"{stage} was not reached"
    pyman("images", env=env)
    pyman("pull", "-q", "--tls-verify=false", name, env=env)
    assert pyman("run", "--rm", "--network", "none", name, "echo", "fine", env=env).stdout == "fine\n"
    pyman("rmi", name, env=env)
    pyman("image", "prune", "-af", env=env)
    for place in ("tmp", "trash", "partial", "layers", "blobs/sha256", "containers", "names"):
        assert not contents(store / place), place


@pytest.mark.parametrize("whole", ["process", "group"])
@pytest.mark.parametrize("stage", [*stages.PUSH, *stages.SAVE])
def test_push(pyman: Run, image: str, base: Path, registry: str, stage: str, whole: str) -> None:
    """What a killed push leaves disturbs nobody: the store is as before, no half archive exists, and the next push works."""
    name = f"{registry}/pushed-{stage.replace(':', '-')}-{whole}:1"
    places = [f"docker://{name}"] if stage in stages.PUSH else [f"{kind}:{base}/killed.tar" for kind in ("docker-archive", "oci-archive")]
    for noted in (base / "home/.local/share/pyman/layers").glob("*/pushed.json"):
        noted.unlink()
    for place in places:
        before = contents(base)
        code = kill_at(base, stage + ("!" if whole == "group" else ""), "push", "-q", "--tls-verify=false", image, place)
        assert code != 0, f"{stage} was not reached"
        assert contents(base) == before
        pyman("images")
        pyman("push", "-q", "--tls-verify=false", image, place)
        store = {"PYMAN_GRAPHROOT": str(base / "pushed-store")}
        pyman("pull", "-q", "--tls-verify=false", place, env=store)
        assert (
            pyman("run", "--rm", "--network", "none", pyman("images", "-q", env=store).stdout.strip(), "echo", "ok", env=store).stdout
            == "ok\n"
        )
        pyman("rmi", "-af", env=store)
    (base / "killed.tar").unlink(missing_ok=True)
    assert not contents(base / "home/.local/share/pyman/tmp")


@pytest.mark.parametrize("whole", ["process", "group"])
@pytest.mark.parametrize("stage", stages.COMMIT)
def test_commit(pyman: Run, layout: str, base: Path, stage: str, whole: str) -> None:
    store = base / "commit-store"
    env = {"PYMAN_GRAPHROOT": str(store), "PYMAN_RUNROOT": str(base / "commit-run")}
    pyman("pull", "-q", f"oci:{layout}:latest", env=env)
    pyman("run", "--name", "source", "--network", "none", "localhost/demo", "sh", "-c", "echo committed > /file", env=env)
    code = kill_at(base, stage + ("!" if whole == "group" else ""), "commit", "-q", "source", "made", **env)
    assert code != 0, f"{stage} was not reached"
    assert "A /file\n" in pyman("diff", "source", env=env).stdout
    pyman("image", "exists", "made", rc=0 if stage == "commit:record" else 1, env=env)
    pyman("image", "prune", "-f", env=env)
    assert len(contents(store / "layers")) == (2 if stage == "commit:record" else 1)
    pyman("commit", "-q", "source", "made", env=env)
    assert pyman("run", "--rm", "--network", "none", "made", "cat", "/file", env=env).stdout == "committed\n"
    pyman("rm", "source", env=env)
    pyman("image", "prune", "-af", env=env)
    for place in ("tmp", "trash", "intents", "layers", "blobs/sha256", "containers", "names"):
        assert not contents(store / place), place


@pytest.mark.parametrize("stage", [*stages.RESTART, *(stage for stage in stages.RUN if stage.startswith("start:"))])
def test_restart(pyman: Run, image: str, base: Path, stage: str) -> None:
    """Killed after the stop: it is stopped, and its policy leaves it so; killed later: as a killed start leaves it."""
    pyman("run", "-d", "--name", "kept", "--network", "none", "--restart", "always", image, "sleep", "600")
    assert kill_at(base, stage + "!", "restart", "-t", "0", "kept") or stage == "start:reported"
    assert pyman("ps", "-a", "--format", "{{.State}}").stdout.strip() in (("exited",) if stage in stages.RESTART else ("exited", "running"))
    pyman("restart", "-t", "0", "kept")
    assert pyman("exec", "kept", "echo", "alive").stdout == "alive\n"
    pyman("rm", "-f", "-t", "0", "kept")
    settled(base, str(base / "home"))


@pytest.mark.parametrize("stage", stages.PAUSE)
def test_pause(pyman: Run, image: str, base: Path, stage: str) -> None:
    pyman("run", "-d", "--name", "kept", "--network", "none", image, "sleep", "600")
    assert kill_at(base, stage, "pause", "kept") != 0
    frozen = stage == "pause:frozen"
    assert pyman("ps", "-a", "--format", "{{.State}}").stdout == ("paused\n" if frozen else "running\n")
    pyman("unpause" if frozen else "pause", "kept")
    pyman("exec", "kept", "echo", "alive", rc=0 if frozen else 255)
    pyman("rm", "-f", "-t", "0", "kept")


@pytest.mark.parametrize("stage", stages.RENAME)
def test_rename(pyman: Run, image: str, base: Path, stage: str) -> None:
    """It has one name, and the other one is free."""
    pyman("create", "--name", "first", "--network", "none", image, "true")
    assert kill_at(base, stage, "rename", "first", "second") != 0
    name, other = ("first", "second") if stage == "rename:reserved" else ("second", "first")
    assert pyman("ps", "-a", "--format", "{{.Names}}").stdout == f"{name}\n"
    pyman("container", "exists", other, rc=1)
    assert kill_at(base, stage, "rename", name, other) != 0
    name, other = (name, other) if stage == "rename:reserved" else (other, name)
    pyman("create", "--name", other, "--network", "none", image, "true")
    pyman("rm", "first", "second")
    settled(base, str(base / "home"))


@pytest.mark.parametrize("whole", ["process", "group"])
@pytest.mark.parametrize("stage", [*(stage for stage in stages.PULL if stage not in ("pull:download", "pull:record")), *stages.LOAD])
def test_load(pyman: Run, image: str, base: Path, stage: str, whole: str) -> None:
    archive = base / "stages.tar.gz"
    if not archive.exists():
        pyman("save", "-q", "-o", str(base / "stages.tar"), image)
        subprocess.run(["gzip", "-1", str(base / "stages.tar")], check=True)
    store = base / "load-store"
    env = {"PYMAN_GRAPHROOT": str(store)}
    assert kill_at(base, stage + ("!" if whole == "group" else ""), "load", "-q", "-i", str(archive), **env) != 0, (
        f"{stage} was not reached"
    )
    pyman("images", env=env)
    pyman("load", "-q", "-i", str(archive), env=env)
    assert pyman("run", "--rm", "--network", "none", image, "echo", "fine", env=env).stdout == "fine\n"
    pyman("rmi", image, env=env)
    pyman("image", "prune", "-af", env=env)
    for place in ("tmp", "trash", "partial", "layers", "blobs/sha256", "containers", "names"):
        assert not contents(store / place), place


@pytest.mark.parametrize("whole", ["process", "group"])
@pytest.mark.parametrize("stage", stages.IMPORT)
def test_import(pyman: Run, base: Path, stage: str, whole: str) -> None:
    archive = base / "import.tar"
    subprocess.run(["tar", "-cf", str(archive), "-C", "/bin", "busybox"], check=True)
    store = base / "import-store"
    env = {"PYMAN_GRAPHROOT": str(store)}
    code = kill_at(base, stage + ("!" if whole == "group" else ""), "import", "-q", str(archive), "made:1", **env)
    assert code != 0, f"{stage} was not reached"
    pyman("image", "exists", "made:1", rc=0 if stage == "import:record" else 1, env=env)
    pyman("import", "-q", str(archive), "made:2", env=env)
    pyman("image", "prune", "-af", env=env)
    for place in ("tmp", "trash", "intents", "layers", "blobs/sha256"):
        assert not contents(store / place), place


@pytest.mark.parametrize("whole", ["process", "group"])
@pytest.mark.parametrize("stage", stages.RMI)
def test_removal(pyman: Run, layout: str, base: Path, stage: str, whole: str) -> None:
    """An image exists whole or not at all, and what is left of it goes with the next command."""
    store = base / "removal-store"
    env = {"PYMAN_GRAPHROOT": str(store), "PYMAN_RUNROOT": str(base / "removal-run")}
    for words in (("rmi", "demo"), ("image", "prune", "-af"), ("system", "prune", "-af")):
        pyman("pull", "-q", f"oci:{layout}:latest", env=env)
        assert kill_at(base, stage + ("!" if whole == "group" else ""), *words, **env) != 0, f"{stage} was not reached"
        assert pyman("system", "check", env=env).stdout == ""
        if stage == "rmi:noted":
            assert pyman("run", "--rm", "--network", "none", "demo", "echo", "fine", env=env).stdout == "fine\n"
        else:
            assert not pyman("images", "-q", env=env).stdout
        pyman("rmi", "-f", "demo", env=env)
        pyman("load", "-i", str(base / "nothing"), env=env, rc=125)
        for place in ("tmp", "trash", "intents", "layers", "blobs/sha256"):
            assert not contents(store / place), (place, words)


@pytest.mark.parametrize("stage", stages.ARTIFACT)
def test_artifact(pyman: Run, base: Path, stage: str) -> None:
    (base / "file").write_text("a file")
    assert kill_at(base, stage, "artifact", "add", "killed:1", str(base / "file")) != 0
    assert len(pyman("artifact", "ls", "-n").stdout.splitlines()) == (stage == "artifact:index")
    pyman("artifact", "add", "--replace", "killed:1", str(base / "file"))
    pyman("artifact", "rm", "killed:1")
    assert not contents(base / "home/.local/share/pyman/artifacts/blobs/sha256")


def test_every_stage_of_the_list_is_in_the_code() -> None:
    places = [*Path(stages.__file__).parent.rglob("*.py"), *(ROOT / "shims").rglob("*.[ch]")]
    source = "".join(path.read_text() for path in places)
    for stage in stages.ALL:
        assert source.count(f'reach("{stage}")') == 1, stage


@pytest.mark.parametrize("whole", ["process", "group"])
@pytest.mark.parametrize("stage", stages.VOLUME)
def test_volumes(pyman: Run, image: str, base: Path, stage: str, whole: str) -> None:
    """Volumes exist whole or not at all, are filled whole in the end, and none is left that belongs to nobody."""
    pyman("volume", "create", "old")
    tree = base / "imported"
    for name in ("one", "two"):
        (tree / name).mkdir(parents=True, exist_ok=True)
        (tree / name / "file").write_text(name)
    archive = base / "imported.tar"
    subprocess.run(["tar", "-C", str(tree), "-cf", str(archive), "."], check=True)
    made = ("run", "--rm", "--network", "none", "--name", "killed", "-v", "new:/bin", "-v", "/anonymous", image, "/bin/true")
    action = {
        "volume:unpacked": ("volume", "import", "old", str(archive)),
        "volume:importing": ("volume", "import", "old", str(archive)),
        "volume:removing": ("volume", "rm", "old"),
    }.get(stage, made)
    code = kill_at(base, stage + ("!" if whole == "group" else ""), *action)
    assert code != 0, f"{stage} was not reached"
    until(lambda: not pyman("ps", "-aq").stdout)  # a container whose init has just been killed takes a moment to end
    if action[1] == "import":
        before = sorted(os.listdir(base / "home/.local/share/pyman/volumes/old/_data"))
        assert before in ([], ["one"], ["one", "two"]) and (stage == "volume:importing" or not before)
        pyman(*action)
        assert (base / "home/.local/share/pyman/volumes/old/_data/two/file").read_text() == "two"
    else:
        pyman(*action, rc=0)
    pyman("volume", "ls")
    if action is made:
        assert len(os.listdir(base / "home/.local/share/pyman/volumes/new/_data")) > 100
    pyman("volume", "prune", "-f")
    for place in ("containers", "names", "trash", "tmp", "volumes"):
        assert not contents(base / "home/.local/share/pyman" / place), place
    settled(base, str(base / "home"))
