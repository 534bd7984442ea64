"""From options to plans: specs, environments, users, capabilities, ports, names, configuration, manifests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyman.config import load, schema
from pyman.engine import caps, env, kill, logopts, mounts, names, specgen, users
from pyman.errors import ConfigError, ImageError, PymanError, UsageError
from pyman.image import manifest, reference
from pyman.monitor import terminal
from pyman.network import ports
from pyman.rootless.idmap import IdMap
from pyman.storage import images


def context(**changes: Any) -> specgen.SpecContext:
    ctx = specgen.SpecContext()
    ctx.conf = schema.defaults()
    ctx.idmap = IdMap([(0, 1000, 1), (1, 100000, 65536)], [(0, 1000, 1), (1, 100000, 65536)], False)
    ctx.id, ctx.name, ctx.hostname, ctx.rootfs, ctx.network_mode = "0" * 64, "n", "h", "/root", "pasta"
    ctx.run_dir, ctx.hosts_path, ctx.resolv_path, ctx.hostname_path = "/run/c", "/run/c/hosts", "/run/c/resolv.conf", "/run/c/hostname"
    ctx.volumes = lambda name, destination="", anonymous=False: f"/vol/{name or 'anon'}"
    for key, value in changes.items():
        setattr(ctx, key, value)
    return ctx


def spec(opts: dict[str, Any], image: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return specgen.build({"_command": ["true"], **opts}, image, context(**changes))


def kinds(value: dict[str, Any]) -> set[str]:
    return {entry["type"] for entry in value["linux"]["namespaces"]}


def mount(value: dict[str, Any], destination: str) -> dict[str, Any]:
    return next(entry for entry in value["mounts"] if entry["destination"] == destination)


def test_defaults_are_closed() -> None:
    value = spec({})
    assert kinds(value) == {"mount", "pid", "ipc", "uts", "cgroup", "network"}
    assert "/proc/kcore" in value["linux"]["maskedPaths"] and "/proc/interrupts" in value["linux"]["maskedPaths"]
    assert value["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert value["process"]["capabilities"]["inheritable"] == value["process"]["capabilities"]["ambient"] == []
    allowed = {name for rule in value["linux"]["seccomp"]["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert not allowed & {
        "io_uring_setup",
        "userfaultfd",
        "bpf",
        "keyctl",
        "add_key",
        "kexec_load",
        "init_module",
        "perf_event_open",
        "reboot",
    }


def test_namespaces_by_option() -> None:
    assert "pid" not in kinds(spec({"pid": "host"})) and "uts" not in kinds(spec({"uts": "host"}))
    assert "network" not in kinds(spec({}, network_mode="host"))
    joined = spec({"pid": "container:x"}, joined={"pid": "/proc/self/fd/9"})
    assert {"type": "pid", "path": "/proc/self/fd/9"} in joined["linux"]["namespaces"]
    with pytest.raises(UsageError):
        spec({"ipc": "odd"})


def test_keep_id_maps_the_caller_to_the_same_id() -> None:
    ctx = context()
    value = specgen.build({"_command": ["x"], "userns": "keep-id:uid=500,gid=600"}, None, ctx)
    assert {"containerID": 500, "hostID": 0, "size": 1} in value["linux"]["uidMappings"]
    assert sum(entry["size"] for entry in value["linux"]["uidMappings"]) == 65537
    assert ctx.user == "500:600" and (0, 500, 1) in ctx.uid_shift


def test_command_line_rules() -> None:
    image = {"Entrypoint": ["/e"], "Cmd": ["c"]}
    assert specgen.arguments({}, image) == ["/e", "c"]
    assert specgen.arguments({"_command": ["x"]}, image) == ["/e", "x"]
    assert specgen.arguments({"entrypoint": "/n"}, image) == ["/n"]
    assert specgen.arguments({"entrypoint": '["/n","a"]', "_command": ["b"]}, image) == ["/n", "a", "b"]
    with pytest.raises(UsageError):
        specgen.arguments({"entrypoint": "", "_given": ["entrypoint"]}, image)


def test_hostile_image_configuration() -> None:
    ctx = context(env={"SECRET": "s", "http_proxy": "p"})
    image = {"Env": ["NOEQUALS", "*", "A=1"], "Volumes": {"/../..": {}, "///x/../../etc": {}, "/data": {}}}
    value = specgen.build({"_command": ["x"]}, image, ctx)
    assert not any("SECRET" in entry or entry.startswith("NOEQUALS") for entry in value["process"]["env"])
    assert any("NOEQUALS" in warning for warning in ctx.warnings)
    destinations = {entry["destination"] for entry in value["mounts"]}
    assert "/data" in destinations and "/etc" in destinations and "/" not in destinations


def test_mount_grammar(tmp_path: Path) -> None:
    value = spec(
        {
            "volume": [f"{tmp_path}:/a:ro", "named:/b/../c"],
            "tmpfs": ["/t:size=1m,exec"],
            "mount": [f"type=bind,src={tmp_path},dst=/m,readonly"],
        }
    )
    assert "ro" in mount(value, "/a")["options"] and "nosuid" in mount(value, "/a")["options"]
    assert mount(value, "/c")["source"] == "/vol/named"
    assert "noexec" not in mount(value, "/t")["options"] and "size=1m" in mount(value, "/t")["options"]
    assert "ro" in mount(value, "/m")["options"]
    for bad in ("rel:rel", "a:/b:nope", "/nosuch-dir:/x", "x:/", "a:b:c:d"):
        with pytest.raises(UsageError):
            spec({"volume": [bad]})
    with pytest.raises(UsageError):
        spec({"volume": ["one:/x", "two:/x"]})
    for kind in ("bind", "volume", "glob", "image", "tmpfs", "devpts"):
        with pytest.raises(UsageError, match="its source is empty"):  # never the current directory, for a script's unset variable
            spec({"mount": [f"type={kind},src=,dst=/x"]})
    with pytest.raises(UsageError, match="has no source"):
        spec({"mount": ["type=devpts,src=x,dst=/x"]})


def test_sysctls_and_limits() -> None:
    assert spec({"sysctl": ["net.core.somaxconn=10"]})["linux"]["sysctl"]["net.core.somaxconn"] == "10"
    for bad in ("kernel.core_pattern=x", "vm.swappiness=1", "novalue"):
        with pytest.raises(UsageError):
            spec({"sysctl": [bad]})
    nofile = {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}
    assert [limit["type"] for limit in spec({})["process"]["rlimits"]] == ["RLIMIT_NPROC", "RLIMIT_NOFILE"]
    assert nofile in spec({"ulimit": ["nofile=10:20"]})["process"]["rlimits"]
    assert spec({"ulimit": ["host", "nofile=10:20"]})["process"]["rlimits"] == [nofile]
    with pytest.raises(UsageError):
        spec({"ulimit": ["nofile=x"]})


def test_capabilities() -> None:
    assert caps.bounding([], ["all"], False, []) == []
    assert caps.bounding(["net_admin"], ["ALL"], False, []) == ["CAP_NET_ADMIN"]
    assert len(caps.bounding(["ALL"], ["CHOWN"], False, [])) == len(caps.ALL) - 1
    assert caps.process_sets(["CAP_CHOWN"], False, [])["effective"] == []
    with pytest.raises(UsageError):
        caps.bounding(["X"], [], False, [])
    with pytest.raises(UsageError):
        caps.bounding(["CHOWN"], ["CHOWN"], False, [])


def test_users(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:5:6::/app:/bin/sh\nbad:x:99999999999:0::/:\n")
    (tmp_path / "etc/group").write_text("app:x:6:\nextra:x:7:app\n")
    fd = os.open(tmp_path, os.O_PATH)
    assert users.resolve("app", fd)["additionalGids"] == [6, 7]
    assert users.resolve("5:extra", fd)["gid"] == 7
    assert users.resolve("1234", fd)["home"] == "/"
    for bad in ("nosuch", "app:nosuch", "-1", "+1", "0x1", "4294967295", "1 ", "bad"):
        with pytest.raises(UsageError):
            users.resolve(bad, fd)
    (tmp_path / "etc/passwd").unlink()
    os.mkfifo(tmp_path / "etc/passwd")
    assert users.read_file(fd, "etc/passwd") == []
    (tmp_path / "etc/passwd").unlink()
    (tmp_path / "etc/passwd").symlink_to("/etc/passwd")
    assert users.read_file(fd, "etc/passwd") == []
    os.close(fd)


def test_environment_options(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# c\nF=1\nHOSTVAR\n")
    host = {"HOSTVAR": "h", "PRE_A": "a", "PRE_B": "b", "OTHER": "o"}
    result = env.build(
        {"env": ["PRE_*", "X=y=z"], "env_file": [str(file)], "unsetenv": ["PATH"]}, ["PATH=/p"], host, schema.defaults(), "h", []
    )
    assert {"F=1", "HOSTVAR=h", "PRE_A=a", "PRE_B=b", "X=y=z"} <= set(result)
    assert not any(entry.startswith(("PATH=", "OTHER=")) for entry in result)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("127.0.0.1:8080:80", ("127.0.0.1", 8080, 80, "tcp", 1)),
        ("8080-8082:80-82/udp", ("", 8080, 80, "udp", 3)),
        ("[::1]:8443:443", ("::1", 8443, 443, "tcp", 1)),
    ],
)
def test_ports(text: str, expected: tuple[object, ...]) -> None:
    port = ports.parse_publish([text])[0]
    assert (port["host_ip"], port["host_port"], port["container_port"], port["protocol"], port["range"]) == expected


@pytest.mark.parametrize("text", ["x", "0:80", "70000:1", "1-3:1-2", "80/sctp", "80/x", "[::1:80", "a.b.c.d:1:1", "1:2:3:4", "5-1:5-1"])
def test_bad_ports(text: str) -> None:
    with pytest.raises(UsageError):
        ports.parse_publish([text])


@pytest.mark.parametrize("text", ["٣:80", "80:٣", "1²:80", "127.0.0.1:8080-٨٠٨١:80-81"])
def test_ports_have_plain_digits(text: str) -> None:
    with pytest.raises(UsageError, match="is not a port"):
        ports.check_publish([text])


@pytest.mark.parametrize(
    ("one", "other", "where"),
    [
        ("18105:80", "127.0.0.1:18105:81", "at all addresses and at 127.0.0.1"),
        ("127.0.0.1:18105:80", "18105:80", "at 127.0.0.1 and at all addresses"),
        ("0.0.0.0:18105:80", "127.0.0.1:18105:80", "at 0.0.0.0 and at 127.0.0.1"),
        ("[::]:18105:80", "[::1]:18105:80", "at :: and at ::1"),
        ("18100-18109:80-89", "18105:70", "this container name it"),
    ],
)
def test_a_port_that_one_container_wants_twice(one: str, other: str, where: str) -> None:
    with pytest.raises(UsageError) as raised:
        ports.check_publish([one, other])
    assert "18105/tcp twice" in str(raised.value) and where in str(raised.value)


def test_ports_beside_each_other() -> None:
    ports.check_publish(["127.0.0.1:18105:80", "127.0.0.2:18105:80", "[::1]:18105:80", "127.0.0.1:18105:80/udp", "18106:80"])
    ports.check_publish(["0.0.0.0:18105:80", "[::]:18105:80"])


def test_references() -> None:
    full = reference.parse("registry.example:5000/team/app:v1")
    assert (full.registry, full.repository, full.tag) == ("registry.example:5000", "team/app", "v1")
    assert reference.parse("docker.io/debian").name() == "docker.io/library/debian:latest"
    digest = "sha256:" + "a" * 64
    assert reference.parse(f"quay.io/x/y@{digest}").target() == digest
    assert images.candidates("debian")[:2] == ["localhost/debian:latest", "docker.io/library/debian:latest"]
    for bad in ("quay.io/UP/x", "quay.io/x:", "quay.io/x@sha256:short", "quay.io/../x", "-bad/x", "quay.io/x@sha256:" + "A" * 64):
        with pytest.raises(UsageError):
            reference.parse(bad)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "schemaVersion",
                    "mediaType",
                    "manifests",
                    "layers",
                    "config",
                    "digest",
                    "size",
                    "rootfs",
                    "diff_ids",
                    "Env",
                    "Labels",
                    "platform",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_document_breaks_the_manifest_code(value: Any) -> None:
    try:
        document = manifest.loads(json.dumps(value).encode(), "x", 1 << 20)
        if manifest.kind_of(document, "", "x") == "index":
            manifest.choose(document, "", "x")
        else:
            manifest.parse_manifest(document, "x")
    except PymanError:
        pass
    try:
        manifest.parse_config(json.dumps(value).encode(), 1, "x")
    except PymanError:
        pass


def test_manifest_confusion_is_refused() -> None:
    both = {"schemaVersion": 2, "manifests": [], "layers": [], "config": {}}
    with pytest.raises(ImageError):
        manifest.kind_of(both, "", "x")
    with pytest.raises(ImageError):
        manifest.kind_of({"schemaVersion": 2, "manifests": []}, manifest.MANIFESTS[0], "x")
    with pytest.raises(ImageError):
        manifest.kind_of({"schemaVersion": 2, "mediaType": manifest.INDEXES[0], "manifests": []}, manifest.INDEXES[1], "x")
    with pytest.raises(ImageError):
        manifest.loads(b"[" * 100000, "x", 1 << 20)


@pytest.mark.parametrize(
    "text, line, word",
    [
        ("[containers]\nlog_drvier = 'x'\n", 2, "log_driver"),
        ("[engine]\n\nstop_timeout = 'x'\n", 3, "whole number"),
        ("[engin]\n", 1, "[engine]"),
        ("[storage]\ndriver = ['a']\n", 2, "string"),
    ],
)
def test_configuration_mistakes(tmp_path: Path, text: str, line: int, word: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load.load_files([str(path)])
    assert f"{path}:{line}" in caught.value.what and word in str(caught.value) + caught.value.hint


def test_configuration_merges(tmp_path: Path) -> None:
    one, two = tmp_path / "1.toml", tmp_path / "2.toml"
    one.write_text("[engine]\nstop_timeout = 3\ndetach_keys = ''\n")
    two.write_text("[engine]\nstop_timeout = 4\n[engine.runtimes]\ncrun = ['/c']\n")
    value = load.load_files([str(one), str(two), str(tmp_path / "missing")])
    assert value["engine"]["stop_timeout"] == 4 and value["engine"]["detach_keys"] == "" and value["engine"]["runtimes"] == {"crun": ["/c"]}


def test_signals_sizes_keys_names() -> None:
    assert [kill.parse_signal(text) for text in ("TERM", "SIGKILL", "9", "RTMIN+3")] == [15, 9, 9, 37]
    assert logopts.parse_size("10m", "x") == 10 << 20
    assert terminal.parse_detach_keys("ctrl-p,ctrl-q") == b"\x10\x11" and terminal.parse_detach_keys("") == b""
    for action in (
        lambda: kill.parse_signal("NOPE"),
        lambda: logopts.parse_size("x", "x"),
        lambda: terminal.parse_detach_keys("ctrl-"),
        lambda: names.check("-x"),
    ):
        with pytest.raises(UsageError):
            action()
    assert mounts.clean_destination("/a/./b/../c", "x") == "/a/c"
