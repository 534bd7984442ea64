"""Network modes with their options, line by line; /etc/hosts and /etc/resolv.conf; keys of containers.toml; set-up hooks."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.test_bridge import until
from tests.integration.test_network_killed import child, helper, monitor


def sh(pyman: Run, image: str, script: str, *args: str, env: dict[str, str] | None = None) -> str:
    return pyman("run", "--rm", *args, image, "sh", "-c", script, env=env or {}).stdout


@pytest.mark.parametrize(
    ("mode", "script", "wanted"),
    [
        ("pasta:--mtu,1400", "cat /sys/class/net/*/mtu", "1400\n"),
        ("pasta:-m,1300,-I,net9", "cat /sys/class/net/net9/mtu", "1300\n"),
        ("pasta:--ipv4-only,-a,10.5.0.9,-n,24,-g,10.5.0.1", "ip a; ip r", "inet 10.5.0.9/24"),
        ("pasta:--dns-forward,10.9.9.9", "cat /etc/resolv.conf", "nameserver 10.9.9.9\n"),
        ("pasta:--ns-mac-addr,92:d0:c6:0a:29:77", "cat /sys/class/net/*/address", "92:d0:c6:0a:29:77\n"),
        ("slirp4netns", "ip a show tap0; cat /etc/resolv.conf", "nameserver 10.0.2.3"),
        ("slirp4netns:mtu=1500", "cat /sys/class/net/tap0/mtu", "1500\n"),
        ("slirp4netns:cidr=10.55.0.0/24", "ip a show tap0; cat /etc/resolv.conf /etc/hosts", "nameserver 10.55.0.3"),
        ("slirp4netns:cidr=10.55.0.0/24", "ip a show tap0", "inet 10.55.0.100/24"),
        ("slirp4netns:allow_host_loopback=true", "cat /etc/hosts", "10.0.2.2\thost.containers.internal"),
        ("slirp4netns:enable_ipv6=true,port_handler=slirp4netns,outbound_addr=127.0.0.1", "ip r", "default via 10.0.2.2"),
        ("none", "ls /sys/class/net; cat /etc/hosts /etc/resolv.conf", "lo\n"),
        ("private", "ip r", "default"),
    ],
)
def test_options_work(pyman: Run, image: str, mode: str, script: str, wanted: str) -> None:
    assert wanted in sh(pyman, image, script, "--network", mode)


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("pod", "in no pod"),
        ("host:x", "no options"),
        ("none:x", "no options"),
        ("ns:/nope", "No such file"),
        ("container:nope", "no such container"),
        ("nosuch", "no such network"),
        ("pasta:--pid,/tmp/x", "waits for its sign"),
        ("pasta:--netns,/proc/self/ns/net", "waits for its sign"),
        ("pasta:-f", "waits for its sign"),
        ("pasta:--", "would be no option"),
        ("pasta:mtu=1300", "--network pasta:--mtu,1300"),
        ("pasta:-m,1300,bare", "it begins with no -"),
        ("pasta:--runas,0", "container's root"),
        ("slirp4netns:port_handler=rootlesskit", "hide the peers' addresses"),
        ("slirp4netns:port_handler=x", "slirp4netns"),
        ("slirp4netns:mtu=9", "68 to 65521"),
        ("slirp4netns:cidr=fd00::/64", "IPv4 subnet"),
        ("slirp4netns:cidr=10.0.0.0/30", "128 addresses"),
        ("slirp4netns:enable_ipv6=maybe", "true or false"),
        ("slirp4netns:outbound_addr=nosuchdevice", "nor a device"),
        ("slirp4netns:outbound_addr6=10.0.0.1", "IPv6 address"),
        ("slirp4netns:colour=red", "known are"),
        ("container", "lacks the NAME"),
        ("container:", "lacks the NAME"),
        ("ns:", "lacks the PATH"),
        ("hots", "did you mean host?"),
        ("podmna", "did you mean podman?"),
    ],
)
def test_what_cannot_be_is_refused_at_creation(pyman: Run, image: str, mode: str, why: str) -> None:
    done = pyman("create", "--network", mode, image, "true", rc=125)
    assert why in done.stderr and "Traceback" not in done.stderr


def test_slirp4netns_has_no_ipv6_ports(pyman: Run, image: str) -> None:
    done = pyman("create", "--network", "slirp4netns", "-p", "[::1]:18082:80", image, "true", rc=125)
    assert "cannot publish a port on ::1: slirp4netns listens on IPv4 addresses only" in done.stderr and not pyman("ps", "-aq").stdout


def test_pastas_own_refusals_are_told(pyman: Run, image: str) -> None:
    for option, why in (("--nonsense", "--nonsense"), ("-t,99999", "99999"), ("--no-tcp,stray", "command given")):
        done = pyman("run", "--rm", "--network", f"pasta:{option}", image, "true", rc=126)
        assert why in done.stderr and "syslog" not in done.stderr, done.stderr
    assert not pyman("ps", "-aq").stdout


def test_a_port_at_several_addresses(pyman: Run, image: str, base: Path) -> None:
    """Where pasta takes a port once, it is said who takes it more often; both versions of IP's all addresses are all."""
    conf = base / "ips.toml"
    conf.write_text('[network]\ndefault_host_ips = ["127.0.0.1", "::1"]\n')
    twice = ("-p", "127.0.0.1:26511:80", "-p", "127.0.0.2:26510-26512:80-82")
    for args, env in ((twice, {}), (("-p", "26511:80/udp"), {"PYMAN_CONF": str(conf)})):
        done = pyman("run", "--rm", "--network", "pasta", *args, image, "true", rc=None, env=env)
        if done.returncode:  # newer versions may take it
            assert done.returncode == 126 and "cannot publish port 26511/" in done.stderr and "--network bridge" in done.stderr
            assert ("at 127.0.0.1 and at " + ("::1" if env else "127.0.0.2")) in done.stderr and "Overlapping" not in done.stderr
        pyman("run", "--rm", "--network", "podman", *args, image, "true", env=env)
    pyman("run", "--rm", "--network", "slirp4netns", *twice, image, "true")
    pyman("run", "-d", "--name", "all", "--network", "pasta", "-p", "0.0.0.0:26513:80", "-p", "[::]:26513:80", image, "sleep", "600")
    for address in ("127.0.0.1", "::1"):
        socket.create_connection((address, 26513), 60).close()


