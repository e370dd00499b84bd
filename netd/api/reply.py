"""An answer as values, and the shape of errors (contract docker 4.1)."""

from __future__ import annotations

import msgspec

from netd import VERSION
from pycni.record import Record

API_VERSION = (1, 50)
"""The newest version of docker's API that is spoken; its answers still hold what 1.52 dropped, which scripts read."""
MIN_API_VERSION = (1, 24)

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


def version_text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


COMMON = (
    ("Api-Version", version_text(API_VERSION)),
    ("Docker-Experimental", "false"),
    ("Ostype", "linux"),
    ("Server", f"Docker/{VERSION} (linux)"),
)
"""Headers of every answer; clients take the version from the first."""


class Reply(Record):
    """A whole answer.  `body` b"" with a status of 200 has length 0."""

    status: int = 200
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def json_reply(value: object, status: int = 200) -> Reply:
    """Ends in a newline, as docker's do."""
    return Reply(status, msgspec.json.encode(value) + b"\n", JSON)


NO_CONTENT = Reply(204)
NOT_MODIFIED = Reply(304)
"""Docker's answer to starting what runs, or stopping what does not."""
EMPTY = Reply(200)


def error_reply(status: int, message: str) -> Reply:
    return json_reply({"message": message}, status)


PAGE_NOT_FOUND = error_reply(404, "page not found")
