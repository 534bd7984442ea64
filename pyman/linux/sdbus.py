"""Calls of the user's service manager over its private D-Bus socket: the few types they need, no library. Process C, exec, pyman-runtime.

The private socket ($XDG_RUNTIME_DIR/systemd/private) is the manager itself: no bus program has to be started or asked, and the answers
and signals come on the same connection. Where it is missing the session bus ($XDG_RUNTIME_DIR/bus) does, with three more calls. Whoever is at the other end is the same user; the messages' sizes are bounded all the same.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

from pyman.errors import RuntimeFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Whom a call is for: name on the bus, object, interface.
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_METHOD_CALL, _RETURN, _ERROR, _SIGNAL = 1, 2, 3, 4
_MEMBER, _ERROR_NAME, _REPLY_SERIAL, _SIGNATURE = 3, 4, 5, 8  # of the header's fields
_LONGEST = 1 << 20  # bytes of a message we take
_FIXED = {"y": 1, "b": 4, "u": 4, "i": 4, "t": 8}
_WAIT = 90.0  # seconds for an answer: a machine may be very busy


class CallError(RuntimeFailure):
    """The manager's refusal; `name` is D-Bus's name of the error."""

    def __init__(self, member: str, name: str, text: str) -> None:
        super().__init__(f"cannot call {member} of the user's service manager", text or name, stage="cgroup")
        self.name = name


class Manager:
    """A connection to the user manager. OSError from the constructor where nobody listens; RuntimeFailure when it says nothing."""

    def __init__(self, address: str) -> None:
        self._socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        self._socket.settimeout(_WAIT)
        self._data = b""
        self._serial = 0
        self._kept: list[tuple[int, dict[int, Any], list[Any]]] = []  # signals that came before the answer
        self._socket.connect(address)
        # EXTERNAL without a name: the kernel's credentials of the socket say who we are, from within a user namespace too.
        self._socket.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
        line = b""
        while not line.startswith(b"OK "):
            while b"\r\n" not in self._data:
                self._receive()
            line, _, self._data = self._data.partition(b"\r\n")
            if line.startswith((b"REJECTED", b"ERROR")):
                raise RuntimeFailure("cannot talk to the user's service manager", "it does not take this user", stage="cgroup")
        if address.endswith("/bus"):
            self._enter_bus()

    def _enter_bus(self) -> None:
        """Get a name, and the manager's signals. ConnectionRefusedError where no manager is on the bus."""
        self.answer(self._call(_BUS, "Hello", ""))
        self.answer(self._call(_BUS, "AddMatch", "s", f"type='signal',sender='{_MANAGER[0]}',member='JobRemoved'"))
        try:
            self.answer(self._call(_MANAGER, "Subscribe", ""))
        except CallError as err:
            self.close()
            raise ConnectionRefusedError(111, "no service manager is on the session bus") from err

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, member: str, signature: str, *values: Any) -> int:
        """Call a method of the manager; `answer` waits for the serial number returned."""
        return self._call(_MANAGER, member, signature, *values)

    def _call(self, whom: tuple[str, str, str], member: str, signature: str, *values: Any) -> int:
        self._serial += 1
        body = bytearray()
        for kind, value in zip(_types(signature), values):
            _write(body, kind, value)
        fields = [
            (1, ("o", whom[1])),
            (2, ("s", whom[2])),
            (_MEMBER, ("s", member)),
            (6, ("s", whom[0])),
            *([(_SIGNATURE, ("g", signature))] if signature else []),
        ]
        message = bytearray(b"l\x01\x02\x01")  # 2: nothing is to be started for it
        for number in (len(body), self._serial):
            _write(message, "u", number)
        _write(message, "a(yv)", fields)
        _align(message, 8)
        self._member = member
        self._socket.sendall(bytes(message + body))
        return self._serial

    def answer(self, serial: int) -> list[Any]:
        """The values a call returned. CallError, RuntimeFailure."""
        while True:
            kind, fields, values = self._message()
            if kind == _SIGNAL:
                self._kept.append((kind, fields, values))
            elif fields.get(_REPLY_SERIAL) == serial and kind == _ERROR:
                raise CallError(self._member, str(fields.get(_ERROR_NAME)), str(values[0]) if values else "")
            elif fields.get(_REPLY_SERIAL) == serial:
                return values

    def wait_for_job(self, job: str) -> str:
        """Wait until a job (its object path) is over; its result, such as `done` or `failed`."""
        while True:
            _, fields, values = self._kept.pop(0) if self._kept else self._message()
            if fields.get(_MEMBER) == "JobRemoved" and len(values) == 4 and values[1] == job:
                return str(values[3])

    def _receive(self) -> None:
        try:
            more = self._socket.recv(1 << 16)
        except OSError as err:
            raise RuntimeFailure("cannot talk to the user's service manager", err.strerror or str(err), stage="cgroup") from err
        if not more:
            raise RuntimeFailure("cannot talk to the user's service manager", "it has hung up", stage="cgroup")
        self._data += more

    def _message(self) -> tuple[int, dict[int, Any], list[Any]]:
        """The next message: kind, header fields, values."""
        while len(self._data) < 16:
            self._receive()
        body, fields = (int.from_bytes(self._data[at : at + 4], "little") for at in (4, 12))
        start = (16 + fields + 7) & ~7
        if self._data[:1] != b"l" or start + body > _LONGEST:
            raise RuntimeFailure("cannot talk to the user's service manager", "its message is not understood", stage="cgroup")
        while len(self._data) < start + body:
            self._receive()
        message, self._data = self._data[: start + body], self._data[start + body :]
        try:
            header = dict(_read(message, 12, "a(yv)")[0])
            values = []
            data, at = message[start:], 0
            read = message[1] != _SIGNAL or header.get(_MEMBER) == "JobRemoved"  # others have types that nobody here needs
            for kind in _types(str(header.get(_SIGNATURE, ""))) if read else ():
                value, at = _read(data, at, kind)
                values.append(value)
        except (IndexError, TypeError, ValueError) as err:
            raise RuntimeFailure("cannot talk to the user's service manager", "its message is damaged", stage="cgroup") from err
        return message[1], header, values


