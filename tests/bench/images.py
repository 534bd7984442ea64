"""What the benches of images share: an image, a registry on loopback, homes on fresh file systems, costs of commands, the table of ratios."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pwd
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

LAYERS, FILES, MEAN = 10, int(os.environ.get("BENCH_FILES", "2000")), 18_000  # layers, files of each, bytes of a file
PORT = 5317
NAME = f"127.0.0.1:{PORT}/bench:latest"
TOOLS = ("pyman", "podman")
SKOPEO = "skopeo"  # copies blobs as they are: no layer is unpacked or made, so it has no counterpart to all that is measured
KIND = "application/vnd.oci.image"
Costs = dict[str, dict[str, list[tuple[float, float, int]]]]  # what -> tool -> (seconds, CPU seconds, KiB) of each time


def layer(number: int) -> bytes:
    """A plain tar: text-like files of many sizes, half of whose bytes are random, in directories of fifty."""
    source = random.Random(number)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for index in range(FILES):
            size = int(source.expovariate(1 / MEAN)) + 1
            data = (source.randbytes(size // 2 + 1).hex() * 2)[:size].encode()
            info = tarfile.TarInfo(f"layer{number}/d{index // 50}/file{index}")
            info.size, info.mode, info.mtime = len(data), 0o644, 1_700_000_000 + index
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def configuration(diffs: list[str], **more: object) -> bytes:
    """An image's configuration for this machine."""
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    value = {"architecture": arch, "os": "linux", "config": {"Cmd": ["true"]}, "rootfs": {"type": "layers", "diff_ids": diffs}, **more}
    return json.dumps(value).encode()


