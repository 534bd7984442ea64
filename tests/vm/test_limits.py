"""Limits on real controllers: the kernel's files say what was asked for, a program feels it, and pyman tells what happened."""

from __future__ import annotations

import pytest

from tests.vm.machine import Machine

IMAGE = "pyman image exists demo || pyman pull -q oci:/opt/demo:latest >/dev/null\n"
GROUP = "user.slice/pyman-ID.scope/container"
LIMITS = {
    "--memory 64m --memory-swap 96m --memory-reservation 32m": {
        "memory.max": "67108864",
        "memory.swap.max": "33554432",
        "memory.low": "33554432",
    },
    "--pids-limit 50": {"pids.max": "50"},
    "--cpus 0.5 --cpu-shares 512": {"cpu.max": "50000 100000", "cpu.weight": "59"},
    "--cpuset-cpus 1": {"cpuset.cpus": "1", "cpuset.cpus.effective": "1"},
    "--device-write-bps /dev/vda:1mb --device-read-iops /dev/vda:100": {"io.max": "254:0 rbps=max wbps=1048576 riops=100 wiops=max"},
}


@pytest.fixture(scope="module", autouse=True)
def image(vm: Machine) -> None:
    vm(IMAGE)


def test_limits_are_in_the_kernels_files_of_a_scope(vm: Machine) -> None:
    files = [file for values in LIMITS.values() for file in values]
    said = vm(
        f"""
        pyman run -d --name limited {" ".join(LIMITS)} --blkio-weight 200 demo sleep 600 >/dev/null
        pyman exec limited sh -c 'cd /sys/fs/cgroup; for file in {" ".join(files)}; do echo $file=$(cat $file); done; cat /proc/self/cgroup'
        pyman inspect -f '{{{{.Id}}}} {{{{.State.CgroupPath}}}} {{{{.State.Pid}}}}' limited
        systemctl --user show -p Delegate -p Slice -p ActiveState -p TasksMax "pyman-$(pyman inspect -f '{{{{.Id}}}}' limited).scope"
        cat /proc/$(pyman inspect -f '{{{{.State.ConmonPid}}}}' limited)/cgroup /proc/$(pyman inspect -f '{{{{.State.Pid}}}}' limited)/cgroup
        pyman stats --no-stream --format '{{{{.MemUsage}}}} {{{{.PIDs}}}}' limited
        pyman update --memory 48m --cpus 0.25 --pids-limit 40 limited >/dev/null
        pyman exec limited sh -c 'cd /sys/fs/cgroup; echo updated $(cat memory.max cpu.max pids.max)'
        pyman pause limited >/dev/null; pyman ps -a --format '{{{{.Names}}}} {{{{.Status}}}}'; pyman unpause limited >/dev/null
        pyman restart -t 0 limited >/dev/null
        pyman exec limited sh -c 'echo again $(cat /sys/fs/cgroup/memory.max)'
        pyman rm -f -t 0 limited >/dev/null
        for try in $(seq 300); do systemctl --user list-units --all --plain --no-legend 'pyman-*.scope' | grep -q . || break; sleep 0.1; done
        systemctl --user list-units --all --plain --no-legend 'pyman-*.scope'
        echo end
        """
    ).stdout.split("\n")
    found = dict(line.split("=", 1) for line in said[: len(files)])
    assert found == {file: value for values in LIMITS.values() for file, value in values.items()}
    identity = said[len(files) + 1].split()[0]
    scope = f"/user.slice/user-1000.slice/user@1000.service/user.slice/pyman-{identity}.scope"
    assert said[len(files)] == "0::/"  # exec's process is in the group, which is the root of the container's namespace
    assert said[len(files) + 1].split()[1] == f"{scope}/container"
    shown = said[len(files) + 2 : len(files) + 6]
    assert set(shown) == {"Delegate=yes", "Slice=user.slice", "ActiveState=active", "TasksMax=infinity"}
    del said[len(files) + 5]
    assert said[len(files) + 5 : len(files) + 7] == [f"0::{scope}/supervisor", f"0::{scope}/container"]
    memory, _, limit, pids = said[len(files) + 7].split()
    assert (limit, pids) == ("67.11MB", "1")
    assert memory.endswith("kB") or memory.endswith("MB")
    assert said[len(files) + 8] == "updated 50331648 25000 100000 40"
    assert "aused" in said[len(files) + 9]
    assert said[len(files) + 10 : len(files) + 12] == ["again 50331648", "end"]


