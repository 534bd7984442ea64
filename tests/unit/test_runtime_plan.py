"""The plan of a container: which operations a spec becomes, and their order, which carries the security."""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyman.errors import PymanError, RuntimeFailure
from pyman.linux import caps, libc
from pyman.runtime import exec as execution
from pyman.runtime import init, mount_options, plan, plan_program, validate

MOUNTS: dict[str, dict[str, Any]] = {
    "bind": {"destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", "ro", "rslave"]},
    "bind by option": {"destination": "/data", "type": "none", "source": "/srv", "options": ["bind", "rnosuid"]},
    "copied link": {"destination": "/etc/link", "type": "bind", "source": "/srv/link", "link_to": "target"},
    "proc": {"destination": "/proc", "type": "proc", "source": "proc"},
    "dev": {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    "tmpfs": {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]},
    "sysfs": {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
    "cgroup": {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"]},
}


def spec(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = {
        "root": {"path": "/rootfs", "readonly": True},
        "hostname": "h",
        "mounts": list(MOUNTS.values()),
        "process": {"args": ["true"], "cwd": "/w", "terminal": True, "capabilities": {"bounding": ["CAP_KILL"]}},
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "uts"}],
            "devices": [{"path": "/dev/fuse", "type": "c"}],
            "sysctl": {"net.ipv4.ip_forward": "1"},
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
        },
    }
    return value | changes


def names(steps: list[plan.Step]) -> list[str]:
    return [step[1] for step in steps]


def test_the_order_of_a_container() -> None:
    steps = plan.container(spec())
    assert names(steps) == [
        *("session", "keyring", "hostname", "sources", "root"),
        *["mount"] * len(MOUNTS),
        *["bind_device"] * 6,
        *("device", "device_links", "console", "readonly", "sysctls", "mask", "before_pivot", "pivot", "entered"),
        *("ready", "wait", "streams", "close_at_exec", "before_program"),
    ]
    assert [step[2]["target"] for step in steps if step[1] == "mount"] == [item["destination"] for item in MOUNTS.values()]
    assert ("mask", "mask", ["/proc/kcore"], ["/proc/sys"]) in steps and ("pivot", "pivot", True) in steps


def test_a_container_whose_creator_ends_has_its_streams_and_its_program_looked_up_before_it_is_ready() -> None:
    found = names(plan.container(spec(), gated=True))
    assert found.index("pivot") < found.index("look_up") < found.index("streams") < found.index("ready") < found.index("wait")
    assert found.count("streams") == 1


def test_without_a_mount_namespace_nothing_touches_a_root() -> None:
    found = set(names(plan.container(spec(linux={"namespaces": [{"type": "uts"}], "sysctl": {"a": "b"}}))))
    assert not found & {"root", "mount", "device", "bind_device", "sysctls", "mask", "pivot"}
    assert "console" in found


def test_devices_only_on_an_own_dev() -> None:
    found = names(plan.container(spec(mounts=[MOUNTS["proc"]])))
    assert not {"bind_device", "device", "device_links"} & set(found)


def test_each_kind_of_mount() -> None:
    found = {name: plan.mount(item) for name, item in MOUNTS.items()}
    assert {name: item["how"] for name, item in found.items()} == {
        "bind": "bind",
        "bind by option": "bind",
        "copied link": "link",
        "proc": "new",
        "dev": "new",
        "tmpfs": "new",
        "sysfs": "new",
        "cgroup": "cgroup",
    }
    bind = found["bind"]
    assert (bind["recursive"], bind["attributes"], bind["propagation"]) == (True, (1, 0), libc.MS_SLAVE | libc.MS_REC)
    other = found["bind by option"]
    assert (other["recursive"], other["deep"], other["propagation"]) == (False, (2, 0), libc.MS_PRIVATE | libc.MS_REC)
    assert [name for name, item in found.items() if item.get("strict")] == ["proc", "dev", "sysfs", "cgroup"]
    dev = found["dev"]
    assert (dev["flags"], dev["data"], dev["covered_mode"]) == (libc.MS_NOSUID | libc.MS_STRICTATIME, ["mode=755", "size=65536k"], False)
    # What is copied into it comes before it is read-only.
    tmpfs = found["tmpfs"]
    assert tmpfs["copy_up"] and tmpfs["late_readonly"] and tmpfs["covered_mode"] and not tmpfs["flags"] & libc.MS_RDONLY
    assert found["sysfs"]["flags"] == libc.MS_RDONLY
    # What has others inside is read-only when they have their places, and holds its own attributes until then.
    bind = {"destination": "/v/", "type": "bind", "source": "/s", "options": ["rbind", "ro", "nosuid"]}
    nested = spec(mounts=[bind, {"destination": "/v/sub", "type": "bind", "source": "/t", "options": ["ro"]}, MOUNTS["sysfs"]])
    first, second, third = plan.all_mounts(nested)
    assert first["readonly_last"] and first["attributes"] == (2, 0)
    assert "readonly_last" not in second and second["attributes"] == (1, 0) and "readonly_last" not in third
    deep, _ = plan.all_mounts(spec(mounts=[{**bind, "options": ["rbind", "rro"]}, {**bind, "destination": "/v/sub"}]))
    assert deep["readonly_last"] and deep["deep"] == (1, 0) and deep["attributes"] == (0, 1)
    device = {**MOUNTS["dev"], "options": ["ro"]}
    (only,) = plan.all_mounts(spec(mounts=[device]))
    assert only["readonly_last"] and not only["flags"] & libc.MS_RDONLY
    nofollow = plan.mount({"destination": "/d", "source": "/s", "options": ["src-nofollow", "dest-nofollow"]})
    assert nofollow["how"] == "bind" and nofollow["source_nofollow"] and nofollow["target_nofollow"]


