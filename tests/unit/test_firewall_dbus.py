"""D-Bus messages as bytes, bus addresses, and the client's side of a conversation with a bus."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.firewall import bus as bus_module
from pycni.firewall import dbus_message as wire
from pycni.firewall.bus import Bus, BusError

METHOD = wire.Method("org.a.B", "/org/a/B", "org.a.B.c", "addSource")


def padded(data: bytes, width: int) -> bytes:
    return data + bytes(-len(data) % width)


def answer(
    serial: int, kind: int = wire.RETURN, signature: str = "", body: bytes = b"", error: str = "", order: str = "<"
) -> bytes:
    """A reply as dbus-daemon writes it, with a sender and fields in another order than ours."""
    fields = [(7, "s", ":1.7")] + ([(4, "s", error)] if error else []) + ([(8, "g", signature)] if signature else [])
    array = b"\5\1u\0" + struct.pack(order + "I", serial)
    for code, letter, text in fields:
        array = padded(array, 8) + bytes((code, 1)) + letter.encode() + b"\0"
        raw = text.encode()
        array += bytes((len(raw),)) + raw + b"\0" if letter == "g" else struct.pack(order + "I", len(raw)) + raw + b"\0"
    head = (
        (b"l" if order == "<" else b"B") + bytes((kind, 1, 1)) + struct.pack(order + "III", len(body), 99, len(array))
    )
    return padded(head + array, 8) + body


def string(text: str, order: str = "<") -> bytes:
    raw = text.encode()
    return struct.pack(order + "I", len(raw)) + raw + b"\0"


def test_a_call_in_bytes() -> None:
    """The specification's layout, by hand."""
    message = wire.call(7, wire.Method("a.b", "/a", "c.d", "M"), "ab", "c")
    assert message == bytes.fromhex(
        "6c010001 0e000000 07000000 48000000"  # little endian, call, no flags, version 1; body, serial, fields
        "01016f00 02000000 2f610000 00000000"  # path /a
        "02017300 03000000 632e6400 00000000"  # interface c.d
        "03017300 01000000 4d000000 00000000"  # member M
        "06017300 03000000 612e6200 00000000"  # destination a.b
        "08016700 02737300"  # signature ss
        "02000000 61620000 01000000 6300"
    )
    assert wire.size(message[: wire.HEAD]) == len(message)


@given(st.integers(1, 2**32 - 1), st.lists(st.text(max_size=20), max_size=3))
def test_a_call_is_as_long_as_it_says(serial: int, arguments: list[str]) -> None:
    message = wire.call(serial, METHOD, *arguments)
    assert wire.size(message[: wire.HEAD]) == len(message)
    reply = wire.parse(message)
    assert (reply.kind, reply.serial, reply.error) == (wire.CALL, 0, "")
    assert reply.value == (arguments[0] if arguments else None)


@pytest.mark.parametrize("order", ["<", ">"])
@given(text=st.text(max_size=30), serial=st.integers(1, 2**32 - 1), truth=st.booleans())
def test_answers_of_either_byte_order(order: str, text: str, serial: int, truth: bool) -> None:
    said = answer(serial, signature="s", body=string(text, order), order=order)
    assert wire.size(said[: wire.HEAD]) == len(said)
    assert wire.parse(said) == wire.Reply(wire.RETURN, serial, "", text)
    flag = answer(serial, signature="b", body=struct.pack(order + "I", truth), order=order)
    assert wire.parse(flag).value is truth
    failed = answer(serial, wire.ERROR, "s", string("why", order), "org.a.Error", order)
    assert wire.parse(failed) == wire.Reply(wire.ERROR, serial, "org.a.Error", "why")
    other = answer(serial, signature="as", body=bytes(4), order=order)
    assert wire.parse(other).value is None


@given(st.binary(max_size=80), st.integers(0, 90))
def test_malformed_messages_are_refused_as_such(noise: bytes, cut: int) -> None:
    whole = answer(3, wire.ERROR, "s", string("why"), "org.a.Error")
    for data in (noise, whole[:cut] + noise, whole[:cut]):
        try:
            wire.size(data[: wire.HEAD].ljust(wire.HEAD, b"\0"))
            wire.parse(data)
        except ValueError:
            continue