def test_namespaces_of_others(pyman: Run, image: str) -> None:
    """container:, ns:, and what they share; sysctls of the network namespace belong to whoever has one."""
    pyman("run", "-d", "--name", "one", "--sysctl", "net.ipv4.ip_forward=1", "--network", "none", image, "sleep", "600")
    own = pyman("exec", "one", "readlink", "/proc/self/ns/net").stdout
    path = f"/proc/{pyman('inspect', '-f', '{{.State.Pid}}', 'one').stdout.strip()}/ns/net"
    for mode in ("container:one", f"ns:{path}"):
        assert sh(pyman, image, "readlink /proc/self/ns/net", "--network", mode) == own
    assert pyman("exec", "one", "cat", "/proc/sys/net/ipv4/ip_forward").stdout == "1\n"
    other = sh(
        pyman,
        image,
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/core/somaxconn",
        "--sysctl",
        "net.core.somaxconn=77",
        "--network",
        "pasta",
    )
    assert other.split()[1] == "77"
    assert "shares" in pyman("run", "--rm", "--network", "host", "--sysctl", "net.core.somaxconn=77", image, "true", rc=125).stderr
    # What is not the containers' cannot be joined, and says why.
    for path, why in (("/proc/self/ns/net", "the host"), ("/proc/self/ns/ipc", "another kind"), ("/etc/passwd", "no namespace's file")):
        done = pyman("run", "--rm", "--network", f"ns:{path}", image, "true", rc=126)
        assert why in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_hosts_begins_with_its_base(pyman: Run, image: str, base: Path) -> None:
    """The host's file, one of the user's, the image's, none; names that are there already are not given another meaning."""
    mine = base / "hosts"
    mine.write_text("# remark\n10.1.2.3 db box # and more\n192.0.2.9 host.docker.internal\nlonely\n")
    with open("/etc/hosts") as file:
        first = next(line.split("#")[0].split() for line in file if len(line.split("#")[0].split()) > 1)
    assert f"{first[0]}\t{' '.join(first[1:])}\n" in sh(pyman, image, "cat /etc/hosts", "--network", "none")
    args = ("--network", "none", "--hostname", "box", "--name", "given", "--hosts-file", str(mine), "--add-host", "a;b:10.9.8.7")
    assert sh(pyman, image, "cat /etc/hosts", *args).split("\n")[:2] == ["10.9.8.7\ta b", "10.1.2.3\tdb box"]
    text = sh(pyman, image, "cat /etc/hosts", *args)
    assert "127.0.0.1\tgiven\n" in text and text.count("host.docker.internal") == 1 and "lonely" not in text and "#" not in text
    assert sh(pyman, image, "cat /etc/hosts", "--network", "none", "--hosts-file", "none").startswith(
        "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
    )
    pyman("run", "--name", "made", "--network", "none", "--no-hosts", image, "sh", "-c", "echo 10.3.3.3 ofimage > /etc/hosts")
    pyman("commit", "-q", "made", "localhost/withhosts")
    assert sh(pyman, "localhost/withhosts", "cat /etc/hosts", "--network", "none", "--hosts-file", "image").startswith(
        "10.3.3.3\tofimage\n"
    )
    # A link of the image's leads to nothing of the host's, and a FIFO keeps nobody waiting.
    for number, trick in enumerate((f"ln -sf {mine} /etc/hosts", "rm -f /etc/hosts; mkfifo /etc/hosts")):
        pyman("run", "--name", f"trick{number}", "--network", "none", "--no-hosts", image, "sh", "-c", trick)
        pyman("commit", "-q", f"trick{number}", f"localhost/trick{number}")
        done = pyman("run", "--rm", "--network", "none", "--hosts-file", "image", f"localhost/trick{number}", "cat", "/etc/hosts", rc=None)
        assert "10.1.2.3" not in done.stdout
    for item, why in (("a b:1.2.3.4", "blanks"), ("a\nb:1.2.3.4", "blanks"), (":1.2.3.4", "form"), ("a:x", "neither"), ("a;b", "form")):
        assert why in pyman("create", "--add-host", item, image, rc=125).stderr
    assert "no-hosts" in pyman("create", "--no-hosts", "--hosts-file", str(mine), image, rc=125).stderr
    # Nor does one of the host's, at creation or at the start.
    pyman("create", "--name", "later", "--network", "none", "--hosts-file", str(mine), image, "cat", "/etc/hosts")
    mine.unlink()
    os.mkfifo(mine)
    for path in (mine, base):
        done = pyman("create", "--hosts-file", str(path), image, rc=125)
        assert f"cannot read hosts file {path}" in done.stderr and "not a regular file" in done.stderr
    assert "10.1.2.3" not in pyman("start", "-a", "later").stdout
    assert "localhost" in sh(pyman, image, "cat /etc/hosts", "--network", "none", "--hosts-file", "/dev/null")
    pyman("rmi", "-f", "localhost/withhosts", "localhost/trick0", "localhost/trick1")


