"""Quadlet files to units: every key, dependencies, names, drop-ins, templates, [Install], and what becomes of broken files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyman.systemd import names, unitfile, words
from pyman.systemd.quadlet import convert, generator, installed, keys, service, sources
from tests import quadlets

IMAGE = "Image=quay.io/x/y:1\n"
# Every key: what is written, and the words that the command gets for it (none: see the tests below).
CONTAINER = {
    "AddCapability": ("CAP_CHOWN CAP_KILL", ["--cap-add=CAP_CHOWN", "--cap-add=CAP_KILL"]),
    "AddDevice": ("/dev/null:/dev/none:rw -/dev/absent", ["--device=/dev/null:/dev/none:rw"]),
    "AddHost": ("a.example:10.0.0.1", ["--add-host=a.example:10.0.0.1"]),
    "Annotation": ('b=2 "a=one two"', ["--annotation=a=one two", "--annotation=b=2"]),
    "AppArmor": ("unconfined", ["--security-opt=apparmor=unconfined"]),
    "AutoUpdate": ("registry", ["--label=io.containers.autoupdate=registry"]),
    "CgroupsMode": ("no-conmon", ["--cgroups=no-conmon"]),
    "ContainerName": ("web", ["--name=web"]),
    "ContainersConfModule": ("mine.toml", ["--module=mine.toml", "run"]),
    "DNS": ("10.0.0.1", ["--dns=10.0.0.1"]),
    "DNSOption": ("ndots:1", ["--dns-option=ndots:1"]),
    "DNSSearch": ("example", ["--dns-search=example"]),
    "DropCapability": ("all", ["--cap-drop=all"]),
    "Entrypoint": ("", ["--entrypoint="]),
    "Environment": ("A=1 'B=two words' C", ["--env=A=1", "--env=B=two words", "--env=C"]),
    "EnvironmentFile": ("%h/env /abs", ["--env-file=%h/env", "--env-file=/abs"]),
    "EnvironmentHost": ("true", ["--env-host"]),
    "Exec": ('-a "b c" \\x41 ""', ["-a", "b c", "A", ""]),
    "ExposeHostPort": ("50-59", ["--expose=50-59"]),
    "GIDMap": ("0:1:10", ["--gidmap=0:1:10"]),
    "GlobalArgs": ("--log-level=debug", []),
    "GroupAdd": ("keep-groups", ["--group-add=keep-groups"]),
    "HealthCmd": ("test -e /x", ["--health-cmd=test -e /x"]),
    "HealthInterval": ("2m", ["--health-interval=2m"]),
    "HealthLogDestination": ("local", ["--health-log-destination=local"]),
    "HealthMaxLogCount": ("5", ["--health-max-log-count=5"]),
    "HealthMaxLogSize": ("500", ["--health-max-log-size=500"]),
    "HealthOnFailure": ("restart", ["--health-on-failure=restart"]),
    "HealthRetries": ("5", ["--health-retries=5"]),
    "HealthStartPeriod": ("1m", ["--health-start-period=1m"]),
    "HealthStartupCmd": ("true", ["--health-startup-cmd=true"]),
    "HealthStartupInterval": ("1m", ["--health-startup-interval=1m"]),
    "HealthStartupRetries": ("3", ["--health-startup-retries=3"]),
    "HealthStartupSuccess": ("2", ["--health-startup-success=2"]),
    "HealthStartupTimeout": ("1m", ["--health-startup-timeout=1m"]),
    "HealthTimeout": ("20s", ["--health-timeout=20s"]),
    "HostName": ("h.example", ["--hostname=h.example"]),
    "HttpProxy": ("false", ["--http-proxy=false"]),
    "IP": ("10.0.0.9", ["--ip=10.0.0.9"]),
    "IP6": ("fd00::9", ["--ip6=fd00::9"]),
    "Label": ("b=1 a=2", ["--label=a=2", "--label=b=1"]),
    "LogDriver": ("k8s-file", ["--log-driver=k8s-file"]),
    "LogOpt": ("max-size=1m tag=x", ["--log-opt=max-size=1m", "--log-opt=tag=x"]),
    "Mask": ("/a:/b", ["--security-opt=mask=/a:/b"]),
    "Memory": ("20m", ["--memory=20m"]),
    "Mount": ("type=tmpfs,dst=/x", ["--mount=type=tmpfs,dst=/x"]),
    "Network": ("host", ["--network=host"]),
    "NetworkAlias": ("db", ["--network-alias=db"]),
    "NoNewPrivileges": ("true", ["--security-opt=no-new-privileges"]),
    "Notify": ("true", ["--sdnotify=container"]),
    "PidsLimit": ("100", ["--pids-limit=100"]),
    "PodmanArgs": ('--publish 80 "--env=A=b c"', ["--publish", "80", "--env=A=b c"]),
    "PublishPort": ("8080:80", ["--publish=8080:80"]),
    "Pull": ("never", ["--pull=never"]),
    "ReadOnly": ("yes", ["--read-only"]),
    "ReadOnlyTmpfs": ("no", ["--read-only-tmpfs=false"]),
    "Retry": ("5", ["--retry=5"]),
    "RetryDelay": ("5s", ["--retry-delay=5s"]),
    "RunInit": ("on", ["--init"]),
    "SeccompProfile": ("/s.json", ["--security-opt=seccomp=/s.json"]),
    "Secret": ("key,type=env", ["--secret=key,type=env"]),
    "SecurityLabelDisable": ("true", ["--security-opt=label=disable"]),
    "SecurityLabelFileType": ("usr_t", ["--security-opt=label=filetype:usr_t"]),
    "SecurityLabelLevel": ("s0:c1", ["--security-opt=label=level:s0:c1"]),
    "SecurityLabelNested": ("true", ["--security-opt=label=nested"]),
    "SecurityLabelType": ("spc_t", ["--security-opt=label=type:spc_t"]),
    "ShmSize": ("10m", ["--shm-size=10m"]),
    "StopSignal": ("SIGINT", ["--stop-signal=SIGINT"]),
    "StopTimeout": ("20", ["--stop-timeout=20"]),
    "SubGIDMap": ("me", ["--subgidname=me"]),
    "SubUIDMap": ("me", ["--subuidname=me"]),
    "Sysctl": ("a=1 b=2", ["--sysctl=a=1", "--sysctl=b=2"]),
    "Timezone": ("local", ["--tz=local"]),
    "Tmpfs": ("/t:size=1m", ["--tmpfs=/t:size=1m"]),
    "UIDMap": ("0:1:10", ["--uidmap=0:1:10"]),
    "Ulimit": ("nofile=1:2", ["--ulimit=nofile=1:2"]),
    "Unmask": ("ALL", ["--security-opt=unmask=ALL"]),
    "User": ("bin", ["--user=bin"]),
    "UserNS": ("keep-id:uid=2,gid=3", ["--userns=keep-id:uid=2,gid=3"]),
    "VolatileTmp": ("true", ["--tmpfs=/tmp:rw,size=512M,mode=1777"]),
    "Volume": ("/a:/b:ro", ["--volume=/a:/b:ro"]),
    "WorkingDir": ("/w", ["--workdir=/w"]),
}
OTHERS: dict[str, dict[str, tuple[str, list[str]]]] = {
    "volume": {
        "ContainersConfModule": ("/mine.toml", ["--module=/mine.toml", "volume"]),
        "Copy": ("false", ["--opt=nocopy"]),
        "Device": ("/dev/x", ["--opt=device=/dev/x"]),
        "Driver": ("local", ["--driver=local"]),
        "GlobalArgs": ("--log-level=debug", []),
        "Group": ("192", ["--opt=o=gid=192"]),
        "Label": ("a=1", ["--label=a=1"]),
        "PodmanArgs": ("--label x", ["--label", "x"]),
        "User": ("12", ["--opt=o=uid=12"]),
        "VolumeName": ("data", ["data"]),
    },
    "network": {
        "ContainersConfModule": ("/mine.toml", ["--module=/mine.toml", "network"]),
        "DNS": ("10.0.0.1", ["--dns=10.0.0.1"]),
        "DisableDNS": ("true", ["--disable-dns"]),
        "Driver": ("bridge", ["--driver=bridge"]),
        "GlobalArgs": ("--log-level=debug", []),
        "IPAMDriver": ("none", ["--ipam-driver=none"]),
        "IPv6": ("true", ["--ipv6"]),
        "InterfaceName": ("br9", ["--interface-name=br9"]),
        "Internal": ("false", ["--internal=false"]),
        "Label": ("a=1", ["--label=a=1"]),
        "NetworkName": ("net", ["net"]),
        "Options": ("mtu=1400 isolate=true", ["--opt=isolate=true", "--opt=mtu=1400"]),
        "PodmanArgs": ("--label x", ["--label", "x"]),
        "Subnet": ("10.9.0.0/24", ["--subnet=10.9.0.0/24"]),
    },
    "image": {
        "ContainersConfModule": ("/mine.toml", ["--module=/mine.toml", "image"]),
        "AllTags": ("true", ["--all-tags"]),
        "Arch": ("arm64", ["--arch=arm64"]),
        "AuthFile": ("/a.json", ["--authfile=/a.json"]),
        "CertDir": ("/c", ["--cert-dir=/c"]),
        "Creds": ("me:secret", ["--creds=me:secret"]),
        "GlobalArgs": ("--log-level=debug", []),
        "OS": ("linux", ["--os=linux"]),
        "PodmanArgs": ("--quiet", ["--quiet"]),
        "Policy": ("missing", ["--policy=missing"]),
        "Retry": ("5", ["--retry=5"]),
        "RetryDelay": ("5s", ["--retry-delay=5s"]),
        "TLSVerify": ("false", ["--tls-verify=false"]),
        "Variant": ("v8", ["--variant=v8"]),
    },
    "artifact": {
        "ContainersConfModule": ("/mine.toml", ["--module=/mine.toml", "artifact"]),
        "AuthFile": ("/a.json", ["--authfile=/a.json"]),
        "CertDir": ("/c", ["--cert-dir=/c"]),
        "Creds": ("me:secret", ["--creds=me:secret"]),
        "GlobalArgs": ("--log-level=debug", []),
        "PodmanArgs": ("--quiet", ["--quiet"]),
        "Quiet": ("true", ["--quiet"]),
        "Retry": ("5", ["--retry=5"]),
        "RetryDelay": ("5s", ["--retry-delay=5s"]),
        "TLSVerify": ("false", ["--tls-verify=false"]),
    },
}
ELSEWHERE = {  # keys with tests of their own below
    "container": "Group Image Rootfs ReloadCmd ReloadSignal RemapUid RemapGid RemapUidSize RemapUsers StartWithPod ServiceName",
    "volume": "Image Options Type ServiceName",
    "network": "Gateway IPRange NetworkDeleteOnStop ServiceName",
    "image": "Image ImageTag ServiceName",
    "artifact": "Artifact ServiceName",
}
SAMPLES = {"container": CONTAINER, **OTHERS}
NEEDED = {"container": IMAGE, "image": IMAGE, "artifact": "Artifact=quay.io/x/y:1\n", "volume": "", "network": ""}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUADLET_UNIT_DIRS", str(tmp_path))
    monkeypatch.setenv("PYMAN", "/usr/bin/pyman")
    monkeypatch.setattr("pyman.systemd.quadlet.commandline._program", "")
    return tmp_path


def made(folder: Path, **files: str) -> tuple[dict[str, service.Service], dict[str, unitfile.UnitFile]]:
    """The services that files in the folder become, and the files; `x__container` stands for x.container."""
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    found = sources.Quadlets(sources.folders(True))
    return {each.name: each for each in convert.convert_all(found, True)}, found.units


def argv(each: service.Service, key: str = "ExecStart") -> list[str]:
    line = each.value("Service", key)
    assert line, each.text()
    return words.split(line)


def problems(unit: unitfile.UnitFile) -> list[str]:
    return [str(problem).removeprefix(unit.path) for problem in unit.problems]


def is_failed(each: service.Service) -> bool:
    return argv(each)[:2] == ["/bin/sh", "-c"] and "exit 78" in argv(each)[2]


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_key_is_translated_to_options_that_the_command_has(folder: Path, kind: str) -> None:
    refused = {name for name, key in keys.of(kind).items() if key.how == "no"}
    assert set(SAMPLES[kind]) | set(ELSEWHERE[kind].split()) | refused == set(keys.of(kind))
    for name, (value, expected) in SAMPLES[kind].items():
        services, units = made(folder, **{f"x__{kind}": f"[{keys.section(kind)}]\n{NEEDED[kind]}{name}={value}\n"})
        assert not [problem for problem in problems(units[f"x.{kind}"]) if "warning" not in problem]
        (each,) = services.values()
        found = argv(each)
        at = found.index(expected[0]) if expected else 0
        assert found[at : at + len(expected)] == expected, (name, found)
        assert quadlets.command(each.value("Service", "ExecStart") or "")["command"] in (
            "run",
            "volume_create",
            "network_create",
            "pull",
            "artifact_pull",
        )


@pytest.mark.parametrize("kind", SAMPLES)
def test_keys_that_cannot_be_had_fail_the_unit_with_their_reason(folder: Path, kind: str) -> None:
    for name, key in keys.of(kind).items():
        if key.how == "no":
            services, _ = made(folder, **{f"x__{kind}": f"[{keys.section(kind)}]\n{NEEDED[kind]}{name}=x\n"})
            (each,) = services.values()
            assert is_failed(each) and key.reason in argv(each)[-1]
    for later, (section, suffix, reason) in keys.LATER.items():
        services, _ = made(folder, **{f"y__{later}": f"[{section}]\nImageTag=x\n[Install]\nWantedBy=default.target\n"})
        assert reason in argv(services[f"y{suffix}.service"])[-1] and services[f"y{suffix}.service"].links
        (folder / f"y.{later}").unlink()


def test_a_container_becomes_a_service_of_the_usual_form(folder: Path) -> None:
    services, _ = made(
        folder, x__container=f"[Unit]\nDescription=it\n[Container]\n{IMAGE}GlobalArgs=--log-level=error\n[Service]\nRestart=always\n"
    )
    each = services["x.service"]
    text = each.text()
    assert argv(each)[:6] == ["/usr/bin/pyman", "--log-level=error", "run", "--name=systemd-%N", "--replace", "--rm"]
    assert argv(each)[6:] == ["--cgroups=split", "--sdnotify=conmon", "-d", "quay.io/x/y:1"]
    assert argv(each, "ExecStop") == ["/usr/bin/pyman", "--log-level=error", "rm", "-v", "-f", "-i", "systemd-%N"]
    assert argv(each, "ExecStopPost")[0] == "-/usr/bin/pyman"
    for line in (
        "Type=notify",
        "NotifyAccess=all",
        "KillMode=mixed",
        "Delegate=yes",
        "SyslogIdentifier=%N",
        "Restart=always",
        "Description=it",
    ):
        assert f"\n{line}\n" in text
    assert "Environment=PODMAN_SYSTEMD_UNIT=%n" in text and f"[X-Container]\n{IMAGE}" in text
    assert text.index("After=pyman-user-wait-network-online.service") < text.index("Description=it")
    assert f"SourcePath={folder}/x.container" in text


def test_oneshot_reload_notify_and_users(folder: Path) -> None:
    services, _ = made(folder, x__container=f"[Container]\n{IMAGE}ReloadCmd=kill -1 1\n[Service]\nType=oneshot\n")
    assert not {"-d", "--sdnotify=conmon"} & set(argv(services["x.service"]))
    assert argv(services["x.service"], "ExecReload") == ["/usr/bin/pyman", "exec", "systemd-%N", "kill", "-1", "1"]
    services, _ = made(folder, x__container=f"[Container]\n{IMAGE}ReloadSignal=SIGHUP\nNotify=healthy\nUser=1\nGroup=2\n")
    assert argv(services["x.service"], "ExecReload") == ["/usr/bin/pyman", "kill", "--signal=SIGHUP", "systemd-%N"]
    assert {"--sdnotify=healthy", "--user=1:2"} <= set(argv(services["x.service"]))
    services, _ = made(folder, x__container="[Container]\nRootfs=/srv/root\nRemapUsers=keep-id\nRemapUid=5\nRemapGid=6\nExec=true\n")
    assert argv(services["x.service"])[-3:] == ["--rootfs", "/srv/root", "true"]
    assert "--userns=keep-id:uid=5,gid=6" in argv(services["x.service"])
    services, _ = made(folder, x__container=f"[Container]\n{IMAGE}RemapUsers=auto\nRemapUidSize=9\n")
    assert "--userns=auto:size=9" in argv(services["x.service"])


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("[Container]\nExec=true\n", 0, "no Image= or Rootfs="),
        ("[Service]\nRestart=no\n", 0, "there is no section [Container]"),
        (f"[Container]\n{IMAGE}Rootfs=/x\n", 3, "exclude each other"),
        (f"[Container]\n{IMAGE}Group=1\n", 3, "Group= needs User="),
        (f"[Container]\n{IMAGE}ReloadCmd=x\nReloadSignal=HUP\n", 3, "exclude each other"),
        (f"[Container]\n{IMAGE}ExposeHostPort=http\n", 3, "is no port"),
        (f"[Container]\n{IMAGE}ExposeHostPort=٣\n", 3, "is no port"),
        (f"[Container]\n{IMAGE}ReadOnly=maybe\n", 3, "must be true or false"),
        (f"[Container]\n{IMAGE}Exec=a \\q\n", 3, "unknown escape"),
        (f"[Container]\n{IMAGE}Healthcmd=x\n", 3, "did you mean HealthCmd= (Podman 4.5)?"),
        (f"[Container]\n{IMAGE}\n[Quadlet]\nDefaultDependency=no\n", 5, "did you mean DefaultDependencies="),
        (f"[Container]\n{IMAGE}Network=no.network\n", 3, "no such file in Quadlet's folders"),
        (f"[Container]\n{IMAGE}Volume=no.volume:/x\n", 3, "no such file in Quadlet's folders"),
        (f"[Container]\n{IMAGE}Mount=type=image,source=no.image,dst=/x\n", 3, "no such file in Quadlet's folders"),
        ("[Container]\nImage=no.image\n", 2, "no such file in Quadlet's folders"),
        ("[Container]\nImage=x.build\n", 2, "does not build images yet"),
        (f"[Unit]\nAfter=no.container\n[Container]\n{IMAGE}", 2, "no such file in Quadlet's folders"),
        (f"[Container]\n{IMAGE}[Service]\nType=forking\n", 4, "does not fit a container"),
        (f"[Container]\n{IMAGE}[Service]\nKillMode=none\n", 4, "would leave the container behind"),
        (f"[Container]\n{IMAGE}Mount='type=bind,\"src=/a,dst=/b'\n", 3, "a double quote is not closed"),
        (f"[Container]\n{IMAGE}RemapUid=1\n", 3, "needs RemapUsers="),
        (f"[Container]\n{IMAGE}RemapUsers=keep-id\nUserNS=host\n", 3, "exclude each other"),
        (f"[Container]\n{IMAGE}ServiceName=../x\n", 3, "units are not named like that"),
        ("[Container]\nImage=--privileged\n", 2, "begins with -"),
        (f"[Container]\n{IMAGE}ContainerName=-f\n", 3, "begins with -"),
        ("Image=x\n", 1, "stands before the first [Section]"),
        ("[Container\nImage=x\n", 1, "is no section"),
        (f"[Container]\n{IMAGE}what is this\n", 3, "is neither"),
        (f"[Container]\n{IMAGE}Label=a\0b\n", 3, "NUL byte"),
    ],
)
def test_a_broken_file_becomes_a_unit_that_fails_with_line_and_reason(folder: Path, text: str, line: int, reason: str) -> None:
    services, units = made(folder, x__container=text + "\n[Install]\nWantedBy=default.target\n")
    found = problems(units["x.container"])
    assert any(problem.startswith(f":{line}: " if line else ": ") and reason in problem for problem in found), found
    each = services["x.service"]
    assert is_failed(each) and reason.replace("%", "%%") in argv(each)[-1]
    assert ("default.target.wants/x.service", "../x.service") in each.links
    assert generator.main(["--user", "--no-kmsg-log", str(folder / "out")]) == 1
    assert (folder / "out/default.target.wants/x.service").resolve().read_text() == each.text()


def test_files_depend_on_each_other(folder: Path) -> None:
    services, units = made(
        folder,
        web__container="[Unit]\nAfter=db.container other.service\n[Container]\nImage=base.image\nVolume=data.volume:/d:ro\nNetwork=net.network:alias=w\n"
        "Mount=type=artifact,source=model.artifact,destination=/m\nMount=type=bind,src=./here,dst=/h\n",
        db__container=f"[Container]\n{IMAGE}Network=web.container\nServiceName=database\n",
        data__volume="[Volume]\n",
        net__network="[Network]\nNetworkName=mine\n",
        base__image="[Image]\nImage=docker-archive:/x.tar\nImageTag=quay.io/x/base:2\n",
        model__artifact="[Artifact]\nArtifact=quay.io/x/model:1\n",
    )
    assert not [problem for unit in units.values() for problem in problems(unit)]
    web = services["web.service"]
    needed = [value for key, value in web.sections["Unit"] if key == "Requires"]
    assert needed == ["base-image.service", "net-network.service", "data-volume.service", "model-artifact.service"]
    after = [value for key, value in web.sections["Unit"] if key == "After"]
    assert "database.service other.service" in after and set(needed) <= set(after)
    found = argv(web)
    assert found[-1] == "quay.io/x/base:2"
    assert {"--volume=systemd-data:/d:ro", "--network=mine:alias=w"} <= set(found)
    assert "--mount=type=artifact,source=quay.io/x/model:1,destination=/m" in found
    assert f"--mount=type=bind,source={folder}/here,dst=/h" in found
    assert ("RequiresMountsFor", f"{folder}/here") in web.sections["Unit"]
    assert "--network=container:systemd-web" in argv(services["database.service"])
    assert argv(services["base-image.service"])[1:] == ["image", "pull", "docker-archive:/x.tar"]


def test_volumes_and_networks_with_more_than_one_key(folder: Path) -> None:
    services, _ = made(folder, v__volume="[Volume]\nDevice=/srv/x\nType=bind\nOptions=ro\nUser=3\n")
    assert argv(services["v-volume.service"])[4:] == ["--opt=device=/srv/x", "--opt=type=bind", "--opt=o=uid=3,ro", "systemd-v"]
    assert ("RequiresMountsFor", "/srv/x") in services["v-volume.service"].sections["Unit"]
    for text in ("Type=tmpfs\n", "Options=ro\n", "Driver=image\n", "User=root\n"):
        services, _ = made(folder, v__volume=f"[Volume]\n{text}")
        assert is_failed(services["v-volume.service"])
    (folder / "v.volume").unlink()
    both = "[Network]\nSubnet=10.1.0.0/24\nSubnet=10.2.0.0/24\nGateway=10.1.0.7\nIPRange=10.1.0.64/26\nNetworkDeleteOnStop=true\n"
    services, _ = made(folder, n__network=both)
    each = services["n-network.service"]
    assert argv(each)[4:-1] == ["--subnet=10.1.0.0/24", "--gateway=10.1.0.7", "--ip-range=10.1.0.64/26", "--subnet=10.2.0.0/24"]
    assert argv(each, "ExecStopPost") == ["/usr/bin/pyman", "network", "rm", "systemd-n"]
    services, _ = made(folder, n__network="[Network]\nGateway=10.1.0.7\n")
    assert is_failed(services["n-network.service"])


def test_drop_ins_and_templates(folder: Path) -> None:
    for place, text in {
        "container.d/10-a.conf": "[Container]\nLabel=a=all\n",
        "a-.container.d/20-b.conf": "[Container]\nLabel=b=part\n",
        "a-b.container.d/20-b.conf": "[Container]\nLabel=b=whole\n[Install]\nWantedBy=default.target\n",
        "a-b.container.d/ignored.txt": "nonsense",
        "t@.container.d/x.conf": "[Container]\nLabel=t=template\n",
        "t@one.container.d/y.conf": "[Container]\nLabel=t=one\n",
    }.items():
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_text(text)
    (folder / "t@one.container").symlink_to("t@.container")
    services, _ = made(
        folder, **{"a-b__container": f"[Container]\n{IMAGE}", "t@__container": f"[Container]\n{IMAGE}[Install]\nWantedBy=default.target\n"}
    )
    assert [word for word in argv(services["a-b.service"]) if "label" in word] == ["--label=a=all", "--label=b=whole"]
    assert services["a-b.service"].links == [("default.target.wants/a-b.service", "../a-b.service")]
    assert "--label=t=template" in argv(services["t@.service"]) and "--name=systemd-%p_%i" in argv(services["t@.service"])
    assert services["t@.service"].links == []
    assert "--label=t=one" in argv(services["t@one.service"])
    assert services["t@one.service"].links == [("default.target.wants/t@one.service", "../t@one.service")]
    (folder / "a-b.container.d/30.conf").write_text("[Container]\nImagge=x\n")
    services, _ = made(folder)
    assert is_failed(services["a-b.service"]) and "30.conf:2: unknown key" in argv(services["a-b.service"])[-1]
    services, _ = made(
        folder,
        **{"d@__volume": "[Volume]\n", "i@__container": f"[Container]\n{IMAGE}[Install]\nRequiredBy=x.target\nDefaultInstance=one\n"},
    )
    assert argv(services["d-volume@.service"])[-1] == "systemd-d-%i"
    assert services["i@.service"].links == [("x.target.requires/i@one.service", "../i@.service")]
    assert names.drop_in_directories("a-b@c.container") == [
        "a-b@c.container.d",
        "a-b@.container.d",
        "a-@.container.d",
        "a-.container.d",
        "container.d",
    ]


def test_install_links(folder: Path) -> None:
    text = (
        f"[Container]\n{IMAGE}[Install]\nAlias=other.service ../up.service\nWantedBy=a.target b.target\nUpheldBy=c.service\nWantedBy=../x\n"
    )
    services, _ = made(folder, x__container=text)
    assert services["x.service"].links == [
        ("other.service", "x.service"),
        ("a.target.wants/x.service", "../x.service"),
        ("b.target.wants/x.service", "../x.service"),
        ("c.service.upholds/x.service", "../x.service"),
    ]
    out = folder / "out"
    assert generator.main(["--user", "--no-kmsg-log", str(out)]) == 0
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir())
    assert found == ["a.target.wants/x.service", "b.target.wants/x.service", "c.service.upholds/x.service", "other.service",
                     "pyman-user-wait-network-online.service", "x.service"]  # fmt: skip
    assert all(path.resolve().parent == out for path in out.rglob("*.service"))
    # systemd takes no alias of the other sort.
    for name, alias, taken in (("x", "y@.service", 0), ("z@", "y.service", 0), ("z@", "y@.service", 1), ("x", "y@i.service", 1)):
        services, units = made(folder, **{f"{name}__container": f"[Container]\n{IMAGE}[Install]\nAlias={alias}\n"})
        assert len(services[f"{name}.service"].links) == taken and len(units[f"{name}.container"].problems) == 1 - taken


def test_of_two_files_the_first_folder_counts_and_one_service_is_not_made_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "one/sub").mkdir(parents=True)
    (folder / "two").mkdir()
    (folder / "one/sub/a.container").write_text(f"[Container]\n{IMAGE}Label=from=one\n")
    (folder / "two/a.container").write_text(f"[Container]\n{IMAGE}Label=from=two\n")
    (folder / "two/b.container").write_text(f"[Container]\n{IMAGE}ServiceName=a\n")
    (folder / "two/masked.container").write_text(f"[Container]\n{IMAGE}")
    (folder / "one/masked.container").symlink_to("/dev/null")
    (folder / "one/loop").symlink_to(folder / "one")
    monkeypatch.setenv("QUADLET_UNIT_DIRS", f"{folder}/one:{folder}/two")
    services, _ = made(folder / "two")
    assert sorted(services) == ["a.service", "b.service"]
    assert "--label=from=one" in argv(services["a.service"])
    assert is_failed(services["b.service"]) and "already makes a.service" in argv(services["b.service"])[-1]


def test_the_folders_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUADLET_UNIT_DIRS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    for place in ("config/containers/systemd/app", "run/containers/systemd", "config/containers/systemd/x.container.d"):
        (tmp_path / place).mkdir(parents=True)
    found = [place for place in sources.folders(True) if place.startswith(str(tmp_path))]
    assert [place.removeprefix(str(tmp_path)) for place in found] == [
        "/run/containers/systemd",
        "/config/containers/systemd",
        "/config/containers/systemd/app",
    ]


def test_the_files_of_the_vm_tests_are_good_and_their_commands_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUADLET_UNIT_DIRS", str(quadlets.FILES))
    monkeypatch.setenv("PYMAN", "/usr/bin/pyman")
    monkeypatch.setattr("pyman.systemd.quadlet.commandline._program", "")
    found = sources.Quadlets(sources.folders(True))
    text = "".join(f"---{each.name}---\n{each.text()}\n" for each in convert.convert_all(found, True))
    assert not [str(problem) for unit in found.units.values() for problem in unit.problems]
    units = quadlets.units(text)
    assert len(units) >= 30
    starts: list[Any] = [quadlets.meaning(unit)["Service.ExecStart"][0]["command"] for unit in units.values()]
    assert {"run", "volume_create", "network_create"} == set(starts)


def test_the_command_line_of_the_generator(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "x.container").write_text(f"[Container]\n{IMAGE}")
    assert generator.main(["--dryrun", "--user"]) == 0
    assert capfd.readouterr().out.startswith("---x.service---\n")
    assert generator.main(["-version"]) == 0 and capfd.readouterr().out.strip()
    assert generator.main([]) == 1 and "missing output directory" in capfd.readouterr().err
    assert generator.main(["--nonsense"]) == 2 and "unknown option" in capfd.readouterr().err
    assert generator.main(["-v", "--no-kmsg-log", "--user", str(folder / "out")]) == 0
    assert f"wrote {folder}/out/x.service" in capfd.readouterr().err


def test_without_a_generator_units_are_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd looks for generators in directories of the system only; the user's own units stay as they are."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    units = folder / "data/systemd/user"
    (units / "default.target.wants").mkdir(parents=True)
    (units / "mine.service").write_text("[Service]\nExecStart=/bin/true\n")
    (units / "default.target.wants/mine.service").symlink_to("../mine.service")
    (folder / "elsewhere").write_text(service.MARK)
    (units / "linked.service").symlink_to(folder / "elsewhere")
    for name in ("web", "mine", "linked"):
        (folder / f"{name}.container").write_text(f"[Container]\n{IMAGE}[Install]\nWantedBy=default.target\n")
    installed.refresh_units()
    assert sorted(path.name for path in units.glob("*.service")) == ["linked.service", "mine.service", service.WAIT, "web.service"]
    assert (units / "default.target.wants/web.service").read_text().count("ExecStart=") == 1
    assert (units / "mine.service").read_text() == "[Service]\nExecStart=/bin/true\n"
    (folder / "web.container").unlink()
    installed.refresh_units()
    assert sorted(path.name for path in units.rglob("*.service")) == ["linked.service", "mine.service", "mine.service"]
    assert (folder / "elsewhere").read_text() == service.MARK