@pytest.mark.parametrize("head", [bytes(16), b"l" + bytes((2, 1, 2)) + bytes(12), b"l\2\1\1" + b"\xff" * 12])
def test_what_no_message_begins_with(head: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not a D-Bus message$"):
        wire.size(head)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:path=/run/dbus/system_bus_socket", ["/run/dbus/system_bus_socket"]),
        ("unix:guid=1,path=/a", ["/a"]),
        ("unix:abstract=x", ["\0x"]),
        ("tcp:host=localhost;unix:path=/a;unix:abstract=b", ["/a", "\0b"]),
        ("unix:path=/a%20b%2c", ["/a b,"]),
    ],
)
def test_bus_addresses(text: str, expected: list[str]) -> None:
    assert wire.socket_addresses(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "dbus: invalid bus address (no transport)"),
        ("tcp:host=a", "dbus: invalid bus address (invalid or unsupported transport)"),
        ("unix:guid=1", "dbus: invalid address (neither path nor abstract set)"),
        ("unix:path=/a,abstract=b", "dbus: invalid address (both path and abstract set)"),
        ("unix:path=%zz", "dbus: invalid address (neither path nor abstract set)"),
    ],
)
def test_bus_addresses_that_are_none(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        wire.socket_addresses(text)
    assert str(caught.value) == problem


# --- a conversation --------------------------------------------------------------------------------------------------


class Daemon:
    """A bus for one connection: greets, and then lets `talk` answer each call by its serial."""

    def __init__(self, path: Path, greeting: bytes, talk: Callable[[socket.socket, int], None]) -> None:
        self.address = f"unix:path={path}"
        self.heard = b""
        self._greeting, self._talk = greeting, talk
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while b"\r\n" not in self.heard:
                self.heard += connection.recv(4096)
            connection.sendall(self._greeting)
            data, serial = b"", 0
            while part := connection.recv(4096):
                data += part
                if data.startswith(b"BEGIN\r\n"):
                    data = data[7:]
                while len(data) >= wire.HEAD and len(data) >= (size := wire.size(data[: wire.HEAD])):
                    data, serial = data[size:], serial + 1
                    self._talk(connection, serial)

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    made: list[Daemon] = []

    def make(talk: Callable[[socket.socket, int], None], greeting: bytes = b"OK 1234\r\n") -> Daemon:
        made.append(Daemon(tmp_path / "bus", greeting, talk))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_call_waits_for_its_own_answer(daemon: Callable[..., Daemon]) -> None:
    """Signals and late answers come in between, and a message comes in pieces."""

    def talk(connection: socket.socket, serial: int) -> None:
        said = answer(serial, signature="s", body=string("trusted"))
        connection.sendall(answer(0, 4) + answer(serial + 5, signature="s", body=string("wrong")) + said[:21])
        connection.sendall(said[21:])

    running = daemon(talk)
    with Bus(running.address) as bus:
        assert bus.call(METHOD, "zone", "10.0.0.1/32") == "trusted"
        assert bus.has_owner("org.a.B")
    uid = str(os.geteuid()).encode().hex().encode()
    assert running.heard == b"\0AUTH EXTERNAL " + uid + b"\r\n"


def test_an_error_carries_its_text_and_name(daemon: Callable[..., Daemon]) -> None:
    def talk(connection: socket.socket, serial: int) -> None:
        body = {2: string("ZONE_CONFLICT: x"), 3: b""}.get(serial, b"")
        kind = wire.RETURN if serial == 1 else wire.ERROR
        error = "" if serial == 1 else "org.a.Exception"
        connection.sendall(answer(serial, kind, "s" if body else "", body, error))

    with Bus(daemon(talk).address) as bus:
        with pytest.raises(BusError) as caught:
            bus.call(METHOD)
        assert (caught.value.msg, caught.value.name) == ("ZONE_CONFLICT: x", "org.a.Exception")
        with pytest.raises(BusError) as caught:
            bus.call(METHOD)
        assert caught.value.msg == "org.a.Exception"
        assert not bus.has_owner("org.a.B")


@pytest.mark.parametrize(
    ("greeting", "problem"),
    [(b"REJECTED EXTERNAL\r\n", "authentication failed"), (b"x" * 9000, "authentication protocol error")],
)
def test_a_bus_that_does_not_let_us_in(daemon: Callable[..., Daemon], greeting: bytes, problem: str) -> None:
    def talk(_connection: socket.socket, _: int) -> None:
        raise AssertionError("nothing is said before BEGIN")

    running = daemon(talk, greeting)
    with pytest.raises(BusError, match=problem):
        Bus(running.address)


def test_a_bus_that_hangs_up_talks_nonsense_or_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "_SECONDS", 0.2)

    def hang_up(connection: socket.socket, _: int) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    def nonsense(connection: socket.socket, _: int) -> None:
        connection.sendall(b"?" * 64)

    def silence(_connection: socket.socket, _: int) -> None:
        return

    problems = []
    for number, talk in enumerate((hang_up, nonsense, silence)):
        running = Daemon(tmp_path / str(number), b"OK\r\n", talk)
        with pytest.raises(BusError) as caught:
            Bus(running.address)
        problems.append((caught.value.msg, caught.value.name))
        running.close()
    assert problems == [
        ("the message bus closed the connection", ""),
        ("reading from the message bus: not a D-Bus message", ""),
        ("reading from the message bus: timed out", ""),
    ]


def test_the_first_socket_that_answers_is_taken(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    running = daemon(lambda connection, serial: connection.sendall(answer(serial)))
    with Bus(f"unix:path={tmp_path}/none;{running.address}") as bus:
        assert bus.call(METHOD) is None
    with pytest.raises(BusError, match=r"none: connect: no such file or directory$"):
        Bus(f"unix:path={tmp_path}/none")
    with pytest.raises(BusError, match=r"^dial unix @none: connect: connection refused$"):
        Bus("unix:abstract=none")
