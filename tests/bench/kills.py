"""Commands that change the store, killed (SIGKILL) at random moments: it stays right, and the next command leaves no byte too many.

python -m tests.bench.kills [KILLS [SEED [VERB...]]]. Needs docker-registry. Ends with 1 after the first wrong answer. The moments depend
on the machine; which commands are killed and how long they are let run, as a part of the time they take, on the seed alone.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import ROOT, command, environment
from tests.integration.test_registry import start_registry

LIMIT = 300.0  # seconds after which a command hangs
GONE = 60.0  # seconds that killed processes may take to end
TMP = ("tmp", "trash", "partial", "intents")


class Lab:
    """A store of its own with an image that stays (demo, which the container `keeper` has) and one that comes and goes (other)."""

    def __init__(self, base: Path, layout: str, registry: str) -> None:
        self.base = base
        self.root = base / "home/.local/share/pyman"
        self.env = environment(base)
        self.took: dict[str, float] = {}
        self.run("pull", "-q", f"oci:{layout}:latest")
        self.run("create", "--name", "keeper", "--label", "x", "--network", "none", "demo", "true")
        script = "for i in $(seq 300); do head -c 9000 /dev/urandom > /f$i; done; head -c 3000000 /dev/urandom > /big; rm /bin/ls"
        self.run("run", "--name", "maker", "--network", "none", "demo", "sh", "-c", script)
        self.run("commit", "-q", "maker", "localhost/other")
        self.run("rm", "maker")
        self.run("save", "-q", "-o", str(base / "other.tar"), "localhost/other")
        self.run("push", "-q", "--tls-verify=false", "localhost/other", f"docker://{registry}/other:1")
        subprocess.run(["tar", "-C", "/bin", "-cf", str(base / "root.tar"), "busybox"], check=True)
        self.verbs = {
            "pull": ("pull", "-q", "--tls-verify=false", f"{registry}/other:1"),
            "push": ("push", "-q", "--tls-verify=false", "--compression-format", "gzip", "demo", f"docker://{registry}/pushed:1"),
            "push oci": ("push", "-q", "demo", f"oci:{base}/pushed"),
            "load": ("load", "-q", "-i", str(base / "other.tar")),
            "import": ("import", "-q", str(base / "root.tar"), "localhost/imported"),
            "save": ("save", "-q", "-o", str(base / "saved.tar"), "demo"),
            "commit": ("commit", "-q", "keeper", "localhost/made"),
            "rmi": ("rmi", "-f", "other", "imported", "made", f"{registry}/other:1"),
            "image prune": ("image", "prune", "-af"),
            "system prune": ("system", "prune", "-f", "--filter", "label!=x"),
            "run": ("run", "--rm", "--network", "none", "demo", "true"),
        }
        self.prune = ("image", "prune", "-f")

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Begin a command in a session of its own."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*command(), *args], env=self.env, start_new_session=True, text=True, **pipes)  # type: ignore[call-overload, no-any-return]

    def run(self, *args: str) -> str:
        """Do a command, which must succeed; its output."""
        process = self.start(*args)
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, f"{' '.join(args)}: {process.returncode}: {out}{err}"
        return out

    def warm(self) -> None:
        """Learn how long each verb takes; keeper goes through, other comes and goes."""
        for name in ("load", "pull", "import", "commit", "save", "push", "push oci", "run", "rmi", "system prune"):
            began = time.monotonic()
            self.run(*self.verbs[name])
            self.took[name] = time.monotonic() - began
        self.took["image prune"] = self.took["rmi"]

    def kill(self, chance: random.Random, verbs: list[str]) -> str:
        """Kill one command somewhere; its name, empty if it was through before."""
        name = chance.choice(verbs)
        part, whole = chance.random(), chance.random() < 0.5
        if name in ("rmi", "image prune"):
            self.run(*self.verbs["load"])  # something to remove
        process = self.start(*self.verbs[name])
        try:
            process.wait(part * self.took[name])
        except subprocess.TimeoutExpired:
            (os.killpg if whole else os.kill)(process.pid, 9)
        process.communicate()
        self.settle(process.pid)
        return name if process.returncode < 0 else ""

    def settle(self, session: int) -> None:
        """Wait until nothing of the session is left: processes that die with their parents need a moment."""
        deadline = time.monotonic() + GONE
        while left := _members(session):
            assert time.monotonic() < deadline, f"still there: {left}"
            time.sleep(0.01)

    def verify(self, deep: bool) -> int:
        """Everything is right, and what the killed command has left is gone after the next one; the bytes that are too many."""
        deadline = time.monotonic() + GONE
        while self.run("ps", "-aq").count("\n") > 1:
            assert time.monotonic() < deadline, "a killed run's container stays"
            time.sleep(0.01)
        self.run("images")
        assert self.run("run", "--rm", "--network", "none", "demo", "echo", "fine") == "fine\n"
        if "localhost/other" in self.run("images", "--format", "{{.Repository}}"):
            assert self.run("run", "--rm", "--network", "none", "localhost/other", "sh", "-c", "wc -c < /big") == "3000000\n"
        assert self.run("system", "check", *([] if deep else ["--quick"])) == ""
        self.run(*self.prune)
        return self.leaked()

    def leaked(self) -> int:
        """Bytes of files in the store that nothing names."""
        records = json.loads((self.root / "images.json").read_text())["images"].values()
        blobs = {blob for record in records for blob in (record["manifest"], record["config"])}
        layers = {diff_id for record in records for diff_id in record["layers"]}
        extra = [path for place in TMP if (self.root / place).is_dir() for path in (self.root / place).iterdir()]
        extra += [path for path in (self.root / "layers").iterdir() if path.name not in layers]
        extra += [path for path in (self.root / "blobs/sha256").iterdir() if path.name not in blobs]
        extra += list((self.root / "containers").iterdir())[1:] + list((self.root / "names").iterdir())[1:]
        extra += list(self.root.glob("*.tmp"))
        sizes = subprocess.run(["du", "-sb", *map(str, extra)], capture_output=True, text=True).stdout.splitlines() if extra else []
        if extra:
            print("left:", *extra)
        return sum(int(line.split()[0]) for line in sizes) + (not sizes and len(extra))


def _members(session: int) -> list[str]:
    found = []
    for entry in os.listdir("/proc"):
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split() if entry.isdigit() else []
        except OSError:
            continue
        if fields and fields[3] == str(session) and fields[0] not in "ZX":
            found.append(entry)
    return found


def soak(lab: Lab, kills: int, seed: int, deep_every: int = 10, verbs: list[str] | None = None) -> dict[str, int]:
    """Kill that many commands (`verbs`, or any) and look after each; how many of each verb. AssertionError."""
    chance, counts = random.Random(seed), dict.fromkeys(sorted(lab.verbs), 0)
    lab.warm()
    while sum(counts.values()) < kills:
        name = lab.kill(chance, verbs or sorted(lab.verbs))
        done = sum(counts.values())
        leaked = lab.verify(done % deep_every == 0)
        assert leaked == 0, f"{leaked} bytes are left after kill {done} ({name})"
        if name:
            counts[name] += 1
    return counts


def main() -> int:
    """Parse the command line, make a laboratory, and report."""
    words = sys.argv[1:]
    kills, seed = int(words[0]) if words else 1000, int(words[1]) if len(words) > 1 else 1
    base = Path(tempfile.mkdtemp(prefix="pm-"))
    subprocess.run([sys.executable, str(ROOT / "shims/make-demo-image.py"), str(base / "demo")], check=True)
    process, address = start_registry(base / "registry", {})
    began = time.monotonic()
    try:
        lab = Lab(base, str(base / "demo"), address)
        counts = soak(lab, kills, seed, verbs=words[2:])
        lab.run("system", "reset", "-f")
    finally:
        process.kill()
    print(f"{kills} kills in {time.monotonic() - began:.0f} s, seed {seed}: all right, 0 bytes left:", counts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