def test_resolver_options(pyman: Run, image: str) -> None:
    args = ("--dns", "9.9.9.9", "--dns", "2001:db8::1", "--dns-search", "example.org", "--dns-option", "ndots:3", "--network", "pasta")
    assert (
        sh(pyman, image, "cat /etc/resolv.conf", *args)
        == "search example.org\nnameserver 9.9.9.9\nnameserver 2001:db8::1\noptions ndots:3\n"
    )
    together = (
        "--dns",
        "9.9.9.9,2001:db8::1",
        "--dns-search",
        "a.org,b.org",
        "--dns-opt",
        "ndots:3,edns0",
        "--add-host",
        "a:10.1.1.1,b:10.1.1.2",
    )
    text = sh(pyman, image, "cat /etc/resolv.conf /etc/hosts", *together, "--network", "pasta", "-p", "", "--dns-search", "")
    assert text.startswith(
        "search a.org b.org\nnameserver 9.9.9.9\nnameserver 2001:db8::1\noptions ndots:3 edns0\n10.1.1.1\ta\n10.1.1.2\tb\n"
    )
    # What pyman writes belongs to a root that is read-only.
    files = "for file in hosts hostname resolv.conf; do echo >> /etc/$file; done 2>&1"
    assert sh(pyman, image, f"{files} | grep -c Read-only", "--read-only", "--network", "pasta") == "3\n"
    assert sh(pyman, image, f"{files} | grep -c . || true", "--network", "pasta") == "0\n"
    assert "search" not in sh(pyman, image, "cat /etc/resolv.conf", "--dns-search", ".")
    assert sh(pyman, image, "ls /etc/resolv.conf 2>&1 || true", "--dns", "none").startswith("ls:")
    assert sh(pyman, image, "ls /etc/hostname /etc/hosts 2>&1 || true", "--no-hostname", "--no-hosts").count("No such file") == 2
    for args, why in (
        (("--dns", "none", "--dns", "9.9.9.9"), "none"),
        (("--dns", "x"), "neither an IP"),
        (("--network", "none", "--dns", "9.9.9.9"), "no network"),
        (("--no-hosts", "--add-host", "a:1.2.3.4"), "no file"),
        (("--dns-search", "a b"), "blanks"),
        (("--dns-search", ".", "--dns-search", "a"), "others are given"),
        (("--add-host", "a;;b:1.2.3.4"), "the form is"),
        (("--dns-search", "a\nnameserver 192.0.2.66"), "control characters"),
        (("--dns-option", "a\nnameserver 192.0.2.66"), "control characters"),
        (("--hostname", "a\n192.0.2.66 b"), "control characters"),
        (("--network", "container:a", "--add-host", "a:1.2.3.4"), "other container's"),
        (("--network", "container:a", "--hosts-file", "none"), "other container's"),
    ):
        assert why in pyman("create", *args, image, "true", rc=125).stderr