def test_programs_feel_them(vm: Machine) -> None:
    said = vm(
        r"""
        pyman run --name hog --memory 32m --memory-swap 32m demo sh -c 'tail /dev/zero' || echo "code $?"
        pyman inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' hog
        pyman events --since 30m --stream=false --filter container=hog --filter event=died --format json
        pyman events --since 30m --stream=false --filter container=hog --filter event=died
        echo why $(pyman why hog)
        pyman run --rm --pids-limit 12 demo sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do sleep 20 & done; wait' 2>&1 | grep -o "can't fork" || true
        pyman run --rm --cpus 0.2 demo sh -c 'timeout 3 sh -c "while :; do :; done"; grep nr_throttled /sys/fs/cgroup/cpu.stat'
        pyman run --rm --cpuset-cpus 1 demo sh -c 'nproc; grep Cpus_allowed_list /proc/self/status'
        # Four megabytes to the disk, one a second; the first is free. Past the cache: a volatile overlay has no fsync that writes.
        began=${EPOCHREALTIME/[.,]}
        pyman run --rm --device-write-bps /dev/vda:1mb demo dd if=/dev/zero of=/file bs=64k count=64 oflag=direct 2>/dev/null
        echo slowed $(((${EPOCHREALTIME/[.,]} - began) / 2500000))
        pyman rm -f hog >/dev/null
        """
    ).stdout.split("\n")
    assert said[:2] == ["code 137", "true 137"]
    assert "OOMKilled" in said[2]
    assert ", oom_killed=true" in said[3]
    assert said[4].startswith("why ") and "killed by the kernel" in said[4] and "memory" in said[4]
    assert "can't fork" in said
    assert said[said.index("1") + 1].split() == ["Cpus_allowed_list:", "1"]
    assert [line for line in said if line.startswith("slowed") and line != "slowed 0"]
    assert [line for line in said if line.startswith("nr_throttled") and int(line.split()[1]) > 0]


def test_places_and_managers(vm: Machine) -> None:
    said = vm(
        r"""
        where='cat /proc/$(pyman inspect -f "{{.State.Pid}}" placed)/cgroup; pyman rm -f -t 0 placed >/dev/null'
        pyman run -d --name placed --cgroup-parent work.slice demo sleep 600 >/dev/null; eval "$where"
        systemd-run --user --scope -q -p Delegate=yes pyman --cgroup-manager=cgroupfs run -d --name placed demo sleep 600 >/dev/null; eval "$where"
        systemd-run --user --collect -q -p Type=forking pyman run -d --name placed --cgroups=no-conmon demo sleep 60 >/dev/null; eval "$where"
        systemd-run --user -q --collect -u split -p Delegate=yes pyman run --name placed --cgroups=split demo sleep 600
        for try in $(seq 600); do pyman exec placed true 2>/dev/null && break; sleep 0.1; done; eval "$where"
        pyman run --rm --cgroups=disabled demo true; echo disabled $?
        pyman --cgroup-manager=cgroupfs run --rm --cgroup-parent work.slice demo true 2>&1 || true
        pyman --cgroup-manager=systemd run --rm --cgroup-parent /a/b demo true 2>&1 || true
        """
    ).stdout.split("\n")
    assert "/user@1000.service/work.slice/pyman-" in said[0] and said[0].endswith(".scope/container")
    assert ".scope" in said[1] or "app.slice/pyman-" in said[1]
    assert "/user.slice/pyman-" in said[2] and said[2].endswith(".scope/container")
    assert "/app.slice/split.service/pyman-payload-" in said[3]
    assert said[4] == "disabled 0"
    assert "name of a slice" in said[5]
    assert "name of a slice" in " ".join(said[6:])


