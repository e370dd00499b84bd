"""The HTTP server on a real socket: framing, keep-alive, hijack, half close, clients that are slow, silent or dead."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server import LIMIT, Running, serving

from netd.api import server
from netd.api.exchange import MAX_BODY, RAW_STREAM, Call, Exchange
from netd.api.reply import NO_CONTENT, Reply, json_reply
from netd.api.router import Route
from netd.failure import Conflict


class House:
    """Handlers that show what they were given."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()
        self.left = threading.Event()
        self.pieces: list[int] = []
        self.routes = (
            Route("GET", "/_ping", self.ping),
            Route("POST", "/echo/{name}", self.echo),
            Route("GET", "/slow", self.slow),
            Route("DELETE", "/nothing", lambda _call: NO_CONTENT),
            Route("GET", "/taken", self.taken),
            Route("GET", "/broken", self.broken),
            Route("GET", "/broken/late", self.broken_late),
            Route("GET", "/early", self.early),
            Route("GET", "/endless", self.endless),
            Route("POST", "/upload", self.upload),
            Route("POST", "/refused", self.refused),
            Route("POST", "/raw", self.raw),
            Route("POST", "/hold", self.hold),
        )

    def ping(self, _call: Call) -> Reply:
        return Reply(200, b"OK", "text/plain")

    def echo(self, call: Call) -> Reply:
        given = call.decode(dict[str, int])
        return json_reply({"name": call["name"], "q": call.query.text("q"), "given": given, "api": call.version})

    def slow(self, _call: Call) -> Reply:
        self.entered.set()
        assert self.leave.wait(LIMIT)
        return Reply(200, b"slow", "text/plain")

    def taken(self, _call: Call) -> Reply:
        raise Conflict("container web is in the way")

    def broken(self, _call: Call) -> Reply:
        raise ZeroDivisionError("one by none")

    async def broken_late(self, exchange: Exchange) -> None:
        await exchange.begin("text/plain")
        await exchange.send(b"some")
        raise Conflict("too late for a status")

    async def early(self, exchange: Exchange) -> None:
        await exchange.begin("application/json")
        self.entered.set()
        await asyncio.to_thread(self.leave.wait, LIMIT)
        await exchange.send(b"late")
        await exchange.end()

    async def endless(self, exchange: Exchange) -> None:
        try:
            await exchange.begin("text/plain")
            while True:
                await exchange.send(b"x" * 65536)
                self.entered.set()
        finally:
            self.left.set()

    async def upload(self, exchange: Exchange) -> None:
        async for piece in exchange.chunks():
            self.pieces.append(len(piece))
        await exchange.reply(json_reply(sum(self.pieces)))

    async def refused(self, _exchange: Exchange) -> None:
        raise Conflict("not this")

    async def raw(self, exchange: Exchange) -> None:
        await exchange.with_body()
        wire, data = await exchange.take_over(RAW_STREAM)
        data = data or await wire.read()
        while data:
            await wire.write(data.upper())
            data = await wire.read()
        await wire.write(b"bye")

    async def hold(self, exchange: Exchange) -> None:
        await exchange.with_body()
        wire, _ = await exchange.take_over(RAW_STREAM)
        self.entered.set()
        await wire.until_closed()
        self.left.set()


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.leave.set()


@pytest.fixture
def running(house: House, tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, house.routes) as running:
        yield running
        house.leave.set()


def test_every_answer_says_which_api(running: Running) -> None:
    with running.client() as client:
        for path, status in (("/_ping", 200), ("/v1.30/_ping", 200), ("/nowhere", 404), ("/v1.99/_ping", 400)):
            answer = client.ask("GET", path)
            assert answer.status == status
            assert answer.headers["api-version"] == "1.50"
            assert answer.headers["ostype"] == "linux"
            assert answer.headers["docker-experimental"] == "false"
            assert answer.headers["server"].startswith("Docker/")
        for version, kind in (("1.23", "text/plain; charset=utf-8"), ("1.99", "application/json")):
            answer = client.ask("GET", f"/v{version}/info")
            assert (answer.status, answer.headers["content-type"]) == (400, kind)
            assert b"client version" in answer.body


def test_one_connection_serves_request_after_request(running: Running) -> None:
    with running.client() as client:
        for number in range(50):
            answer = client.ask("POST", f"/v1.41/echo/a%2Fb?q={number}", b'{"x":1}')
            assert json.loads(answer.body) == {"name": "a/b", "q": str(number), "given": {"x": 1}, "api": [1, 41]}
        assert client.ask("DELETE", "/nothing").status == 204
        assert client.ask("HEAD", "/_ping").headers["content-length"] == "2"
        assert client.ask("GET", "/_ping").body == b"OK"


