"""The D-Bus messages pyman writes and reads, against a manager played by the test at the other end of a socket."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from pyman.errors import RuntimeFailure
from pyman.linux import sdbus
from pyman.runtime import scopes


def answering(path: Path, *messages: bytes, stays: bool = False) -> threading.Thread:
    """Take one caller: its greeting is answered, then its call with `messages`; then hang up, or stay until the caller does."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with connection, server:
            data = b""
            while not data.endswith(b"BEGIN\r\n"):
                data += connection.recv(100)
            connection.sendall(b"DATA\r\nOK 0123456789abcdef\r\n")
            connection.recv(1 << 16)
            for message in messages:
                connection.sendall(message)
            while stays and connection.recv(1 << 16):
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def message(kind: int, fields: list[tuple[int, tuple[str, object]]], signature: str = "", *values: object) -> bytes:
    body = bytearray()
    for part, value in zip(sdbus._types(signature), values):
        sdbus._write(body, part, value)
    out = bytearray(bytes((ord("l"), kind, 0, 1)))
    sdbus._write(out, "u", len(body))
    sdbus._write(out, "u", 7)
    sdbus._write(out, "a(yv)", [*fields, (8, ("g", signature))])
    sdbus._align(out, 8)
    return bytes(out + body)


def test_values_are_read_as_they_were_written() -> None:
    kinds = "ssa(sv)a(sa(sv))bti"
    values = ["name", "fail", [("PIDs", ("au", [1, 2])), ("Delegate", ("b", 1))], [("other", [("x", ("s", "y"))])], 1, 1 << 40, -5]
    out = bytearray()
    for kind, value in zip(sdbus._types(kinds), values):
        sdbus._write(out, kind, value)
    at, found = 0, []
    for kind in sdbus._types(kinds):
        value, at = sdbus._read(bytes(out), at, kind)
        found.append(value)
    assert at == len(out)
    assert found == ["name", "fail", [("PIDs", [1, 2]), ("Delegate", 1)], [("other", [("x", "y")])], 1, 1 << 40, -5]


def test_a_job_that_is_over_before_its_answer_came(tmp_path: Path) -> None:
    job = "/org/freedesktop/systemd1/job/12"
    removed = message(4, [(3, ("s", "JobRemoved"))], "uoss", 12, job, "x.scope", "done")
    other = message(4, [(3, ("s", "JobRemoved"))], "uoss", 11, job[:-1] + "1", "y.scope", "failed")
    thread = answering(tmp_path / "s", other, removed, message(2, [(5, ("u", 1))], "o", job))
    manager = sdbus.Manager(str(tmp_path / "s"))
    assert manager.answer(manager.send("StartTransientUnit", "s", "x.scope")) == [job]
    assert manager.wait_for_job(job) == "done"
    manager.close()
    thread.join()


def test_refusals_have_a_name_and_a_text(tmp_path: Path) -> None:
    refused = message(3, [(4, ("s", "org.freedesktop.systemd1.UnitExists")), (5, ("u", 1))], "s", "Unit x.scope exists")
    thread = answering(tmp_path / "s", refused)
    manager = sdbus.Manager(str(tmp_path / "s"))
    with pytest.raises(sdbus.CallError, match="Unit x") as caught:
        manager.answer(manager.send("StartTransientUnit", "s", "x.scope"))
    assert caught.value.name.endswith(".UnitExists")
    manager.close()
    thread.join()


@pytest.mark.parametrize("bad", [b"", b"l\x02\x00\x01\xff\xff\xff\x7f\x01\x00\x00\x00\x00\x00\x00\x00", b"B" * 32])
def test_nonsense_and_silence_are_errors(tmp_path: Path, bad: bytes) -> None:
    thread = answering(tmp_path / "s", bad)
    manager = sdbus.Manager(str(tmp_path / "s"))
    with pytest.raises(RuntimeFailure, match="service manager"):
        manager.answer(manager.send("Nothing", ""))
    manager.close()
    thread.join()


def test_a_session_bus_without_a_manager(tmp_path: Path) -> None:
    """It is as if nobody listened; where the manager is there, its signals are asked for."""
    hello, match = message(2, [(5, ("u", 1))], "s", ":1.7"), message(2, [(5, ("u", 2))])
    acquired = message(4, [(3, ("s", "NameAcquired"))], "s", ":1.7")
    unknown = message(3, [(4, ("s", "org.freedesktop.DBus.Error.ServiceUnknown")), (5, ("u", 3))], "s", "no such name")
    thread = answering(tmp_path / "bus", hello, acquired, match, unknown, stays=True)
    with pytest.raises(ConnectionRefusedError):
        sdbus.Manager(str(tmp_path / "bus"))
    thread.join()
    (tmp_path / "bus").unlink()
    thread = answering(
        tmp_path / "bus", hello, acquired, match, message(2, [(5, ("u", 3))]), message(2, [(5, ("u", 4))], "o", "/job"), stays=True
    )
    manager = sdbus.Manager(str(tmp_path / "bus"))
    assert manager.answer(manager.send("StartTransientUnit", "s", "x.scope")) == ["/job"]
    manager.close()
    thread.join()


def test_the_unit_of_a_group() -> None:
    top = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service"
    assert scopes.unit_of(f"{top}/user.slice/pyman-1.scope/container/init.scope") == ("pyman-1.scope", "/container/init.scope")
    assert scopes.unit_of(f"{top}/app.slice/app-web.slice/web.service/pyman-payload-1") == ("web.service", "/pyman-payload-1")
    assert scopes.unit_of(f"{top}/app.slice/web.service") == ("web.service", "/")
    assert scopes.unit_of("/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope/x") == ("", "")