def test_the_runtime_program_and_scopes(vm: Machine) -> None:
    """A bundle's cgroupsPath SLICE:PREFIX:NAME is a scope with the bundle's limits, for exec from a login session too; Podman's containers the same."""
    said = vm(
        r"""
        mkdir -p ~/bundle/rootfs; cd ~/bundle
        pyman create --name source demo >/dev/null; pyman export source | tar -x -C rootfs; pyman rm source >/dev/null
        pyman-runtime spec --rootless
        python3 - <<'EOF'
import json
spec = json.load(open("config.json"))
spec["process"].update(terminal=False, args=["sleep", "1000"])
spec["linux"]["resources"] = {"memory": {"limit": 67108864}, "pids": {"limit": 50}, "cpu": {"quota": 50000, "period": 100000, "cpus": "1"}}
spec["linux"]["cgroupsPath"] = "work.slice:bundled:c1"
json.dump(spec, open("config.json", "w"))
EOF
        look() { cd "/sys/fs/cgroup$1"; echo $(cat memory.max pids.max cpu.max); cd ~/bundle; }
        pyman-runtime --systemd-cgroup run -d --pid-file pid c1 </dev/null >/dev/null 2>&1
        where=$(sed s/0::// /proc/$(cat pid)/cgroup)
        echo $where; look $where
        pyman-runtime --systemd-cgroup exec c1 cat /proc/self/cgroup /sys/fs/cgroup/cpuset.cpus.effective
        pyman-runtime delete -f c1
        for try in $(seq 600); do systemctl --user list-units --all --plain --no-legend 'bundled*' | grep -q . || break; sleep 0.1; done
        systemctl --user list-units --all --plain --no-legend 'bundled*'
        cd; rm -r ~/bundle; mkdir ~/bundle

        podman image exists localhost/demo || podman tag $(podman pull -q oci:/opt/demo:latest) localhost/demo
        theirs() { podman --runtime /usr/local/bin/pyman-runtime --cgroup-manager systemd "$@"; }
        theirs run -d --name theirs --network none --memory 64m --pids-limit 50 --cpus 0.5 localhost/demo sleep 1000 >/dev/null
        where=$(sed s/0::// /proc/$(podman inspect -f '{{.State.Pid}}' theirs)/cgroup)
        echo $where; look $where
        theirs exec theirs cat /proc/self/cgroup
        theirs rm -f -t 0 theirs >/dev/null; podman rmi -f localhost/demo >/dev/null; rmdir ~/bundle
        """
    ).stdout.splitlines()
    manager = "/user.slice/user-1000.slice/user@1000.service"
    assert said[:4] == [f"{manager}/work.slice/bundled-c1.scope/container", "67108864 50 50000 100000", "0::/", "1"]
    assert said[4].startswith(f"{manager}/user.slice/libpod-") and said[4].endswith(".scope/container")
    assert said[5:] == ["67108864 50 50000 100000", "0::/"]


def test_a_controller_that_was_not_delegated_is_named(vm: Machine) -> None:
    files = "cd /sys/fs/cgroup/user.slice/user-1000.slice; find . -depth -name cgroup.subtree_control -exec grep -lw io {} +"
    given = vm(files, user="root").stdout.split()
    order = sorted(given, key=lambda path: -path.count("/"))
    vm("cd /sys/fs/cgroup/user.slice/user-1000.slice\n" + "\n".join(f"echo -io >{path}" for path in order), user="root")
    try:
        strict = vm("pyman run --rm --device-write-bps /dev/vda:1mb demo true", rc=126).stderr
        loose = vm("pyman run --rm --limits=best-effort --device-write-bps /dev/vda:1mb --memory 64m demo echo ran")
        doctor = vm("pyman doctor").stdout
    finally:
        vm("cd /sys/fs/cgroup/user.slice/user-1000.slice\n" + "\n".join(f"echo +io >{path}" for path in reversed(order)), user="root")
    assert "the controller io is not available" in strict
    assert "/etc/systemd/system/user@.service.d/delegate.conf" in strict
    assert "[Service]" in strict and "Delegate=" in strict and " io " in strict.partition("Delegate=")[2]
    assert loose.stdout == "ran\n"
    assert "left out" in loose.stderr and "io.max" in loose.stderr
    found = doctor.partition("control groups ")[2]
    assert "limits that need io are errors" in found
    mended = doctor.partition("to mend control groups:")[2]
    assert "/etc/systemd/system/user@.service.d/delegate.conf" in mended and "Delegate=" in mended and " io " in mended