def test_keys_of_the_configuration(pyman: Run, image: str, base: Path) -> None:
    """Each key that Podman has for networks works, or is refused by name."""
    conf = base / "net.toml"
    env = {"PYMAN_CONF": str(conf)}

    def configured(text: str, script: str, *args: str) -> str:
        conf.write_text(text)
        return sh(pyman, image, script, *args, env=env)

    assert (
        configured('[containers]\nhost_containers_internal_ip = "10.7.7.7"\n', "cat /etc/hosts", "--add-host", "gw:host-gateway").count(
            "10.7.7.7\t"
        )
        == 2
    )
    assert "internal" not in configured('[containers]\nhost_containers_internal_ip = "none"\nbase_hosts_file = "none"\n', "cat /etc/hosts")
    assert configured('[containers]\ndns_servers = ["none"]\n', "ls /etc/resolv.conf 2>&1 || true").startswith("ls:")
    text = configured(
        '[containers]\ndns_servers = ["9.9.9.9"]\ndns_searches = ["a.b"]\ndns_options = ["ndots:2"]\n', "cat /etc/resolv.conf"
    )
    assert text == "search a.b\nnameserver 9.9.9.9\noptions ndots:2\n"
    assert "1400" in configured('[network]\npasta_options = ["--mtu", "1400"]\n', "cat /sys/class/net/*/mtu", "--network", "pasta")
    both = configured('[network]\npasta_options = ["--mtu", "1400"]\n', "cat /sys/class/net/*/mtu", "--network", "pasta:--mtu,1300")
    assert "1300" in both and "1400" not in both
    text = '[network]\ndefault_rootless_network_cmd = "slirp4netns"\n[engine]\nnetwork_cmd_options = ["mtu=1450"]\n'
    assert configured(text, "cat /sys/class/net/tap0/mtu") == "1450\n"
    assert configured('[containers]\nnetns = "none"\n', "ls /sys/class/net") == "lo\n"
    conf.write_text('[network]\ndefault_host_ips = ["127.0.0.1", "::1"]\n')
    # Some versions of pasta take a port for one address only.
    pyman("run", "-d", "--name", "ips", "--network", "podman", "-p", "80", image, "sleep", "600", env=env)
    first = pyman("port", "ips", env=env).stdout.splitlines()
    assert len(first) == 2 and first[0].startswith("80/tcp -> 127.0.0.1:") and first[0].rsplit(":")[-1] == first[1].rsplit(":")[-1]
    # Random ports stay the container's over a restart.
    pyman("restart", "-t", "0", "ips", env=env)
    assert pyman("port", "ips", env=env).stdout.splitlines() == first
    conf.write_text('[network]\ndefault_subnet_pools = [{"base" = "10.66.0.0/16", "size" = 26}, "10.67.0.0/16:24"]\n')
    pyman("network", "create", "pooled", env=env)
    assert "10.66.0.0/26" in pyman("network", "inspect", "pooled", env=env).stdout
    pyman("network", "rm", "pooled", env=env)
    for key, why in (
        ('network_config_dir = "/x"', "networks lie in"),
        ('firewall_driver = "iptables"', "nftables"),
        ('network_backend = "cni"', "pyman itself"),
        ('default_subnt = "10.1.0.0/16"', "did you mean default_subnet?"),
        ('default_host_ips = ["x y"]', "IP addresses"),
        ('default_rootless_network_cmd = "vpnkit"', "pasta, slirp4netns"),
        ('default_subnet_pools = ["10.1.0.0/16"]', "SUBNET:PREFIX-LENGTH"),
        ('default_subnet_pools = ["10.44.0.0/29:24"]', "net.toml:2:"),
        ('default_subnet_pools = [{"base" = "fd45::/48", "size" = 64}]', "an IPv4 subnet"),
        ('default_subnet = "10.1.0/33"', "net.toml:2:"),
        ('default_host_ips = ["bad"]', "IP addresses"),
        ("dns_bind_port = 70000", "65535"),
        ('setup_hooks = ["relative"]', "absolute"),
    ):
        conf.write_text(f"[network]\n{key}\n")
        assert why in pyman("info", env=env, rc=None).stderr, key