def test_mounts_with_masked_paths_inside_are_kept() -> None:
    """Their masks are placed from the mount's descriptor, so the plan must find each of them, however the paths are written."""
    linux = {"namespaces": [{"type": "mount"}], "maskedPaths": ["//proc/./kcore", "/x/../srv/s"], "readonlyPaths": ["/sys/a", "/data"]}
    mounts = [{"destination": at, "type": "bind", "source": "/s"} for at in ("/data/", "/./srv", "/sysfoo", "/da")]
    found = plan.all_mounts(spec(mounts=[MOUNTS["proc"], MOUNTS["sysfs"], MOUNTS["cgroup"], *mounts], linux=linux))
    assert [item["target"] for item in found if item["keep"]] == ["/proc", "/sys", "/data/", "/./srv"]
    assert [plan.place(path) for path in ("/", "a//b/", "/../..", "/a/../../b")] == ["", "/a/b", "", "/b"]
    assert plan.inside("/a", "/a") and plan.inside("/a/b", "/a") and plan.inside("/a", "") and not plan.inside("/ab", "/a")


REFUSED: list[tuple[dict[str, Any], str]] = [
    *(({"type": kind, "options": ["remount", "ro"]}, "remount") for kind in ("bind", "tmpfs", "proc")),
    ({"type": "bind", "options": ["rbind", "size=1k"]}, "no option size=1k"),
    ({"type": "none", "options": ["bind", "nosiud"]}, "no option nosiud"),
    ({"type": "bind", "options": ["tmpcopyup"]}, "tmpcopyup"),
    ({"type": "tmpfs", "options": ["idmap"]}, "bind mounts only"),
    ({"type": "tmpfs", "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}, "bind mounts only"),
]


@pytest.mark.parametrize(("item", "why"), REFUSED)
def test_what_would_have_no_effect_is_refused(item: dict[str, Any], why: str) -> None:
    with pytest.raises(RuntimeFailure, match=why):
        plan.mount({"destination": "/d", "source": "/s", **item})


def test_of_two_options_the_later_counts() -> None:
    def flags(*options: str) -> int:
        return int(plan.mount({"destination": "/d", "type": "tmpfs", "options": list(options)})["flags"])

    assert flags("ro", "noexec", "rw", "exec") == 0
    assert flags("rw", "ro") == libc.MS_RDONLY
    assert flags("sync", "nosuid", "async", "lazytime", "nolazytime") == libc.MS_NOSUID
    words = plan.mount({"destination": "/d", "type": "bind", "source": "/s", "options": ["ro", "rw", "exec", "noexec"]})
    assert words["attributes"] == (8, 1)


PROCESSES = st.fixed_dictionaries(
    {"args": st.just(["true"])},
    optional={
        "noNewPrivileges": st.booleans(),
        "keepGroups": st.booleans(),
        "cwd": st.sampled_from(["", "/", "/w"]),
        "user": st.fixed_dictionaries({}, optional={"uid": st.integers(0, 9), "gid": st.integers(0, 9), "umask": st.integers(0, 0o777)}),
        "rlimits": st.lists(
            st.fixed_dictionaries({"type": st.just("RLIMIT_CORE"), "soft": st.integers(0, 9), "hard": st.just(9)}), max_size=3
        ),
        "capabilities": st.dictionaries(
            st.sampled_from(["bounding", "effective", "permitted", "inheritable", "ambient"]),
            st.lists(st.sampled_from(sorted(caps.NUMBERS))),
        ),
    },
)


@given(process=PROCESSES, filtered=st.booleans(), tied=st.booleans())
def test_the_last_steps_of_any_process(process: dict[str, Any], filtered: bool, tied: bool) -> None:
    found = names(plan_program.program(process, filtered, tied))
    assert found[0] == "try_directory" and found[-2:] == ["directory", "execute"]
    assert found.count("filter") == int(filtered) and found.count("no_new_privs") == int(bool(process.get("noNewPrivileges")))
    assert found.index("bounding") < found.index("ids") < found.index("capabilities")
    assert found.index("keep_capabilities") < found.index("ids")
    assert [step[2] for step in plan_program.program(process, filtered, tied) if step[1] == "keep_capabilities"] == [True, False]
    if "groups" in found:
        assert found.index("groups") < found.index("ids")
    if "ambient" in found:
        assert found.index("capabilities") < found.index("ambient")
    if "limit" in found:
        assert found.index("try_directory") < found.index("limit") < found.index("ids")
    if filtered and process.get("noNewPrivileges"):
        assert found.index("capabilities") < found.index("no_new_privs") < found.index("filter")
    elif filtered:
        assert found.index("filter") < found.index("bounding")
    assert ("die_with_parent" in found) == tied
    if tied:
        assert found.index("die_with_parent") > found.index("ids")


OPTIONS = st.lists(st.sampled_from([name for name in mount_options.option_names() if not name.endswith("idmap")]), max_size=6)


def sensible(item: dict[str, Any]) -> bool:
    """Not a bind mount that copies up, which is refused."""
    options = item.get("options") or []
    return "tmpcopyup" not in options or not (item.get("type", "bind") == "bind" or {"bind", "rbind"} & {*options})


ENTRIES = st.fixed_dictionaries(
    {"destination": st.sampled_from(["/dev", "/a", "/proc", "/a/b"]), "source": st.just("/s")},
    optional={"type": st.sampled_from(["bind", "tmpfs", "proc", "cgroup", "none"]), "options": OPTIONS},
).filter(sensible)


@given(mounts=st.lists(ENTRIES, max_size=6), readonly=st.booleans(), terminal=st.booleans(), gated=st.booleans())
def test_the_order_of_any_root(mounts: list[dict[str, Any]], readonly: bool, terminal: bool, gated: bool) -> None:
    value = spec(mounts=mounts, root={"path": "/r", "readonly": readonly}, process={"args": ["x"], "terminal": terminal})
    steps = plan.container(value, gated)
    found = names(steps)
    assert [step[2]["target"] for step in steps if step[1] == "mount"] == [item["destination"] for item in mounts]
    last = max(number for number, name in enumerate(found) if name in ("root", "mount", "bind_device", "device", "device_links", "console"))
    assert last < found.index("sysctls") < found.index("mask") < found.index("before_pivot") < found.index("pivot") < found.index("ready")
    for step in steps:
        if step[1] == "mount" and step[2]["how"] != "bind":
            assert not (step[2]["late_readonly"] and step[2]["flags"] & libc.MS_RDONLY)
    # Nothing is planned that nobody does.
    assert all(hasattr(init.Init, f"do_{name}") for name in found)
    last_steps = names(plan_program.program(value["process"], True, True))
    assert all(hasattr(init.Init, f"do_{name}") and hasattr(execution.ExecInit, f"do_{name}") for name in last_steps)


VALUES: Any = st.recursive(
    st.sampled_from(
        [None, True, -1, 0, 1.5, 1 << 64, "", "/", "../..", "a\0b", "x" * 300, "rbind", "ro", "remount", "tmpfs", "mount", "CAP_KILL"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["path", "type", "destination", "options", "uid"]), inner),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [place for key, inner in items for place in ((*path, key), *places(inner, (*path, key)))]


@settings(max_examples=int(os.environ.get("PYMAN_FUZZ", "150")))
@given(changes=st.lists(st.tuples(st.sampled_from(places(spec())), VALUES), max_size=3), gated=st.booleans())
def test_what_the_check_lets_through_can_be_planned(changes: list[tuple[tuple[Any, ...], Any]], gated: bool) -> None:
    changed: Any = copy.deepcopy(spec(ociVersion="1.2.0"))
    for path, value in changes:
        place = changed
        try:
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
    try:
        validate.check(changed)
        validate.unknown_capabilities(changed["process"])
        steps = plan.container(changed, gated) + plan_program.program(changed["process"], True)
    except PymanError:
        return
    found = names(steps)
    assert found.index("pivot") < found.index("ready") < found.index("ids") < found.index("execute")
