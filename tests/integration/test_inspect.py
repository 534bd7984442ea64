"""inspect: the fields that scripts read, with Podman's names and types, before, during and after a run."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.conftest import Run, until

NONE = ("--network", "none")


def inspect(pyman: Run, name: str, *args: str) -> dict[str, Any]:
    (value,) = json.loads(pyman("inspect", *args, name).stdout)
    return dict(value)


def test_a_preview_of_what_cannot_start(pyman: Run, image: str) -> None:
    """inspect tells what it can, whatever a configuration file says meanwhile."""
    pyman("create", "--name", "c", "--user", "5:6", "--cap-add", "net_raw", "--mount", f"type=image,src={image},dst=/im", image, "true")
    value = inspect(pyman, "c")
    assert value["EffectiveCaps"] == ["CAP_NET_RAW"] and "CAP_CHOWN" in value["BoundingCaps"]
    assert value["HostConfig"]["NetworkMode"] in ("pasta", "slirp4netns") and value["HostConfig"]["Binds"] == []
    pyman("rm", "c")


def test_a_container_before_and_after_its_start(pyman: Run, image: str) -> None:
    options = (
        "-v",
        "/tmp:/host:ro",
        "-v",
        "inspected:/data",
        "--cap-add",
        "net_raw",
        "--cap-drop",
        "CHOWN",
        "--stop-signal",
        "2",
        "--expose",
        "77",
    )
    options += (
        "--tmpfs",
        "/t:size=1m",
        "--shm-size",
        "1m",
        "--annotation",
        "a=b",
        "--stop-timeout",
        "3",
        "--ulimit",
        "nofile=50:60",
        "-e",
        "A=b",
        "-t",
        "-w",
        "/tmp",
        "-l",
        "Key=v",
    )
    pyman("create", *NONE, "--name", "c", *options, "--entrypoint", "sleep", image, "600")
    created = inspect(pyman, "c")
    assert created["State"]["Status"] == "created" and created["State"]["StartedAt"] == "0001-01-01T00:00:00Z"
    pyman("start", "c")
    running = inspect(pyman, "c")
    binds = ["/tmp:/host:ro,rprivate,nosuid,nodev,rbind", "inspected:/data:rprivate,nosuid,nodev,rbind"]
    for value in (created, running):
        config, host = value["Config"], value["HostConfig"]
        assert sorted(host["Binds"]) == binds
        assert sorted(mount["Type"] for mount in value["Mounts"]) == ["bind", "volume"]
        assert {mount["Destination"]: mount["RW"] for mount in value["Mounts"]} == {"/host": False, "/data": True}
        assert (value["Path"], value["Args"], config["Entrypoint"], config["Cmd"]) == ("sleep", ["600"], ["sleep"], ["600"])
        assert (host["CapAdd"], host["CapDrop"], host["Tmpfs"]) == (
            ["CAP_NET_RAW"],
            ["CAP_CHOWN"],
            {"/t": "rw,nosuid,nodev,tmpcopyup,size=1m"},
        )
        assert (config["StopSignal"], config["StopTimeout"], config["WorkingDir"]) == ("SIGINT", 3, "/tmp")
        assert config["ExposedPorts"] == {"77/tcp": {}} and value["NetworkSettings"]["Ports"] == {"77/tcp": None}
        assert config["Annotations"] == host["Annotations"] == {"a": "b"} and host["PortBindings"] == {}
        assert (host["Memory"], host["NanoCpus"], host["PidsLimit"], host["OomScoreAdj"], host["Devices"]) == (0, 0, 0, 0, [])
        assert value["StaticDir"].endswith(value["Id"])
    for key in ("EffectiveCaps", "BoundingCaps"):
        assert created[key] == running[key]
    for key in ("ShmSize", "Ulimits", "NetworkMode", "Binds", "CpuShares"):
        assert created["HostConfig"][key] == running["HostConfig"][key], key
    assert {*created["Config"]["Env"], "HOME=/root"} == set(running["Config"]["Env"])
    assert running["HostConfig"]["ShmSize"] == 1 << 20 and "CAP_CHOWN" not in running["EffectiveCaps"]
    assert running["State"]["Pid"] > 0 and running["NetworkSettings"]["SandboxKey"] == f"/proc/{running['State']['Pid']}/ns/net"
    assert (running["HostConfig"]["IpcMode"], running["HostConfig"]["MemorySwappiness"]) == ("shareable", -1)
    assert (running["UseImageHosts"], running["UseImageHostname"], running["KubeExitCodePropagation"]) == (False, False, "invalid")
    pyman("stop", "-t", "0", "c")
    stopped = inspect(pyman, "c")
    assert stopped["State"]["Status"] == "exited" and stopped["State"]["Pid"] == 0 and stopped["State"]["ExitCode"] == 137
    times = (created["Created"], stopped["State"]["StartedAt"], stopped["State"]["FinishedAt"])
    first, second, third = ((when[:19], when[20:-1].ljust(9, "0")) for when in times)  # as few digits as are needed
    assert third > second > first
    pyman("rm", "-v", "c")
    pyman("volume", "rm", "inspected")


def test_other_objects(pyman: Run, image: str) -> None:
    pyman("network", "create", "inspected")
    assert inspect(pyman, "inspected")["driver"] == "bridge", "as network inspect shows it"
    assert pyman("inspect", "--type", "network", "--format", "{{.Name}} {{.Driver}}", "inspected").stdout == "inspected bridge\n"
    assert "no such network" in pyman("inspect", "--type", "network", "nosuch", rc=125).stderr
    assert "artifact does not exist" in pyman("inspect", "--type", "artifact", "nosuch", rc=125).stderr
    assert "pods are not part" in pyman("inspect", "--type", "pod", "nosuch", rc=125).stderr
    assert "volume, network or artifact" in pyman("inspect", "nosuch", rc=125).stderr
    pyman("network", "rm", "inspected")


def test_templates(pyman: Run, image: str) -> None:
    pyman("run", *NONE, "--name", "c", "-l", "Key=v", "-v", "/tmp:/host", image, "true")
    for template, expected in (
        ("{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}", "exited false 0"),
        ("{{.ID}}", inspect(pyman, "c")["Id"]),
        ('{{index .Config.Labels "Key"}}{{.Config.Labels.Key}}|{{.Config.Labels.Nope}}', "vv|<no value>"),
        ("{{range .Mounts}}{{.Source}}:{{.Destination}} {{.Src}}:{{.Dst}}{{end}}", "/tmp:/host /tmp:/host"),
        ("{{.ImageID}}", inspect(pyman, "c")["Image"]),
        ("{{if .State.Health}}yes{{else}}no{{end}} {{.State.Health}}", "no <nil>"),
        ("{{json .HostConfig.CapAdd}}", "[]"),
        ("{{.State.CheckpointedAt}} {{.State.CheckpointedAt.IsZero}}", "0001-01-01 00:00:00 +0000 UTC true"),
        ("{{json .State.CheckpointedAt}}", '"0001-01-01T00:00:00Z"'),
        ('{{.State.StartedAt.Format "2006-01-02T15:04:05Z07:00"}}', inspect(pyman, "c")["State"]["StartedAt"][:19] + "Z"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}|", "|"),
        ("{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}} {{.NetworkSettings.Networks.none.NetworkID}}", "none none"),
        ("{{.Name}}\\t{{.RestartCount}}", "c\t0"),
        ("table {{.Name}} {{.RestartCount}}", "c           0"),
    ):
        assert pyman("inspect", "c", "--format", template).stdout == expected + "\n", template
    assert pyman("inspect", image, "--format", "{{.HealthCheck}}").stdout == "<nil>\n"
    for name, field in (("c", "Health"), (image, "Health"), (image, "SizeRw")):
        assert f"there is no field '{field}'" in pyman("inspect", name, "--format", "{{." + field + "}}", rc=125).stderr
    for bad, at in (("{{.Nope}}", 3), ("{{.State.Nope}}", 9)):
        assert f"character {at}:" in pyman("inspect", "c", "--format", bad, rc=125).stderr
    assert set(inspect(pyman, "c", "--size")) - set(inspect(pyman, "c")) == {"SizeRw", "SizeRootFs"}
    assert pyman("logs", "--since", inspect(pyman, "c")["State"]["StartedAt"], "c").stdout == ""
    pyman("rm", "c")


def test_types(pyman: Run, image: str) -> None:
    pyman("create", *NONE, "--name", "c", image, "true")
    assert inspect(pyman, "c", "--type", "container")["Name"] == "c"
    assert "localhost/demo:latest" in inspect(pyman, "localhost/demo", "--type", "image")["RepoTags"]
    assert "no image" in pyman("inspect", "--type", "image", "c", rc=125).stderr
    assert "no container" in pyman("inspect", "--type", "container", image, rc=125).stderr
    assert "must be one of" in pyman("inspect", "--type", "pots", "c", rc=125).stderr
    both = pyman("inspect", "c", image, "nosuch", "--format", "{{.Id}}", rc=125)
    assert len(both.stdout.splitlines()) == 2 and "nosuch" in both.stderr
    assert (
        pyman("inspect", "--latest", "--format", "{{.Name}}").stdout
        == pyman("container", "inspect", "-l", "-f", "{{.Name}}").stdout
        == "c\n"
    )
    pyman("rm", "c")


@pytest.mark.parametrize("driver", ["k8s-file", "json-file"])
def test_times_of_the_log(pyman: Run, image: str, driver: str) -> None:
    script = "echo one; until [ -e /go ]; do sleep 0.05; done; echo two"
    pyman("run", "-d", *NONE, "--log-driver", driver, "--name", "c", image, "sh", "-c", script)
    until(lambda: pyman("logs", "c").stdout)  # else both lines may be noted in one moment
    pyman("exec", "c", "touch", "/go", rc=None)  # it may be ended with the container
    pyman("wait", "c")
    first, second = pyman("logs", "-t", "c").stdout.splitlines()
    when = second.split()[0]
    assert when.endswith("Z") and not when.endswith("ZZ") and second.endswith(" two")
    assert pyman("logs", "--since", when, "c").stdout == "two\n"
    assert pyman("logs", "--until", first.split()[0], "--tail", "5", "c").stdout in ("", "one\n")
    pyman("rm", "c")


def test_templates_know_what_a_container_need_not_have(pyman: Run, image: str) -> None:
    """As with Go's types: what is not set is empty, what no container has is an error."""
    pyman("create", "--name", "plain", "--network", "none", image, "true")
    fields = "{{.State.Restored}}|{{.Config.Timezone}}|{{.Config.ExposedPorts}}|{{.HostConfig.IDMappings}}|{{.Config.Volumes.x}}"
    assert pyman("inspect", "--format", fields, "plain").stdout == "false||map[]|<nil>|<no value>\n"
    for template in ("{{.State.Nope}}", "{{.Config.Nope}}", "{{.HostConfig.Nope}}"):
        assert "there is no field 'Nope'" in pyman("inspect", "--format", template, "plain", rc=125).stderr
    assert '"Restored"' not in pyman("inspect", "plain").stdout
    pyman("rm", "plain")


