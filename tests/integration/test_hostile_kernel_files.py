"""Control groups and kernel settings as a container sees them: nothing outside its own can be changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.test_hostile_config import inner, variant
from tests.integration.test_hostile_output import EVIL, clean, on_terminal
from tests.integration.test_hostile_roots import make_root

__all__ = ["variant"]
NONE = ("--rm", "--network", "none")
CGROUP = """
cd /sys/fs/cgroup || exit 0
(mkdir new) 2>/dev/null && echo made
for file in $(find . -maxdepth 4 -type f 2>/dev/null | head -n 300); do
    (echo > $file) 2>/dev/null && echo opened $file
done
mount -o remount,rw /sys/fs/cgroup 2>/dev/null && echo remounted
umount /sys/fs/cgroup 2>/dev/null && echo unmounted
echo end
"""


@pytest.mark.parametrize("namespace", ["private", "host"])
@pytest.mark.parametrize("user", ["0", "1000"])
def test_control_groups_are_read_only(pyman: Run, image: str, namespace: str, user: str) -> None:
    done = pyman("run", *NONE, "--cgroupns", namespace, "--user", user, image, "sh", "-c", CGROUP)
    assert done.stdout == "end\n", done


@pytest.mark.parametrize("path", ["proc", "proc/sys", "proc/sys/net", "sys", "sys/fs/cgroup", "dev/mqueue", "dev/shm"])
@pytest.mark.parametrize("target", ["victim", "/proc", "/dev", "../../.."])
def test_settings_go_to_the_kernel_only(pyman: Run, base: Path, path: str, target: str) -> None:
    """An image with links where the kernel's files are mounted: no setting is written elsewhere, nothing is mounted elsewhere."""
    root = make_root(base, "sysctl-root")
    victim = base / "sysctl-victim"
    shutil.rmtree(victim, ignore_errors=True)
    (victim / "sys/net/ipv4").mkdir(parents=True)
    (victim / "sys/net/ipv4/ip_forward").write_text("host")
    link = root / path
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(str(victim) if target == "victim" else target)
    options = ("--sysctl", "net.ipv4.ip_forward=1", "--oom-score-adj", "500", "--rootfs", str(root))
    done = pyman("run", *NONE, *options, "/bin/busybox", "cat", "/proc/sys/net/ipv4/ip_forward", "/proc/self/oom_score_adj", rc=None)
    assert done.returncode in (0, 125, 126, 127) and "Traceback" not in done.stderr, done
    assert done.returncode or done.stdout == "1\n500\n", done
    assert (victim / "sys/net/ipv4/ip_forward").read_text() == "host"
    assert sorted(entry.name for entry in victim.rglob("*")) == ["ip_forward", "ipv4", "net", "sys"]


def test_texts_of_images_on_a_terminal(pyman: Run, variant: object, base: Path) -> None:
    make = variant
    name = make(  # type: ignore[operator]
        lambda document: (
            inner(Labels={EVIL: EVIL}, Env=[f"A={EVIL}"], Cmd=[EVIL], Entrypoint=[EVIL], WorkingDir="/" + EVIL, StopSignal=EVIL)(document),
            document.update(author=EVIL, created=EVIL, history=[{"created_by": EVIL, "comment": EVIL}], architecture="amd64"),
        )[0]
    )
    assert clean(on_terminal(base, "pull", name))
    for args in (
        ("images",),
        ("images", "--format", "{{json .}}"),
        ("image", "inspect", "localhost/variant"),
        ("image", "inspect", "localhost/variant", "--format", "{{.Config.Labels}} {{.Config.Cmd}}"),
        ("run", *NONE, "localhost/variant"),
        ("create", "--name", "texts", "localhost/variant"),
        ("ps", "-a"),
        ("inspect", "texts"),
        ("start", "-a", "texts"),
        ("stop", "texts"),
        ("rm", "texts"),
    ):
        assert clean(on_terminal(base, *args)), args
    pyman("rmi", "-f", "localhost/variant", rc=None)
