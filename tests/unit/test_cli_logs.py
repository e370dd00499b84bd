"""`pynet logs` against a scripted daemon, and the moments that --since and --until take."""

from __future__ import annotations

from pathlib import Path

import pytest
from api_script import ID, Request, Script
from cli_process import piped

from netd.cli import moments
from netd.failure import InvalidParameter


def test_logs(said: Script, tmp_path: Path) -> None:
    def frames(request: Request) -> None:
        pieces = [(1, b"out\n"), (2, b"err\n")]
        request.chunks(*(bytes([n, 0, 0, 0, 0, 0, 0, len(text)]) + text for n, text in pieces))

    said.on("GET /containers/web/json", {"Id": ID, "Config": {"Tty": False}})
    said.on(f"GET /containers/{ID}/logs", frames)
    done = piped(tmp_path, "logs", "-ft", "--tail", "5", "--since", "2026-01-02T03:04:05Z", "web")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"err\n")
    assert said.query(f"GET /containers/{ID}/logs") == {
        "stdout": "1",
        "stderr": "1",
        "follow": "1",
        "timestamps": "1",
        "tail": "5",
        "since": "1767323045.000000000",
    }
    said.on("GET /containers/web/json", {"Id": ID, "Config": {"Tty": True}})
    said.on(f"GET /containers/{ID}/logs", lambda request: request.chunks(b"plain\r\n"))
    assert piped(tmp_path, "logs", "web").stdout == b"plain\r\n"
    assert piped(tmp_path, "logs", "-n", "x", "web").stderr.startswith(b"pynet: --tail 'x': expected a number")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("1767323045", "1767323045"),
        ("1.5", "1.5"),
        ("10m", "400.000000000"),
        ("10m30s", "370.000000000"),
        ("0.1h", "640.000000000"),
        ("1970-01-01T01:00:00+01:00", "0.000000000"),
    ],
)
def test_moments(text: str, expected: str) -> None:
    assert moments.seconds_of("--since", text, 1000.0) == expected


@pytest.mark.parametrize("text", ["yesterday", "10", "m", "1.2.3s", "10 m", "5x"])
def test_what_is_no_moment(text: str) -> None:
    if text == "10":
        assert moments.seconds_of("--since", text, 0.0) == "10"
        return
    with pytest.raises(InvalidParameter, match="--since"):
        moments.seconds_of("--since", text, 0.0)