def test_the_limit_of_the_log(pyman: Run, image: str) -> None:
    for size, shown in (("10mb", "10MB"), ("1000", "1kB"), ("1536k", "1.536MB"), ("3g", "3GB"), ("-1", "-1B"), ("", "-1B")):
        pyman("create", "--replace", "--name", "c", *(["--log-opt", f"max-size={size}"] if size else []), image, "true")
        assert inspect(pyman, "c")["HostConfig"]["LogConfig"]["Size"] == shown
    pyman("rm", "c")


def test_stopped_by_the_user(pyman: Run, image: str) -> None:
    """By a kill, too, whatever signal it sends, as with Podman; the next start forgets it."""
    script = "trap : HUP; trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"
    pyman("run", "-d", "--name", "i", "--network", "none", image, "sh", "-c", script)
    field = ("inspect", "--format", "{{.State.StoppedByUser}}", "i")
    until(lambda: pyman("logs", "i").stdout == "up\n")
    for signal, expected in (("HUP", "true"), ("TERM", "true")):
        pyman("kill", "-s", signal, "i")
        assert pyman(*field).stdout.strip() == expected
    pyman("wait", "i")
    assert pyman(*field).stdout == "true\n"
    pyman("start", "i")
    assert pyman(*field).stdout == "false\n"
    pyman("kill", "i")
    assert pyman("wait", "i").stdout == "137\n" and pyman(*field).stdout == "true\n"
    pyman("rm", "i")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--network", "host"], os.uname().nodename),
        (["--network", "none", "--uts", "host"], os.uname().nodename),
        (["--network", "none", "--uts", "container:named"], "inner"),
        (["--network", "container:named"], ""),
        (["--network", "host", "--hostname", "own"], "own"),
    ],
)
def test_host_name(pyman: Run, image: str, options: list[str], expected: str) -> None:
    """The one that the container sees, before its start, while it runs and after its end: in inspect, HOSTNAME, /etc/hostname and /etc/hosts."""
    pyman("run", "-d", "--name", "named", "--network", "none", "--hostname", "inner", image, "sleep", "600")
    identifier = pyman("create", "--name", "h", *options, image, "sleep", "600").stdout[:12]
    expected = expected or identifier
    shown = "{{.Config.Hostname}} {{range .Config.Env}}{{println .}}{{end}}"
    for verb in ("create", "start", "kill"):
        if verb != "create":
            pyman(verb, "h")
        found = pyman("inspect", "--format", shown, "h").stdout.split()
        assert found[0] == expected and f"HOSTNAME={expected}" in found, verb
        if verb == "start":
            assert pyman("exec", "h", "sh", "-c", "hostname; echo $HOSTNAME; cat /etc/hostname").stdout.split() == [expected] * 3
            assert options[1] == "host" or {expected, "h"} <= set(pyman("exec", "h", "cat", "/etc/hosts").stdout.split())
    pyman("rm", "-f", "-t", "0", "h", "named")


