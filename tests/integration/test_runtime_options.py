"""Every option of runc's and crun's command lines works here or is refused with the reason: nothing is ignored in silence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pyman.runtime import arguments, cgroup_limits
from tests.conftest import ROOT, environment
from tests.integration.conftest import Bundle, Runtime

_CREATE = "bundle console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds config no-subreaper"
_CRIU = "image-path work-path tcp-established ext-unix-sk shell-job file-locks manage-cgroups-mode empty-ns auto-dedup lazy-pages"
# The options of both, as their manuals and usage texts have them.
NAMES = {
    "": "debug log log-format log-level root systemd-cgroup rootless cgroup-manager version help",
    "create": _CREATE,
    "run": f"{_CREATE} detach keep",
    "delete": "force regex",
    "kill": "all regex",
    "list": "format quiet",
    "ps": "format",
    "exec": "process cwd env user additional-gids cap tty detach pid-file pidfd-socket console-socket preserve-fds no-new-privs apparmor "
    "process-label ignore-paused cgroup",
    "update": "resources blkio-weight cpu-period cpu-quota cpu-burst cpu-idle cpu-share cpu-shares cpu-rt-period cpu-rt-runtime cpuset-cpus "
    "cpuset-mems memory memory-reservation memory-swap pids-limit kernel-memory kernel-memory-tcp l3-cache-schema mem-bw-schema",
    "events": "interval stats",
    "spec": "bundle rootless",
    "checkpoint": f"{_CRIU} parent-path leave-running tcp-skip-in-flight link-remap status-fd page-server pre-dump",
    "restore": f"{_CRIU} bundle console-socket detach pid-file no-subreaper no-pivot lsm-profile lsm-mount-context",
    **dict.fromkeys(("start", "state", "pause", "resume", "features"), ""),
}
# What nothing has to look at: there is no process of this program's that could be reaped, and rights are looked at, not guessed.
WITHOUT_EFFECT = {"no_subreaper", "rootless"}


def test_each_name_is_known_and_each_known_one_is_used() -> None:
    known = {"": arguments.GLOBAL, **arguments.VERBS}
    assert set(known) == set(NAMES)
    source = "".join(file.read_text() for file in (ROOT / "pyman/runtime").glob("*.py") if file.name not in ("arguments.py", "help.py"))
    for verb, names in NAMES.items():
        assert {f"--{name}" for name in names.split()} == {name for name in known[verb] if name.startswith("--")}, verb
        for name in names.split():
            key = name.replace("-", "_")
            used = f'"{key}"' in source or f"--{name}" in arguments.REFUSED or key in WITHOUT_EFFECT
            assert used or verb in ("checkpoint", "restore"), f"{verb} --{name}"  # (those say what stands in criu's way)


# option, a value, the file it is written to, what is there then
UPDATES = [
    ("--blkio-weight", "500", "io.weight", "default 4950"),
    ("--cpu-period", "50000", "cpu.max", "max 50000"),
    ("--cpu-quota", "20000", "cpu.max", "20000 100000"),
    ("--cpu-burst", "1000", "cpu.max.burst", "1000"),
    ("--cpu-share", "2048", "cpu.weight", str(cgroup_limits.weight_of_shares(2048))),
    ("--cpu-shares", "512", "cpu.weight", str(cgroup_limits.weight_of_shares(512))),
    ("--cpu-idle", "1", "cpu.idle", "1"),
    ("--cpuset-cpus", "0", "cpuset.cpus", "0"),
    ("--cpuset-mems", "0", "cpuset.mems", "0"),
    ("--memory", "64m", "memory.max", str(64 << 20)),
    ("--memory-reservation", "32m", "memory.low", str(32 << 20)),
    ("--memory-swap", "-1", "memory.swap.max", "max"),
    ("--pids-limit", "50", "pids.max", "50"),
]


def test_each_option_of_update_does_something_or_says_why_not(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    root = ("--root", tmp_path / "state")
    runtime(*root, "run", "-d", "--bundle", bundle.path, "limits")
    place = Path(json.loads((tmp_path / "state/limits/state.json").read_text())["cgroup"] or "/nowhere")
    for option, value, file, content in UPDATES:
        done = runtime(*root, "update", option, value, "limits", rc=None)
        if done.returncode:
            assert done.returncode == 1 and done.stderr.count("\n") == 1
            named = file if option != "--blkio-weight" else "weight"
            assert named in done.stderr or "has no cgroup" in done.stderr, (option, done.stderr)
        elif (place / file).exists():
            assert content in (place / file).read_text(), option
    assert {option for option, *_ in UPDATES} | set(arguments.REFUSED) | {"--resources"} == {
        name for name in arguments.VERBS["update"] if name.startswith("--")
    }
    for option, why in arguments.REFUSED.items():
        for words in ([option, "1"], [f"{option}=1"], [option]):
            assert runtime(*root, "update", *words, "limits", rc=1).stderr == f"pyman-runtime: cannot use {option}: {why}\n"
    file = tmp_path / "resources.json"
    for section, values in (
        ("memory", {"kernel": 5}),
        ("memory", {"kernelTCP": 5}),
        ("memory", {"swappiness": 5}),
        ("memory", {"disableOOMKiller": True}),
        ("cpu", {"realtimePeriod": 5}),
        ("blockIO", {"leafWeight": 50}),
        ("network", {"classID": 5}),
    ):
        file.write_text(json.dumps({section: values}))
        error = runtime(*root, "update", "--resources", file, "limits", rc=1).stderr
        assert f"cannot set linux.resources.{section}" in error and error.count("\n") == 1, error
    runtime(*root, "delete", "--force", "limits")


def test_options_beside_a_process_file_are_applied_to_it(bundle: Bundle, runtime: Runtime) -> None:
    """Managers add capabilities that way."""
    linux = bundle.spec["linux"]  # with all the caller's ids
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "user"]
    linux.pop("uidMappings", None)
    linux.pop("gidMappings", None)
    runtime("create", "--bundle", bundle.save(), "beside")
    file = bundle.path / "process.json"
    script = "pwd; echo $A$B; id -u; id -G; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; [ -t 0 ] && echo terminal"
    process = {"args": ["/bin/sh", "-c", script + "; true"], "cwd": "/", "env": ["A=a", "B=b", "PATH=/bin"], "capabilities": {}}
    file.write_text(json.dumps(process))
    plain = runtime("exec", "--process", file, "beside").stdout.split()
    assert plain == ["/", "ab", "0", "0", "CapEff:", "0" * 16, "NoNewPrivs:", "0"]
    options = ["--cwd", "/bin", "--env", "B=c", "-g", "7", "--cap", "CAP_KILL", "--no-new-privs", "--tty"]
    changed = runtime("exec", *options, "--process", file, "beside").stdout.split()
    assert changed == ["/bin", "ac", "0", "0", "7", "CapEff:", f"{1 << 5:016x}", "NoNewPrivs:", "1", "terminal"]
    assert runtime("exec", "--user", "5:6", "--process", file, "beside").stdout.split()[2:4] == ["5", "6"]
    for option, words in (
        (["--cap", "CAP_NO"], "unknown capability"),
        (["--env", "A"], "'A' is not NAME=VALUE"),
        (["--apparmor", "x"], "AppArmor is not enabled"),
        (["--process-label", "x"], "SELinux is not enabled"),
        (["--cgroup", "/nowhere"], "cannot use cgroup /nowhere"),
    ):
        error = runtime("exec", *option, "--process", file, "beside", rc=255).stderr
        assert words in error and error.count("\n") == 1
    file.write_text(json.dumps({**process, "capabilities": 5}))
    error = runtime("exec", "--cap", "CAP_KILL", "--process", file, "beside", rc=255).stderr
    assert error == "pyman-runtime: process.capabilities is wrong: it must be an object\n"


def test_what_is_handed_over_may_come_through_a_pipe(bundle: Bundle, base: Path, runtime: Runtime) -> None:
    runtime("create", "--bundle", bundle.path, "piped")
    program = f"{sys.executable} -SI {ROOT}/pyman/runtime/__main__.py"
    cases = [
        ({"args": ["/bin/busybox", "echo", "heard"], "cwd": "/"}, "exec --process /dev/stdin piped", 0, "heard"),
        ("{", "exec --process /dev/fd/0 piped", 255, "cannot use what comes from /dev/fd/0: it is no JSON"),
        ([], "exec --process /dev/stdin piped", 255, "it is not a JSON object"),
        ({"network": {"classID": 5}}, "update --resources /dev/stdin piped", 1, "cannot set linux.resources.network"),
        ({"network": {"classID": 5}}, "update --resources - piped", 1, "cannot set linux.resources.network"),
    ]
    for value, words, code, expected in cases:
        text = value if isinstance(value, str) else json.dumps(value)
        done = subprocess.run(
            [*program.split(), *words.split()], input=text, env=environment(base), capture_output=True, text=True, check=False
        )
        assert done.returncode == code and expected in done.stdout + done.stderr, done
        assert (done.stdout + done.stderr).count("\n") == 1


def test_options_without_sense(bundle: Bundle, base: Path, runtime: Runtime) -> None:
    runtime("create", "--bundle", bundle.path, "sense")
    assert "is for the table" in runtime("ps", "--format", "json", "sense", "-o", "pid", rc=1).stderr
    assert "invalid --rootless 'maybe'" in runtime("--rootless", "maybe", "state", "sense", rc=1).stderr
    runtime("--rootless", "auto", "state", "sense")
    assert "asks for no terminal" in runtime("exec", "--console-socket", "/nope", "sense", "/bin/true", rc=255).stderr
    # Who has read enough of the events is no error.
    program = f"{sys.executable} -SI {ROOT}/pyman/runtime/__main__.py events --interval 10ms sense"
    with subprocess.Popen(program.split(), env=environment(base), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as events:
        assert events.stdout is not None and events.stderr is not None
        first = events.stdout.readline()
        events.stdout.close()
        error = events.stderr.read()
    assert (events.returncode, error) == (0, b"") if first else b"it has no cgroup" in error