def make_layout(path: Path) -> None:
    """The image as an OCI layout, layers compressed by gzip as most tools do it."""
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, media: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    layers, diffs = [], []
    for number in range(LAYERS):
        plain = layer(number)
        diffs.append("sha256:" + hashlib.sha256(plain).hexdigest())
        layers.append(blob(gzip.compress(plain, 6, mtime=0), f"{KIND}.layer.v1.tar+gzip"))
    config = blob(configuration(diffs), f"{KIND}.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": f"{KIND}.manifest.v1+json", "config": config, "layers": layers}
    entry = blob(json.dumps(manifest).encode(), f"{KIND}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def make_many(path: Path, count: int) -> None:
    """A docker-archive with `count` images of one small layer."""
    small = io.BytesIO()
    with tarfile.open(fileobj=small, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("file"))
    plain = small.getvalue()
    with tarfile.open(path, "w") as tar:

        def add(name: str, data: bytes) -> str:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            return name

        add("layer.tar", plain)
        diff = "sha256:" + hashlib.sha256(plain).hexdigest()
        entries = []
        for number in range(count):
            data = configuration([diff], author=f"number {number}")
            config = add(hashlib.sha256(data).hexdigest() + ".json", data)
            entries.append({"Config": config, "RepoTags": [f"localhost/many{number}:latest"], "Layers": ["layer.tar"]})
        add("manifest.json", json.dumps(entries).encode())


def apart(action: Callable[[], None]) -> None:
    """Do it in a child: a command's largest size is never said to be less than what its parent had at the fork, so this process stays small."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("the image could not be made")


class Homes:
    """A home for each tool: on an ext4 file system of its own that is new each time (as root), else a new directory.

    As root, `account` runs the tools. On ext4 a file made soon after others were removed costs much more than on a new file system.
    """

    def __init__(self, place: Path, account: str) -> None:
        self.place, self.account = place, pwd.getpwnam(account) if account else None
        self._mounted: set[str] = set()
        self.inputs = place / "inputs"
        self.inputs.mkdir()
        if self.account:
            place.chmod(0o755)

    def fresh(self, tool: str) -> None:
        """A new, empty home."""
        self.close(tool)
        home = self.place / tool
        if self.account:
            home.mkdir(exist_ok=True)
            disk = self.place / f"{tool}.ext4"
            disk.unlink(missing_ok=True)
            with open(disk, "wb") as file:
                file.truncate(8 << 30)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(disk)], check=True)
            subprocess.run(["mount", "-o", "loop", str(disk), str(home)], check=True)
            self._mounted.add(tool)
            os.chown(home, self.account.pw_uid, self.account.pw_gid)
            home.chmod(0o700)
        else:
            if home.exists():
                subprocess.run([tool, "unshare", "rm", "-rf", str(home)], env=self.environment(tool), capture_output=True, check=False)
                shutil.rmtree(home, ignore_errors=True)
            home.mkdir(mode=0o700)
        for name in ("run", "out"):
            (home / name).mkdir(mode=0o700)
            if self.account:
                os.chown(home / name, self.account.pw_uid, self.account.pw_gid)

    def environment(self, tool: str) -> dict[str, str]:
        """Where the tool keeps everything."""
        home = str(self.place / tool)
        return {"HOME": home, "XDG_RUNTIME_DIR": f"{home}/run", "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TMPDIR": f"{home}/out"}

    def cost(self, tool: str, *args: str) -> tuple[float, float, int]:
        """(seconds, CPU seconds of it and its children, the largest of them in KiB) of `tool args`, which must succeed."""
        command = [tool, *args]
        if self.account:
            ids = ["--reuid", str(self.account.pw_uid), "--regid", str(self.account.pw_gid), "--init-groups"]
            command = ["setpriv", *ids, *command]
        os.sync()
        with open(self.inputs / "said", "w+b") as said:
            started = time.perf_counter()
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=self.environment(tool), cwd=self.place / tool
            )
            _, status, used = os.wait4(process.pid, 0)
            taken = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            if process.returncode:
                raise SystemExit(f"{tool} {' '.join(args)}: {process.returncode}: {said.read().decode(errors='replace')}")
        return taken, used.ru_utime + used.ru_stime, used.ru_maxrss

    def close(self, tool: str = "") -> None:
        """Unmount."""
        for one in [tool] if tool else sorted(self._mounted):
            if one in self._mounted:
                if one != SKOPEO:
                    self.cost(one, "system", "migrate")  # ends the process that keeps Podman's user namespace
                subprocess.run(["umount", "--lazy", str(self.place / one)], check=True)
                self._mounted.discard(one)


def note(costs: Costs, what: str, tool: str, cost: tuple[float, float, int]) -> None:
    """Keep a cost; shown at once if $BENCH_VERBOSE is set."""
    costs.setdefault(what, {}).setdefault(tool, []).append(cost)
    if os.environ.get("BENCH_VERBOSE"):
        print(f"{what}, {tool}: {cost[0]:.2f} s, {cost[1]:.2f} s CPU, {cost[2] >> 10} MiB", file=sys.stderr, flush=True)


def table(costs: Costs, targets: dict[str, str]) -> str:
    """The table of docs/performance.md: medians of pyman's costs divided by those of Podman's, and by skopeo's."""
    lines = [
        "| what | wall time | CPU time | peak memory | wall / skopeo | CPU / skopeo | target (wall) |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, found in costs.items():
        middle = {tool: [statistics.median(one[index] for one in found[tool]) for index in range(3)] for tool in found}
        ratios = [f"{mine / theirs:.2f}" for mine, theirs in zip(middle["pyman"], middle["podman"])]
        ratios += [f"{mine / theirs:.2f}" for mine, theirs in zip(middle["pyman"][:2], middle[SKOPEO])] if SKOPEO in middle else ["-", "-"]
        lines.append(f"| {what} | {' | '.join(ratios)} | {targets.get(what, '-')} |")
    return "\n".join(lines)


def arguments() -> tuple[int, str]:
    """(rounds, account) of the command line. As root an account is needed: nobody's store is root's here."""
    words = sys.argv[1:]
    rounds = int(words.pop(0)) if words and words[0].isdigit() else 3
    account = words[0] if words else ""
    if (os.getuid() == 0) != bool(account):
        raise SystemExit("as root: ROUNDS ACCOUNT, which runs the tools on fresh file systems; else: ROUNDS")
    if not account:
        print("not as root: homes are new directories of one file system, not file systems of their own", file=sys.stderr)
    return rounds, account


def copied(homes: Homes, source: str, target: str) -> tuple[float, float, int]:
    """What it costs skopeo to copy an image."""
    options = ("-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false")
    return homes.cost(SKOPEO, "copy", *options, source, target)


def serve(place: Path) -> subprocess.Popen[bytes]:
    """Debian's registry on loopback, its blobs in `place`."""
    config = place / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {place}/registry}}}}\nhttp: {{addr: '127.0.0.1:{PORT}'}}\n"
    )
    server = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        if subprocess.run(["curl", "-s", f"http://127.0.0.1:{PORT}/v2/"], stdout=subprocess.DEVNULL, check=False).returncode == 0:
            return server
        time.sleep(0.05)
    raise SystemExit("docker-registry does not answer")


def skopeo(place: Path, target: str) -> None:
    """Bring the layout to the registry."""
    argv = ["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", f"oci:{place}/layout:latest", f"docker://{target}"]
    subprocess.run(argv, check=True)