def test_hooks_finish_the_network(pyman: Run, image: str, base: Path) -> None:
    """They see the devices and change them, before the command runs; what fails is named, and nothing is left of the start."""
    hook, seen = base / "hook", base / "seen"
    hook.write_text(
        f"#!/bin/sh\ncat > {seen}; env >> {seen}; echo $1 >> {seen}\nip link add dummy7 type bridge && ip addr add 10.77.0.1/24 dev dummy7\n"
    )
    hook.chmod(0o755)
    conf = base / "hooks.toml"
    env = {"PYMAN_CONF": str(conf), "SECRET_OF_CALLER": "x"}
    conf.write_text(f'[network]\nsetup_hooks = ["{hook} word"]\n')
    for mode in ("pasta", "podman", "none", "slirp4netns"):
        seen.unlink(missing_ok=True)
        text = sh(pyman, image, "ip a", "--network", mode, "-e", "OF_CONTAINER=1", env=env)
        assert "inet 10.77.0.1/24" in text
        facts, *rest = seen.read_text().replace("}PATH", "}\nPATH").replace("}LC", "}\nLC").replace("}P", "}\nP").split("\n")
        assert json.loads(facts.rpartition("}")[0] + "}")["network_mode"].split(":")[0] in (mode, "bridge")
        assert "word" in rest and not any("SECRET_OF_CALLER" in line or "OF_CONTAINER" in line for line in rest)
    seen.unlink()
    assert "dummy7" not in sh(pyman, image, "ls /sys/class/net", "--network", "host", env=env) and not seen.exists()
    hook.write_text("#!/bin/sh\necho no such tunnel >&2; exit 7\n")
    done = pyman("run", "--rm", "--name", "failed", "--network", "podman", image, "true", rc=126, env=env)
    assert "no such tunnel" in done.stderr and "exit code 7" in done.stderr and str(hook) in done.stderr and "setup_hooks" in done.stderr
    hook.chmod(0o644)
    assert "Permission denied" in pyman("run", "--rm", image, "true", rc=126, env=env).stderr
    hook.unlink()
    assert "No such file" in pyman("run", "--rm", image, "true", rc=126, env=env).stderr
    assert not pyman("ps", "-aq").stdout
    assert stat.S_ISREG(os.stat(conf).st_mode)


def test_options_survive_the_helpers_death(pyman: Run, image: str) -> None:
    """A container whose helper was killed and started again keeps what options its helper had."""
    pyman("run", "-d", "--name", "opt", "--network", "pasta:--mtu,1400", image, "sleep", "600")
    own = monitor(pyman, "opt")
    first = helper(own, "pasta", "passt")
    os.kill(first, signal.SIGKILL)
    until(lambda: child(own, "pasta", "passt") not in (0, first))
    pyman("network", "reload", "opt")
    assert "1400" in pyman("exec", "opt", "sh", "-c", "until cat /sys/class/net/*/mtu | grep -v 65536; do :; done").stdout