def test_requests_sent_in_advance_are_answered_in_order(running: Running) -> None:
    with running.client() as client:
        client.send("".join(f"POST /echo/{n} HTTP/1.1\r\nHost: d\r\n\r\n" for n in range(20)))
        assert [json.loads(client.answer().body)["name"] for _ in range(20)] == [str(n) for n in range(20)]


def test_errors_have_dockers_shape(running: Running, capfd: pytest.CaptureFixture[str]) -> None:
    with running.client() as client:
        answer = client.ask("GET", "/taken")
        assert (answer.status, answer.headers["content-type"]) == (409, "application/json")
        assert json.loads(answer.body) == {"message": "container web is in the way"}
        assert json.loads(client.ask("PUT", "/_ping").body) == {"message": "page not found"}
        answer = client.ask("GET", "/broken")
        assert answer.status == 500
        assert json.loads(answer.body) == {"message": "ZeroDivisionError: one by none"}
        assert client.ask("GET", "/_ping").status == 200
    assert "one by none" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b'{"x":', "", "invalid JSON: "),
        (b'{"x":1} more', "", "invalid JSON: "),
        (b'{"x":"one"}', "", "invalid request body: Expected `int`, got `str` - at `$[...]`"),
        (b"\xff", "", "invalid JSON: "),
        (b"x=1", "Content-Type: text/plain\r\n", "unsupported Content-Type header (text/plain)"),
        (b"{}", "Content-Type:\r\n", "unsupported Content-Type header ()"),
    ],
)
def test_bad_bodies(running: Running, body: bytes, headers: str, message: str) -> None:
    with running.client() as client:
        client.send(f"POST /echo/a HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n")
        client.send((headers or "Content-Type: application/json; charset=utf-8\r\n") + "\r\n")
        client.send(body)
        answer = client.answer()
        assert answer.status == 400
        assert json.loads(answer.body)["message"].startswith(message)


def test_an_empty_body_is_the_zero_value(running: Running) -> None:
    with running.client() as client:
        assert json.loads(client.ask("POST", "/echo/a").body)["given"] == {}


def test_what_is_no_http_is_told_so_and_closed(running: Running) -> None:
    with running.client() as client:
        client.send("hello there\r\n\r\n")
        status, _, _ = client.head()
        assert status == 400
        client.rest()


def test_a_head_without_end_is_refused(running: Running) -> None:
    with running.client() as client:
        client.send("GET /_ping HTTP/1.1\r\nX: " + "y" * 70000)
        assert client.head()[0] == 431
        client.rest()


def test_a_body_beyond_the_limit_is_refused_before_it_is_all_there(running: Running) -> None:
    with running.client() as client:
        client.send(f"POST /echo/a HTTP/1.1\r\nHost: d\r\nContent-Length: {MAX_BODY * 4}\r\n\r\n")
        client.send(b" " * (MAX_BODY + 1))
        assert client.answer().status == 413


def test_an_early_answer_reaches_a_client_that_is_still_sending(running: Running) -> None:
    with running.client() as client:
        size = 8 * 1024 * 1024
        client.send(f"POST /refused HTTP/1.1\r\nHost: d\r\nContent-Length: {size}\r\n\r\n")
        client.send(b"z" * size)
        assert client.answer().status == 409


def test_large_bodies_come_in_pieces(running: Running, house: House) -> None:
    with running.client() as client:
        size = 32 * 1024 * 1024
        client.send(f"POST /upload HTTP/1.1\r\nHost: d\r\nContent-Length: {size}\r\n\r\n")
        client.send(b"z" * size)
        assert json.loads(client.answer().body) == size
    assert max(house.pieces) <= 1024 * 1024


