"""The virtual machine: qemu as a child of the tests, and shell scripts run in it through one kept ssh connection."""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import mmap
import os
import shlex
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 3000  # seconds after which qemu ends, whatever the tests do
PATIENCE = 600  # seconds for a boot or a connection, in emulation on a busy machine
KERNEL = (
    "console=ttyS0 quiet loglevel=3 net.ifnames=0 mitigations=off audit=0 init_on_alloc=0 nowatchdog tsc=reliable"
    " no_timer_check random.trust_cpu=on rcupdate.rcu_expedited=1 cryptomgr.notests panic=-1 systemd.show_status=0 rw"
)
Done = subprocess.CompletedProcess[str]


class Machine:
    """One running machine of the image in `image` (made by tests/vm/build). What it writes to its disk is lost at the end.

    vm(script): see `__call__`. PYMAN_VM_KVM=1 uses the processor's own virtualization. With `keep` the state after the boot is saved
    beside the image and used from then on.
    """

    def __init__(self, image: Path, scratch: Path, keep: bool) -> None:
        self.image, self.scratch = image, scratch
        self.port = 0
        saved = image / "saved"
        if keep and not saved.exists():
            subprocess.run(["cp", "--sparse=always", image / "root.raw", image / "saved.raw"], check=True, timeout=PATIENCE)
            self._boot("-drive", self._disk("saved.raw", "off"))
            self._save(saved)
        if keep:
            self._boot("-drive", self._disk("saved.raw", "on"), "-incoming", f"exec:cat {shlex.quote(str(saved))}")
        else:
            self._boot("-drive", self._disk("root.raw", "on"))
        self("date -s @" + str(int(time.time())), user="root")
        self._push_changes()

    def __call__(self, script: str, user: str = "dev", rc: int | None = 0, timeout: float = PATIENCE, input: bytes | None = None) -> Done:
        """Run a bash script (stopping at its first error) as `dev`, who has a session as after a login, or as root.

        Fails the test when its exit code is not `rc` (None: any). `input` is its standard input, else there is none.
        """
        command = [*self._ssh(), f"{user}@127.0.0.1", "exec bash -euo pipefail -c " + shlex.quote(script)]
        given = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, **given)  # type: ignore[call-overload]
        text = Done(command, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        if rc is not None and text.returncode != rc:
            pytest.fail(
                f"in the machine: exit code {text.returncode}, expected {rc}\n{script}\nstdout: {text.stdout}\nstderr: {text.stderr}"
            )
        return text

    def reboot(self) -> None:
        """Restart the guest (its disk stays) and wait until `dev`'s services have started."""
        before = self("cat /proc/sys/kernel/random/boot_id").stdout.strip()
        self("systemctl reboot", user="root", rc=None)
        self._disconnect()
        self._wait(f"test $(cat /proc/sys/kernel/random/boot_id) != {before}")

    def close(self) -> None:
        """End the machine at once."""
        self._disconnect()
        self.qemu.kill()
        self.qemu.wait()

    def _disk(self, name: str, snapshot: str) -> str:
        return f"file={self.image / name},format=raw,if=none,id=root,cache=unsafe,snapshot={snapshot}"

    def _ssh(self) -> list[str]:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes", "ConnectTimeout=60"]
        options += ["ControlMaster=auto", "ControlPersist=3600", f"ControlPath={self.scratch}/ssh-%r", "ServerAliveInterval=60"]
        return ["ssh", "-F", "/dev/null", "-i", str(self.image / "key"), "-p", str(self.port), *(f"-o{option}" for option in options), "-T"]

    def _disconnect(self) -> None:
        for path in self.scratch.glob("ssh-*"):
            subprocess.run([*self._ssh(), "-O", "exit", path.name[4:] + "@127.0.0.1"], capture_output=True, timeout=60, check=False)

    def _boot(self, *more: str) -> None:
        """Start qemu, again when somebody else took its port, and wait until scripts run."""
        for _ in range(10):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            self._start(*more)
            if "-incoming" in more:
                self._resume()
            if self._wait_for_ssh():
                break
            log = (self.scratch / "qemu.log").read_text()
            if "forwarding rule" not in log:
                pytest.fail(f"qemu ended: {log}")
        self._wait("true")

    def _start(self, *more: str) -> None:
        kvm = bool(os.environ.get("PYMAN_VM_KVM"))
        # The machine ends with the tests, however they end, and at the latest when its time is over.
        bound = ["setpriv", "--pdeathsig", "KILL"]
        command = [*bound, "timeout", "--signal=KILL", str(LIMIT), *bound, "qemu-system-x86_64", "-nodefaults", "-no-user-config"]
        command += ["-display", "none", "-machine", "q35,hpet=off,vmport=off,graphics=off", "-smp", "2", "-m", "2048"]
        command += ["-accel", "kvm", "-cpu", "host"] if kvm else ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off"]
        command += [
            "-kernel",
            str(self.image / "vmlinuz"),
            "-initrd",
            str(self.image / "initrd"),
            "-append",
            KERNEL if kvm else f"{KERNEL} tsc_early_khz={counter_rate()}",
        ]
        command += ["-chardev", f"file,id=serial,path={self.scratch}/console", "-serial", "chardev:serial"]
        command += ["-qmp", f"unix:{self.scratch}/qmp,server=on,wait=off", "-device", "virtio-rng-pci", *more, "-device"]
        command += ["virtio-blk-pci,drive=root", "-netdev", f"user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:{self.port}-:22"]
        command += ["-device", "virtio-net-pci,netdev=net,romfile="]
        with open(self.scratch / "qemu.log", "wb") as log:
            self.qemu = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(self.scratch)}
            )

    def _resume(self) -> None:
        """Let the machine go on once its state, which was saved while it stood still, is there."""
        end = time.monotonic() + PATIENCE
        while self.qemu.poll() is None and time.monotonic() < end:
            try:
                if "inmigrate" not in self._monitor("info status"):
                    self._monitor("cont")
                    return
            except OSError:
                pass  # the socket is not there yet
            time.sleep(0.1)

    def _wait_for_ssh(self) -> bool:
        """Whether the guest's ssh server answered; False when qemu has ended."""
        end = time.monotonic() + PATIENCE
        while self.qemu.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
                    if connection.recv(4) == b"SSH-":
                        return True
            except OSError:
                pass
            if time.monotonic() > end:
                self.qemu.kill()
                pytest.fail("the machine did not boot: " + (self.scratch / "console").read_text(errors="replace")[-5000:])
            time.sleep(0.1)
        return False

    def _wait(self, condition: str) -> None:
        """Wait until a user's session works, its service manager has finished starting, and the condition holds."""
        end = time.monotonic() + PATIENCE
        while True:
            self._wait_for_ssh()
            script = f"{condition} && systemctl --user is-system-running --wait"
            done = self(script, rc=None)
            if done.stdout.strip() in ("running", "degraded"):
                return
            if time.monotonic() > end:
                pytest.fail(f"no session in the machine: {done.stdout} {done.stderr}")
            self._disconnect()
            time.sleep(0.1)

    def _monitor(self, *commands: str) -> str:
        """Commands of qemu's monitor; the output of the last."""
        answer = ""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(self.scratch / "qmp"))
            stream = connection.makefile("rw")
            stream.readline()
            for request in (
                {"execute": "qmp_capabilities"},
                *({"execute": "human-monitor-command", "arguments": {"command-line": c}} for c in commands),
            ):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                while "return" not in (reply := json.loads(stream.readline())):
                    assert "error" not in reply, reply
                answer = str(reply["return"])
        return answer

    def _save(self, target: Path) -> None:
        """Write the state of the machine, which fits its disk as it is now, and end it."""
        self("podman info >/dev/null; pyman version >/dev/null; sync")  # the first run of a program is the slow one: now it is in memory
        self._disconnect()
        part = target.with_suffix(".part")
        self._monitor("stop", "migrate_set_parameter max-bandwidth 100G", f'migrate "exec:cat >{part}"')
        end = time.monotonic() + PATIENCE
        while "completed" not in (state := self._monitor("info migrate")):
            assert "failed" not in state and time.monotonic() < end, state
            time.sleep(0.1)
        self.close()
        part.rename(target)

    def _push_changes(self) -> None:
        """Bring the sources to what the clone has now; those of a new image are the same."""
        known = {line[66:]: line[:64] for line in (self.image / "sources").read_text().splitlines()}
        new = []
        for path in sorted((ROOT / "pyman").rglob("*.py")):
            name = "./" + str(path.relative_to(ROOT / "pyman"))
            if known.get(name) != hashlib.sha256(path.read_bytes()).hexdigest():
                new.append((path, name))
        if new:
            new += [(path, "./_native/" + path.name) for path in (ROOT / "pyman" / "_native").glob("pyman-*")]
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w") as tar:
                for path, name in new:
                    tar.add(path, name)
            place = "cd /opt/pyman/lib/python3*/site-packages/pyman"
            self(f"{place}; tar -x --no-same-owner; /opt/pyman/bin/python -m compileall -q .", user="root", input=stream.getvalue())


def counter_rate() -> int:
    """kHz of the processor's time stamp counter, which the emulated one shows as it is.

    Told to the guest: by itself it finds the rate out at its boot, and on a busy host its clock was up to eight times too fast then.
    """
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as code:
        code.write(bytes.fromhex("0f31 48c1e220 4809d0 c3"))  # rdtsc; shl rdx, 32; or rax, rdx; ret
        place = ctypes.c_char.from_buffer(code)
        read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(place))
        began = min(_reading(read) for _ in range(50))
        time.sleep(0.2)
        ended = min(_reading(read) for _ in range(50))
        del place, read
    return round((ended[1] - began[1]) * 1e6 / (ended[2] - began[2]))


def _reading(read: Callable[[], int]) -> tuple[int, int, int]:
    """How long it took (ns), the counter, and the clock then (ns)."""
    before = time.monotonic_ns()
    count = read()
    after = time.monotonic_ns()
    return after - before, count, (before + after) // 2