@pytest.mark.parametrize(
    ("options", "user"),
    [
        (["--userns", "keep-id"], f"{os.getuid()}:{os.getgid()}"),
        (["--userns", "keep-id:uid=5,gid=6"], "5:6"),
        (["--userns", "keep-id", "-u", "7"], "7"),
        (["--userns", "nomap"], ""),
        (["--uidmap", "0:1:100"], ""),
        (["--userns", "host"], ""),
    ],
)
def test_user_namespaces(pyman: Run, image: str, options: list[str], user: str) -> None:
    """User, mode, maps and capabilities are known before the start, as with Podman."""
    pyman("create", "--name", "u", *NONE, *options, image, "sleep", "600")
    before = inspect(pyman, "u")
    pyman("start", "u")
    after = inspect(pyman, "u")
    host = before["HostConfig"]
    assert before["Config"]["User"] == user and host["UsernsMode"] == ("" if "host" in options else "private")
    assert ("IDMappings" in host) == ("host" not in options)
    for value in (before, after):
        assert (value["Config"]["User"], value["HostConfig"].get("IDMappings"), value["EffectiveCaps"]) == (
            *(user, host.get("IDMappings"), before["EffectiveCaps"]),
        )
    pyman("rm", "-f", "-t", "0", "u")


def test_aliases_before_the_start(pyman: Run, image: str) -> None:
    pyman("network", "create", "aliased")
    for options, aliases in (
        (["aliased", "--network-alias", "a", "--network-alias", "b"], ["a", "b"]),
        (["aliased:alias=c"], ["c"]),
        (["aliased"], []),
    ):
        identifier = pyman("create", "--name", "n", "--network", *options, image, "true").stdout[:12]
        network = inspect(pyman, "n")["NetworkSettings"]["Networks"]["aliased"]
        assert network["Aliases"] == [*aliases, identifier] and network["NetworkID"] == inspect(pyman, "aliased")["id"]
        pyman("rm", "n")
    pyman("network", "rm", "aliased")