def test_chunked_bodies_and_clients_that_ask_first(running: Running) -> None:
    with running.client() as client:
        client.send("POST /upload HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        assert client.head()[0] == 100
        client.send(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert json.loads(client.answer().body) == 5
        assert client.ask("GET", "/_ping").status == 200


def test_a_client_that_leaves_in_the_middle_of_its_body(running: Running) -> None:
    with running.client() as client:
        client.send("POST /upload HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\nfirst")
    with running.client() as client:
        assert client.ask("GET", "/_ping").status == 200


def test_the_head_of_a_streamed_answer_comes_at_once(running: Running, house: House) -> None:
    with running.client() as client:
        client.request("GET", "/early")
        status, _, headers = client.head()
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        house.leave.set()
        assert client.chunk() == b"late"
        assert client.chunk() == b""
        assert client.ask("GET", "/_ping").status == 200


def test_an_answer_that_breaks_off_has_no_end(running: Running) -> None:
    with running.client() as client:
        client.request("GET", "/broken/late")
        client.head()
        with pytest.raises((ConnectionError, ValueError, AssertionError)):
            while client.chunk() != b"":
                pass


def test_a_request_that_waits_holds_up_nobody(running: Running, house: House) -> None:
    with running.client() as waiting, running.client() as other:
        waiting.request("GET", "/slow")
        assert house.entered.wait(LIMIT)
        assert other.ask("GET", "/_ping").status == 200
        house.leave.set()
        assert waiting.answer().body == b"slow"


def test_a_client_that_does_not_read_holds_up_nobody_and_its_death_is_noticed(running: Running, house: House) -> None:
    with running.client() as stuck:
        stuck.request("GET", "/endless")
        assert house.entered.wait(LIMIT)
        with running.client() as other:
            assert other.ask("GET", "/_ping").status == 200
        assert not house.left.is_set()
    assert house.left.wait(LIMIT)


@pytest.mark.parametrize("upgrade", [True, False])
def test_a_connection_taken_over_carries_bytes_both_ways(running: Running, upgrade: bool) -> None:
    with running.client() as client:
        headers = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else ""
        client.request("POST", "/raw", b"{}", headers)
        status, reason, given = client.head()
        assert (status, reason) == ((101, "UPGRADED") if upgrade else (200, "OK"))
        assert given["content-type"] == RAW_STREAM
        assert given.get("upgrade") == ("tcp" if upgrade else None)
        assert "transfer-encoding" not in given and "content-length" not in given
        client.send("hello")
        assert client.read(5) == b"HELLO"
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b"bye"


@pytest.mark.parametrize("upgrade", [True, False])
def test_bytes_behind_the_request_are_not_lost(running: Running, upgrade: bool) -> None:
    with running.client() as client:
        headers = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else ""
        client.send(f"POST /raw HTTP/1.1\r\nHost: d\r\n{headers}\r\nat once".encode())
        client.head()
        assert client.read(7) == b"AT ONCE"
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b"bye"


def test_a_half_close_is_no_end_but_a_full_one_is(running: Running, house: House) -> None:
    with running.client() as client:
        client.request("POST", "/hold", b"", "Connection: Upgrade\r\nUpgrade: tcp\r\n")
        assert house.entered.wait(LIMIT)
        client.socket.shutdown(socket.SHUT_WR)
        with running.client() as other:
            assert other.ask("GET", "/_ping").status == 200
        assert not house.left.is_set()
    assert house.left.wait(LIMIT)


def test_too_many_connections_are_told_so(house: House, tmp_path: Path) -> None:
    with serving(tmp_path, house.routes, max_connections=2) as running:
        clients = [running.client() for _ in range(2)]
        assert [client.ask("GET", "/_ping").status for client in clients] == [200, 200]
        with running.client() as third:
            status, _, _ = third.head()
            assert status == 503
        clients.pop().close()
        deadline = 200
        while deadline:
            with running.client() as third:
                third.request("GET", "/_ping")
                if third.head()[0] == 200:
                    break
            deadline -= 1
        assert deadline
        clients.pop().close()


def test_stopping_lets_a_request_finish_and_ends_the_rest(house: House, tmp_path: Path) -> None:
    with serving(tmp_path, house.routes) as running:
        busy, idle, attached = running.client(), running.client(), running.client()
        assert idle.ask("GET", "/_ping").status == 200
        attached.request("POST", "/raw", b"", "Connection: Upgrade\r\nUpgrade: tcp\r\n")
        attached.head()
        busy.request("GET", "/slow")
        assert house.entered.wait(LIMIT)
        stopping = threading.Thread(target=running.stop)
        stopping.start()
        assert idle.rest() == b""
        house.leave.set()
        assert busy.answer().body == b"slow"
        stopping.join(LIMIT)
        for client in (busy, idle, attached):
            client.close()


def test_stopping_serves_who_has_connected(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And has said nothing yet."""
    monkeypatch.setattr(server, "_FIRST", LIMIT)
    with serving(tmp_path, house.routes) as running:
        idle, quick = running.client(), running.client()
        assert idle.ask("GET", "/_ping").status == 200
        stopping = threading.Thread(target=running.stop)
        stopping.start()
        assert idle.rest() == b""
        assert quick.ask("GET", "/_ping").body == b"OK" and quick.rest() == b""
        stopping.join(LIMIT)
        for client in (idle, quick):
            client.close()


def test_stopping_does_not_wait_for_who_says_nothing(house: House, tmp_path: Path) -> None:
    with serving(tmp_path, house.routes) as running, running.client() as silent, running.client() as other:
        assert other.ask("GET", "/_ping").status == 200
        running.stop()
        assert silent.rest() == b""
