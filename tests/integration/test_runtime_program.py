"""`pyman-runtime` as a program of its own: an OCI bundle from create to delete, as any manager would drive it."""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyman.runtime import arguments, help
from tests.conftest import ROOT, environment, until
from tests.integration.conftest import Bundle, Runtime


@pytest.fixture
def console(base: Path) -> Iterator[Any]:
    """A console socket: (path, receive() -> descriptor)."""
    path = base / "console"
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(1)

    def receive() -> int:
        connection, _ = server.accept()
        _, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
        connection.close()
        return int(array.array("i", ancillary[0][2])[0])

    yield path, receive
    server.close()
    path.unlink()


def read_until(fd: int, text: str) -> str:
    found = ""
    while text not in found and select.select([fd], [], [], 300)[0]:
        try:
            found += os.read(fd, 4096).decode()
        except OSError:
            break
    return found


def status(runtime: Runtime, name: str) -> str:
    return str(json.loads(runtime("state", name).stdout)["status"])


def wait_for(runtime: Runtime, name: str, wanted: str) -> None:
    until(lambda: status(runtime, name) == wanted)


def test_life_of_a_bundle(bundle: Bundle, runtime: Runtime) -> None:
    runtime("create", "--bundle", bundle.path, "--pid-file", bundle.path / "pid", "life")
    state = json.loads(runtime("state", "life").stdout)
    assert state["status"] == "created" and state["pid"] == int((bundle.path / "pid").read_text()) and state["bundle"] == str(bundle.path)
    assert "exists" in runtime("create", "--bundle", bundle.path, "life", rc=1).stderr
    runtime("start", "life")
    assert status(runtime, "life") == "running"
    assert runtime("exec", "life", "/bin/busybox", "echo", "inside").stdout == "inside\n"
    assert "running" in runtime("start", "life", rc=1).stderr
    assert "running" in runtime("delete", "life", rc=1).stderr
    runtime("kill", "life", "KILL")
    wait_for(runtime, "life", "stopped")
    assert "not running" in runtime("kill", "life", rc=1).stderr
    assert "cannot show events of container life: it is stopped" in runtime("events", "life", rc=1).stderr
    runtime("delete", "life")
    assert "does not exist" in runtime("state", "life", rc=1).stderr
    runtime("delete", "life", rc=1)
    runtime("delete", "--force", "life")


def test_the_configuration_may_be_a_link(bundle: Bundle, runtime: Runtime) -> None:
    """The bundle is the caller's, who may as well have named the file itself."""
    (bundle.sh("echo linked") / "config.json").rename(bundle.path / "real.json")
    (bundle.path / "config.json").symlink_to("real.json")
    assert runtime("run", "--bundle", bundle.path, "link").stdout == "linked\n"
    (bundle.path / "real.json").rename(bundle.path / "away.json")
    assert "has no config.json" in runtime("run", "--bundle", bundle.path, "link", rc=1).stderr


def test_run_returns_the_exit_code(bundle: Bundle, runtime: Runtime) -> None:
    assert runtime("run", "--bundle", bundle.sh("echo out; exit 9"), "once", rc=9).stdout == "out\n"
    runtime("run", "--bundle", bundle.sh("kill -USR1 $$"), "once", rc=0)  # init of a pid namespace has no default actions
    assert "no such file or directory" in runtime("run", "--bundle", bundle.save(args=["/nope"]), "once", rc=1).stderr
    assert "executable file not found" in runtime("run", "--bundle", bundle.save(args=["nope"]), "once", rc=1).stderr
    assert "permission denied" in runtime("run", "--bundle", bundle.save(args=["/bin"]), "once", rc=1).stderr
    assert runtime("list", "-q").stdout == ""


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_are_the_null_device_inside(bundle: Bundle, base: Path, closed: str) -> None:
    """Otherwise the next file that is opened would be the program's standard input, output or error."""
    bundle.sh('for n in 0 1 2; do streams="$streams $(/bin/busybox readlink /proc/1/fd/$n)"; done; echo $streams >/streams; exit 4')
    command = [sys.executable, "-SI", str(ROOT / "pyman/runtime/__main__.py"), "run", "--bundle", str(bundle.path), "closed"]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *command], env=environment(base), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, "", "")
    found = (bundle.root / "streams").read_text().split()
    assert len(found) == 3 and all(found[int(word[0])] == "/dev/null" for word in closed.split()), found


