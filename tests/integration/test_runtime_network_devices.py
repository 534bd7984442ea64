"""linux.netDevices: devices of the caller's become the container's, all of them or none. In a user and network namespace of the test's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.integration.conftest import Bundle, Runtime

SETUP = """
ip link set lo up
for name in a b; do
    ip link add dev-$name type dummy 2>/dev/null || ip link add dev-$name type veth peer name peer-$name
done
ip addr add 10.9.8.7/24 dev dev-a
ip link set dev-a up
%s
echo "code $?"
ip -o addr show dev dev-a
ip -o link show dev dev-a
ip -o link show dev dev-b
"""
INSIDE = "/bin/busybox ip -o link | /bin/busybox sed 's/^[0-9]*: /inside /; s/[@:].*//'; /bin/busybox ip -o addr"
Own = Callable[..., str]


@pytest.fixture
def own(bundle: Bundle, base: Path) -> Own:
    """own(devices, **changes) runs the bundle with these devices; what was inside, the exit code and errors, then what is outside."""

    def run(devices: dict[str, Any], args: list[str] | None = None, **changes: Any) -> str:
        spec = bundle.spec
        spec["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "mount", "ipc", "network")]
        for key in ("uidMappings", "gidMappings"):
            spec["linux"].pop(key, None)
        spec.pop("hostname", None)
        spec["linux"]["netDevices"] = devices
        spec.update(changes)
        bundle.save(args=args or ["/bin/sh", "-c", INSIDE])
        program = f"{sys.executable} -SI {ROOT}/pyman/runtime/__main__.py --root {base}/run/netdev run --bundle {bundle.path} netdev 2>&1"
        done = subprocess.run(
            ["unshare", "-Urn", "sh", "-c", SETUP % program],
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(base)},
            check=False,
        )
        return done.stdout + done.stderr

    return run


def is_home(text: str) -> bool:
    """Whether both devices are outside, the first with its address and up, the second as it was."""
    outside = text.split("code ", 1)[1]
    first = next((line for line in outside.splitlines() if "dev-a" in line and "mtu" in line), "")
    second = next((line for line in outside.splitlines() if "dev-b" in line and "mtu" in line), "")
    up = [",UP" in line or "<UP" in line for line in (first, second)]
    return "10.9.8.7/24" in outside and "does not exist" not in outside and up == [True, False]


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ({"dev-a": {}, "dev-b": {"name": "lo"}}, "cannot move the network device dev-b: the container has a device lo already"),
        ({"dev-a": {"name": "x"}, "lo": {"name": "lo9"}}, "cannot move the network device lo: the kernel does not let it leave"),
        ({"dev-a": {}, "dev-b": {}, "dev-c": {}}, "cannot move the network device dev-c: there is no such device"),
    ],
)
def test_a_move_that_fails_takes_back_those_before(own: Own, devices: dict[str, Any], words: str) -> None:
    text = own(devices)
    assert words in text and "code 1" in text and is_home(text), text


def test_a_creation_that_fails_later_gives_them_back(own: Own, bundle: Bundle) -> None:
    devices = {"dev-a": {"name": "other"}, "dev-b": {}}
    text = own(devices, ["/bin/no-such-program"])
    assert "no such file" in text and "code 1" in text and is_home(text), text
    text = own(devices, hooks={"prestart": [{"path": "/bin/false"}]})
    assert "prestart hook failed" in text and is_home(text), text
    text = own(devices, hooks={"poststart": [{"path": "/bin/false"}]})
    assert "poststart hook failed" in text and not is_home(text), "it ran already: they were its own"


def test_names_inside(own: Own) -> None:
    text = own({"dev-a": None, "dev-b": {"name": "eth%d"}})
    assert "inside dev-a" in text and "inside eth0" in text and "10.9.8.7/24" in text.split("code 0")[0], text
    assert not is_home(text) and "does not exist" in text
    text = own({"dev-a": {"name": "eth%d"}, "dev-b": {"name": "eth%d"}})
    assert "inside eth0" in text and "inside eth1" in text and "code 0" in text, text


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ({"": {}}, "'' is not the name of a network device"),
        ({".": {}}, "'.' is not the name"),
        ({"a/b": {}}, "'a/b' is not the name"),
        ({"a b": {}}, "'a b' is not the name"),
        ({"a": {"name": ".."}}, "'..' is not the name"),
        ({"a": {"name": "b:0"}}, "'b:0' is not the name"),
        ({"a": {"name": "sixteen-bytes-xx"}}, "1 to 15 bytes"),
        ({"a": {"name": "\u00e4" * 8}}, "1 to 15 bytes"),
        ({"a": {"name": "eth%s"}}, "may have one %d"),
        ({"a": {"name": "%d%d"}}, "may have one %d"),
        ({"a": {}, "b": {"name": "a"}}, "cannot have two devices a"),
        ({"a": 5}, "linux.netDevices.a is wrong: it must be an object"),
        ([], "linux.netDevices is wrong"),
    ],
)
def test_names_are_checked_before_anything_is_done(bundle: Bundle, runtime: Runtime, devices: Any, words: str) -> None:
    bundle.spec["linux"]["namespaces"].append({"type": "network"})
    bundle.spec["linux"]["netDevices"] = devices
    error = runtime("create", "--bundle", bundle.save(), "names", rc=1).stderr
    assert words in error and "linux.netDevices" in error and error.count("\n") == 1, error
