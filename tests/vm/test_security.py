"""Security modules that only a kernel of its own has: AppArmor."""

from __future__ import annotations

from tests.vm.machine import Machine

PROFILE = """abi <abi/4.0>,
profile pyman-test flags=(attach_disconnected, mediate_deleted) {
  file, capability, network, mount, pivot_root, ptrace, signal, unix, userns,
  deny /secret r,
}
"""


def test_an_apparmor_profile_confines_what_the_runtime_program_starts(vm: Machine) -> None:
    """The first process and those of exec run under it, a profile that is not loaded is named; a user's `run` takes none, as Podman's."""
    vm(f"cat >/tmp/pyman-test <<'EOF'\n{PROFILE}EOF\napparmor_parser -r /tmp/pyman-test; rm /tmp/pyman-test", user="root")
    said = vm(
        r"""
        exec 2>&1
        cat /sys/module/apparmor/parameters/enabled
        for tool in pyman podman; do $tool info -f '{{.Host.Security.AppArmorEnabled}}'; done
        pyman image exists demo || pyman pull -q oci:/opt/demo:latest >/dev/null
        pyman run --rm --network none --security-opt apparmor=unconfined demo cat /proc/self/attr/current
        pyman run --rm --network none --security-opt apparmor=pyman-test demo true || echo "code $?"
        podman run --rm --network none --security-opt apparmor=pyman-test oci:/opt/demo:latest true >/dev/null 2>&1 || echo "podman $?"
        mkdir -p ~/confined/rootfs; cd ~/confined
        pyman create --name source --network none demo >/dev/null; pyman export source | tar -x -C rootfs; pyman rm source >/dev/null
        echo text >rootfs/secret
        pyman-runtime spec --rootless
        bundle() {
            python3 - "$1" <<'EOF'
import json, sys
spec = json.load(open("config.json"))
look = "cat /proc/self/attr/current; cat /secret || echo denied; exec sleep 1000"
spec["process"].update(terminal=False, args=["sh", "-c", look], apparmorProfile=sys.argv[1])
json.dump(spec, open("config.json", "w"))
EOF
        }
        bundle pyman-test
        pyman-runtime run -d confined </dev/null >out 2>&1
        until grep -q denied out; do sleep 0.1; done; grep -v 'Permission denied' out
        pyman-runtime exec confined sh -c 'cat /proc/self/attr/current; cat /secret 2>/dev/null || echo denied'
        pyman-runtime exec --apparmor unconfined confined cat /proc/self/attr/current /secret || echo "code $?"
        pyman-runtime exec --apparmor never-loaded confined true || echo "code $?"
        pyman-runtime delete -f confined
        bundle never-loaded
        pyman-runtime run confined </dev/null || echo "code $?"
        cd; rm -r ~/confined
        """
    ).stdout.splitlines()
    vm("echo -n pyman-test >/sys/kernel/security/apparmor/.remove", user="root")
    assert said[:3] == ["Y", "false", "false"]
    del said[1:3]
    assert said[1] == "unconfined"
    assert said[2].startswith("Error: cannot use --security-opt apparmor=pyman-test: ")
    assert said[4:6] == ["code 125", "podman 125"]
    assert said[6:10] == ["pyman-test (enforce)", "denied"] * 2
    assert said[10:12] == ["unconfined", "text"]
    refused = "pyman-runtime: cannot set process.apparmorProfile never-loaded: no AppArmor profile of this name is loaded"
    assert said[12:] == [refused, "code 255", refused, "code 1"]