def test_create_says_that_the_program_is_missing(bundle: Bundle, runtime: Runtime) -> None:
    text = runtime("create", "--bundle", bundle.save(args=["nope"]), "missing", rc=1).stderr
    assert "executable file not found in $PATH" in text and runtime("list", "-q").stdout == ""


def test_nobody_waits_for_a_reader_of_the_log(bundle: Bundle, runtime: Runtime) -> None:
    log = bundle.path / "log"
    os.mkfifo(log)
    assert runtime("--log", log, "state", "nobody", rc=1).stderr.count("\n") == 1
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    runtime("--log", log, "state", "nobody", rc=1)
    assert b"nobody does not exist" in os.read(reader, 4096)
    os.close(reader)


@pytest.mark.parametrize("style", ["json", "text"])
def test_errors_go_to_the_log(bundle: Bundle, runtime: Runtime, style: str) -> None:
    log = bundle.path / "log"
    bundle.save(cwd="relative")
    runtime("--log", log, "--log-format", style, "create", "--bundle", bundle.path, "bad", rc=1)
    text = log.read_text()
    assert "cwd is not absolute" in (json.loads(text)["msg"] if style == "json" else text) and text.count("\n") == 1
    if style == "json":
        assert json.loads(text)["level"] == "error" and json.loads(text)["time"].startswith("20")
    else:
        assert "level=error" in text
    assert "--log-format" in runtime("--log-format", "xml", "state", "x", rc=1).stderr