def _types(signature: str) -> list[str]:
    """The complete types of a signature."""
    found = []
    while signature:
        end = 0
        while signature[end] == "a":
            end += 1
        depth = 0
        while True:
            depth += (signature[end] == "(") - (signature[end] == ")")
            end += 1
            if depth == 0:
                break
        found.append(signature[:end])
        signature = signature[end:]
    return found


def _alignment(kind: str) -> int:
    return 8 if kind[0] in "(t" else 1 if kind[0] in "ygv" else 4


def _align(out: bytearray, size: int) -> None:
    out += bytes(-len(out) % size)


def _write(out: bytearray, kind: str, value: Any) -> None:
    """Append a value; alignment counts from the begin of `out`."""
    _align(out, _alignment(kind))
    if kind in _FIXED:
        out += int(value).to_bytes(_FIXED[kind], "little", signed=kind == "i")
    elif kind in "sog":
        data = value.encode()
        out += len(data).to_bytes(1 if kind == "g" else 4, "little") + data + b"\0"
    elif kind == "v":
        _write(out, "g", value[0])
        _write(out, value[0], value[1])
    elif kind[0] == "(":
        for part, item in zip(_types(kind[1:-1]), value):
            _write(out, part, item)
    else:
        place = len(out)
        out += b"\0\0\0\0"
        _align(out, _alignment(kind[1:]))
        start = len(out)
        for item in value:
            _write(out, kind[1:], item)
        out[place : place + 4] = (len(out) - start).to_bytes(4, "little")


def _read(data: bytes, at: int, kind: str) -> tuple[Any, int]:
    """(value, where the next begins); a variant is its value alone."""
    at += -at % _alignment(kind)
    if kind in _FIXED:
        end = at + _FIXED[kind]
        return int.from_bytes(data[at:end], "little", signed=kind == "i"), end
    if kind in "sog":
        width = 1 if kind == "g" else 4
        end = at + width + int.from_bytes(data[at : at + width], "little")
        return data[at + width : end].decode(errors="replace"), end + 1
    if kind == "v":
        inner, at = _read(data, at, "g")
        return _read(data, at, inner)
    if kind[0] == "(":
        parts = []
        for part in _types(kind[1:-1]):
            value, at = _read(data, at, part)
            parts.append(value)
        return tuple(parts), at
    end = at + 4 + -(at + 4) % _alignment(kind[1:])
    end, at = end + int.from_bytes(data[at : at + 4], "little"), end
    items = []
    while at < end:
        value, at = _read(data, at, kind[1:])
        items.append(value)
    return items, at