def test_a_user_without_a_session(vm: Machine) -> None:
    """As after su from a service, or sudo in a directory of root's: containers run, and what has no service manager is told with its remedy."""
    said = vm(
        r"""
        useradd -m guest; cd /root
        setpriv --reuid guest --regid guest --init-groups env -i HOME=/home/guest PATH=$PATH sh -c '
            pyman doctor; echo end; pyman pull -q oci:/opt/demo:latest >/dev/null; pyman run --rm --network none demo echo ran
            pyman run --rm --network none --memory 64m demo true' 2>&1 || echo "code $?"
        userdel -r guest 2>/dev/null
        """,
        user="root",
    ).stdout
    doctor, _, runs = said.partition("end\n")
    assert "loginctl enable-linger guest" in doctor.partition("to mend lingering:")[2]
    assert "enable-linger" in doctor.partition("to mend control groups:")[2].partition("to mend")[0]
    assert "XDG_RUNTIME_DIR" in doctor.partition("to mend runtime directory:")[2].partition("to mend")[0]
    assert "ran\n" in runs and "cannot limit container" in runs and "enable-linger guest" in runs and runs.endswith("code 126\n")


def test_the_file_that_delegates_is_missing_and_written(vm: Machine) -> None:
    """A user whose manager has systemd's usual controllers is told what to write; when root does what doctor says, all limits hold."""
    said = vm(
        r"""
        dropin=/etc/systemd/system/user@.service.d/delegate.conf
        trap '[ ! -e /root/delegate.conf ] || mv /root/delegate.conf $dropin' EXIT
        mv $dropin /root/; systemctl daemon-reload
        useradd -m guest; uid=$(id -u guest); loginctl enable-linger guest
        until systemctl is-active -q user@$uid; do sleep 0.1; done
        as_guest() {
            (cd /; setpriv --reuid guest --regid guest --init-groups env -i HOME=/home/guest PATH=$PATH XDG_RUNTIME_DIR=/run/user/$uid sh -c "$1" 2>&1)
        }
        as_guest 'pyman doctor' | tee /tmp/doctor
        as_guest 'pyman pull -q oci:/opt/demo:latest >/dev/null; pyman run --rm --network none --cpuset-cpus 1 demo true' || echo "code $?"
        as_guest 'pyman run --rm --network none --memory 64m demo cat /sys/fs/cgroup/memory.max'
        echo ==
        sed -n 's/^  as root write \([^ ]*\) with the lines \(.Service.\) and \(Delegate=[a-z ]*\), then.*/\1\n\2\n\3/p' /tmp/doctor >/tmp/remedy
        cat /tmp/remedy
        tail -n +2 /tmp/remedy >"$(head -n 1 /tmp/remedy)"; systemctl daemon-reload
        eval "$(grep -o "systemctl restart user@$uid.service" /tmp/doctor)"
        as_guest 'pyman run --rm --network none --cpuset-cpus 1 --device-read-bps /dev/vda:1mb demo cat /sys/fs/cgroup/cpuset.cpus.effective'
        as_guest 'pyman doctor' | grep '^control groups'
        loginctl disable-linger guest; systemctl stop user@$uid; userdel -r guest 2>/dev/null; rm /root/delegate.conf /tmp/doctor /tmp/remedy
        """,
        user="root",
    ).stdout
    before, _, after = said.partition("\n==\n")
    assert "with the controllers cpu memory pids; limits that need cpuset io are errors" in before
    assert "the controller cpuset is not available" in before and before.endswith("code 126\n67108864")
    assert after.splitlines()[:4] == [
        "/etc/systemd/system/user@.service.d/delegate.conf",
        "[Service]",
        "Delegate=cpu cpuset io memory pids",
        "1",
    ]
    assert " ok " in after.splitlines()[4] and "cpu cpuset io memory pids" in after.splitlines()[4]