def test_list_in_all_its_forms(bundle: Bundle, runtime: Runtime) -> None:
    for name in ("one", "two"):
        runtime("create", "--bundle", bundle.path, name)
    assert runtime("list", "--quiet").stdout == "one\ntwo\n"
    entries = json.loads(runtime("list", "--format", "json").stdout)
    assert [entry["id"] for entry in entries] == ["one", "two"]
    assert set(entries[0]) >= {"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"}
    lines = runtime("list").stdout.splitlines()
    assert lines[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"] and lines[1].split()[:1] == ["one"]
    assert "--format" in runtime("list", "--format", "yaml", rc=1).stderr


def test_output_that_is_lost_is_an_error(base: Path) -> None:
    program = [sys.executable, "-SI", str(ROOT / "pyman/runtime/__main__.py")]
    for verb in ("list", "features"):
        with open("/dev/full", "w") as full:
            done = subprocess.run([*program, verb], env=environment(base), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, "No space left on device" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("words", ["--version", "features", "list"])
def test_output_that_nobody_can_get_is_an_error(base: Path, words: str) -> None:
    program = f"{sys.executable} -SI {ROOT}/pyman/runtime/__main__.py {words}"
    done = subprocess.run(["sh", "-c", f"{program} >&-"], env=environment(base), capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr == "pyman-runtime: cannot write what was to be printed: standard output is closed\n"


def test_exec_takes_its_options(bundle: Bundle, runtime: Runtime) -> None:
    runtime("run", "-d", "--bundle", bundle.save(env=["PATH=/bin", "A=old"]), "ex")
    text = runtime(
        "exec", "--env", "A=new", "-e", "B=more", "--cwd", "/bin", "ex", "sh", "-c", "echo $A $B $PWD; grep NoNew /proc/self/status"
    ).stdout
    assert text.split() == ["new", "more", "/bin", "NoNewPrivs:", "1"]
    caps = runtime("exec", "--cap", "CAP_SYS_ADMIN,net_raw", "ex", "grep", "^Cap", "/proc/self/status").stdout
    values = {line.split(":")[0]: int(line.split()[1], 16) for line in caps.splitlines()}
    extra = 1 << 21 | 1 << 13
    assert values["CapEff"] & extra == extra and values["CapInh"] == values["CapAmb"] == 0
    assert runtime("exec", "ex", "sh", "-c", "exit 5", rc=5).returncode == 5
    assert "executable file not found" in runtime("exec", "ex", "nope", rc=255).stderr
    for options in (["--user", "1x"], ["--user", "-1"], ["--user", "4294967295"], ["--cap", "CAP_NO"], ["--cwd", "bin"], ["--user", "0x1"]):
        runtime("exec", *options, "ex", "true", rc=255)
    assert "AppArmor" in runtime("exec", "--apparmor", "x", "ex", "true", rc=255).stderr
    assert "SELinux" in runtime("exec", "--process-label", "x", "ex", "true", rc=255).stderr
    runtime("exec", "ex", rc=255)


def test_exec_of_a_process_file(bundle: Bundle, runtime: Runtime) -> None:
    runtime("run", "-d", "--bundle", bundle.save(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 77}]), "pf")
    file = bundle.path / "process.json"
    process = {"args": ["sh", "-c", "echo $X; pwd; id -u"], "env": ["X=y", "PATH=/bin"], "cwd": "/bin", "user": {"uid": 0, "gid": 0}}
    file.write_text(json.dumps({**process, "execCPUAffinity": {"initial": "0", "final": "0"}}))
    assert runtime("exec", "--process", file, "pf").stdout.split() == ["y", "/bin", "0"]
    assert "both given" in runtime("exec", "--process", file, "pf", "true", rc=255).stderr
    # What it does not say about rights and limits is the container's, as with runc.
    asked = {"args": ["sh", "-c", "ulimit -n; ulimit -c; grep -E 'Cap(Eff|Bnd)' /proc/self/status"], "env": ["PATH=/bin"], "cwd": "/"}
    file.write_text(json.dumps(asked))
    link = bundle.path / "link.json"
    link.symlink_to(file)
    option_form = runtime("exec", "pf", *asked["args"]).stdout.split()
    assert runtime("exec", "--process", link, "pf").stdout.split() == option_form and option_form[0] == "77" != option_form[1]
    assert int(option_form[3], 16) != 0
    file.write_text(json.dumps({**asked, "capabilities": {}, "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]}))
    other = runtime("exec", "--process", file, "pf").stdout.split()
    assert other[1] == "0" and int(other[3], 16) == int(other[5], 16) == 0
    file.write_text(json.dumps({**process, "env": ["X"]}))
    assert "process.env[0] is wrong: 'X' is not NAME=VALUE" in runtime("exec", "--process", file, "pf", rc=255).stderr
    assert "'X' is not NAME=VALUE" in runtime("exec", "--env", "X", "pf", "true", rc=255).stderr
    file.write_text(json.dumps({**process, "args": "sh"}))
    assert "process.args" in runtime("exec", "--process", file, "pf", rc=255).stderr
    file.write_text("{")
    runtime("exec", "--process", file, "pf", rc=255)


def test_consoles_go_over_their_socket(bundle: Bundle, runtime: Runtime, console: Any) -> None:
    path, receive = console
    bundle.save(terminal=True, args=["/bin/sh"], consoleSize={"height": 30, "width": 90})
    runtime("create", "--bundle", bundle.path, "--console-socket", path, "tty")
    master = receive()
    runtime("start", "tty")
    os.write(master, b"/bin/busybox stty size; /bin/busybox tty\n")
    assert "/dev/pts/0" in read_until(master, "/dev/pts/0\r")
    runtime("exec", "--tty", "--detach", "--console-socket", path, "tty", "/bin/busybox", "tty")
    other = receive()
    assert "/dev/pts/1" in read_until(other, "/dev/pts/1\r")
    os.close(master)
    os.close(other)
    assert "console-socket" in runtime("create", "--bundle", bundle.path, "none", rc=1).stderr
    assert "console-socket" in runtime("exec", "--tty", "--detach", "tty", "/bin/true", rc=255).stderr
    bundle.save(terminal=False)
    assert "no terminal" in runtime("create", "--bundle", bundle.path, "--console-socket", path, "none", rc=1).stderr


def test_a_consoles_socket_may_lie_deep(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    """The kernel takes 107 bytes of a path; it is the directory that is long here."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    bundle.save(terminal=True, args=["/bin/sleep", "1000"])
    error = runtime("create", "--bundle", bundle.path, "--console-socket", deep / "socket", "deep", rc=1).stderr
    assert error == f"pyman-runtime: cannot hand over the container's terminal: {deep}/socket: No such file or directory\n"
    error = runtime("create", "--bundle", bundle.path, "--console-socket", deep / ("s" * 120), "deep", rc=1).stderr
    assert "the name of a socket can have about" in error and "None" not in error
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        directory = os.open(deep, os.O_PATH)
        server.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
        server.listen(1)
        runtime("create", "--bundle", bundle.path, "--console-socket", deep / "socket", "deep")
        with server.accept()[0] as connection:
            assert connection.recvmsg(100, socket.CMSG_SPACE(4))[0] == b"/dev/ptmx"


def test_a_terminal_in_the_foreground(bundle: Bundle, runtime: Runtime) -> None:
    text = runtime(
        "run", "--bundle", bundle.save(terminal=True, args=["/bin/sh", "-c", "[ -t 0 ] && echo is a terminal; exit 3"]), "fg", rc=3
    ).stdout
    assert text == "is a terminal\n"


def test_only_the_preserved_descriptors_are_there(bundle: Bundle, runtime: Runtime) -> None:
    (bundle.path / "file").write_text("content")
    fd = os.open(bundle.path / "file", os.O_RDONLY)
    ours, leaked = 3, fcntl.fcntl(fd, fcntl.F_DUPFD, 200)  # a number that the test run itself does not use
    saved = os.dup(ours) if os.path.exists(f"/proc/self/fd/{ours}") else -1
    os.dup2(fd, ours)
    try:
        bundle.sh("cat <&3; ls /proc/self/fd")
        text = runtime("run", "--bundle", bundle.path, "--preserve-fds", 1, "fds", pass_fds=(ours, leaked)).stdout
        assert text.split() == ["content0", "1", "2", "3", "4"]  # 4 is the directory that ls reads
        # More than there are: those that are open, and never one that is the runtime's own.
        assert runtime("run", "--bundle", bundle.path, "--preserve-fds", 30, "fds", pass_fds=(ours,)).stdout.split()[-2:] == ["3", "4"]
    finally:
        os.close(leaked)
        if saved >= 0:
            os.dup2(saved, ours)
            os.close(saved)
        else:
            os.close(ours)
        os.close(fd)


def test_a_pidfd_goes_over_its_socket(bundle: Bundle, runtime: Runtime, console: Any) -> None:
    path, receive = console
    runtime("run", "--detach", "--bundle", bundle.path, "--pidfd-socket", path, "pidfd")
    pidfd = receive()
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert select.select([pidfd], [], [], 300)[0]
    os.close(pidfd)
    runtime("delete", "pidfd")
    bundle.spec["annotations"] = {"run.oci.pidfd_receiver": str(path)}  # crun's way to ask for it
    runtime("create", "--bundle", bundle.save(), "pidfd")
    pidfd = receive()
    assert f"Pid:\t{json.loads(runtime('state', 'pidfd').stdout)['pid']}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    os.close(pidfd)
    runtime("delete", "pidfd")
    bundle.spec["annotations"] = {"run.oci.pidfd_receiver": str(bundle.path / "nobody")}
    assert "cannot hand over the process's pidfd" in runtime("create", "--bundle", bundle.save(), "pidfd", rc=1).stderr


def test_signals_reach_the_program_in_the_foreground(bundle: Bundle, base: Path) -> None:
    bundle.sh("trap 'echo got it; exit 6' TERM; echo ready; while :; do /bin/sleep 0.05; done")
    command = [sys.executable, "-SI", str(ROOT / "pyman/runtime/__main__.py"), "run", "--bundle", str(bundle.path), "signals"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(base))
    assert running.stdout is not None and running.stdout.readline() == b"ready\n"
    running.terminate()
    assert running.stdout.read() == b"got it\n" and running.wait(300) == 6


def test_kill_knows_signals_by_name_and_number(bundle: Bundle, runtime: Runtime) -> None:
    bundle.sh('for s in USR1 USR2 HUP; do trap "echo $s >>/got" $s; done; touch /up; while :; do /bin/sleep 0.02; done')
    runtime("run", "-d", "--bundle", bundle.path, "sig")
    until((bundle.root / "up").exists)
    got = bundle.root / "got"
    for count, name in enumerate(("SIGUSR1", "usr2", "1"), 1):
        runtime("kill", "sig", name)
        until(lambda count=count: got.exists() and got.read_text().count("\n") == count)  # type: ignore[misc]
    assert got.read_text().split() == ["USR1", "USR2", "HUP"]
    runtime("kill", "sig", "0")  # sends none: whether there is somebody
    for name in ("NOSIG", "00000", "65", "-1", "RTMIN+99"):
        assert "invalid signal" in runtime("kill", "sig", "--" if name == "-1" else name, rc=1).stderr or name == "-1"


def test_the_template_depends_on_who_may_what(runtime: Runtime, tmp_path: Path) -> None:
    runtime("spec", "--rootless", "--bundle", tmp_path)
    spec = json.loads((tmp_path / "config.json").read_text())
    assert spec["ociVersion"] == "1.2.0" and spec["linux"]["uidMappings"] == [{"containerID": 0, "hostID": os.getuid(), "size": 1}]
    assert "exists already" in runtime("spec", "--bundle", tmp_path, rc=1).stderr


def test_features_list_what_there_is(runtime: Runtime) -> None:
    features = json.loads(runtime("features").stdout)
    assert features["ociVersionMax"] == "1.2.0" and len(features["hooks"]) == 6
    assert {"rro", "idmap", "rslave", "tmpcopyup", "nosymfollow"} <= set(features["mountOptions"])
    assert "SCMP_ACT_NOTIFY" in features["linux"]["seccomp"]["actions"] and features["linux"]["cgroup"]["v2"]
    assert not features["linux"]["intelRdt"]["enabled"] and "CAP_BPF" in features["linux"]["capabilities"]


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["dance"], "unknown command"),
        (["chekpoint"], "did you mean checkpoint?"),
        (["exec", "--preserve-fd", "1"], "did you mean --preserve-fds?"),
        (["create", "--bundl", "x", "y"], "did you mean --bundle?"),
        (["--log", "/nowhere/at/all", "list"], "cannot write the log /nowhere/at/all"),
        (["state"], "wrong number"),
        (["state", "--no-such"], "unknown option"),
        (["state", "a/b"], "invalid container ID"),
        (["state", ".."], "invalid container ID"),
        (["state", "x" * 2000], "invalid container ID"),
        (["--root"], "needs a value"),
        (["run", "--preserve-fds", "many", "x"], "preserve-fds"),
        (["run", "--preserve-fds", "-1", "x"], "0 or more"),
        (["--log-level", "loud", "list"], "error, warning and debug"),
        (["pause", "nobody"], "does not exist"),
        (["update", "nobody"], "does not exist"),
    ],
)
def test_bad_command_lines(bundle: Bundle, runtime: Runtime, args: list[str], word: str) -> None:
    if args[0] == "run":
        args = ["run", "--bundle", str(bundle.path), *args[1:]]
    text = runtime(*args, rc=255 if args[0] == "exec" else 1).stderr
    assert word in text and text.count("\n") == 1


def test_a_damaged_entry_hides_no_other(bundle: Bundle, runtime: Runtime, base: Path) -> None:
    runtime("run", "--detach", "--bundle", bundle.sh("sleep 600"), "whole")
    state = next(path for path in base.rglob("whole/state.json"))
    for name, text in (("torn", "{"), ("empty", "{}")):
        (state.parents[1] / name).mkdir()
        (state.parents[1] / name / "state.json").write_text(text)
    done = runtime("list", "-q")
    assert done.stdout == "whole\n" and done.stderr.count("its state.json is damaged") == done.stderr.count("\n") == 2
    for name in ("torn", "empty"):
        runtime("delete", "--force", name)
    runtime("delete", "--force", "whole")
    done = runtime("list", "-q")
    assert done.stdout == done.stderr == ""


def test_help_and_version(runtime: Runtime) -> None:
    assert "pyman-runtime version" in runtime("--version").stdout and "spec: 1.2.0" in runtime("-v").stdout
    assert "commands:" in runtime("--help").stdout and "--systemd-cgroup" in runtime("--help").stdout
    assert "-b, --bundle VALUE" in runtime("create", "--help").stdout and "-f, --force" in runtime("delete", "--help").stdout
    known = set(arguments.GLOBAL).union(*arguments.VERBS.values())
    assert {name for name in known if name.startswith("--")} == set(help.OPTIONS)


def test_without_pivot_root_and_without_a_new_keyring(bundle: Bundle, runtime: Runtime) -> None:
    assert runtime("run", "--no-new-keyring", "--bundle", bundle.sh("echo ran"), "keys").stdout == "ran\n"
    text = runtime("run", "--no-pivot", "--bundle", bundle.sh("ls /"), "nopivot").stdout
    assert "bin" in text.split() and "usr" not in text.split()


def test_a_state_directory_of_somebody_else_is_refused(bundle: Bundle, runtime: Runtime) -> None:
    open_to_all = bundle.path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    assert "others may write" in runtime("--root", open_to_all, "create", "--bundle", bundle.path, "x", rc=1).stderr
    assert "cannot use the state directory" in runtime("--root", "/proc/none", "create", "--bundle", bundle.path, "x", rc=1).stderr
    (open_to_all / ".hidden").mkdir()
    (open_to_all / "foreign").mkdir()
    assert runtime("--root", open_to_all, "list", "-q").stdout == ""
