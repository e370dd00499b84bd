"""From a method and a path to the handler: version prefix, patterns, and what docker has and we do not.  Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from netd.api.reply import API_VERSION, MIN_API_VERSION, version_text
from netd.failure import InvalidParameter, NotFound, Unsupported
from pycni.record import Record

_PREFIX = re.compile(r"/v([0-9]{1,4})\.([0-9]{1,4})(?=/)")
_VARIABLE = re.compile(r"\{(\w+)(\*?)\}")


class TooOld(InvalidParameter):
    """A client of before 1.24, which reads errors as plain text (contract docker 4.1)."""


class Route(Record):
    """`path` may hold `{name}`, one part, and `{name*}`, several with their slashes.  The handler is a coroutine
    function that is given an Exchange, or a plain one that is given a Call, runs in a thread, and returns a Reply."""

    method: str
    path: str
    handler: Callable[..., Any]


class Match(Record):
    """The route of a request, the variables of its path, decoded, and the API's version it asked for."""

    route: Route
    variables: dict[str, str]
    version: tuple[int, int]


class Router:
    """Routes are tried in the order given, so the special ones come before the general."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = [(route, _compiled(route.path)) for route in routes]

    def find(self, method: str, path: str) -> Match:
        """`path` as in the request line, still percent-encoded, without query.  InvalidParameter for a version that
        is not spoken, NotFound for an unknown path or method, Unsupported for what docker has and we do not."""
        version, rest = split_version(path)
        for route, pattern in self._routes:
            if method == route.method or (method == "HEAD" and route.method == "GET" and route.path == "/_ping"):
                found = pattern.fullmatch(rest)
                if found:
                    variables = {name: unquote(text) for name, text in found.groupdict().items()}
                    return Match(route, variables, version)
        if any(pattern.fullmatch(f"{method} {rest}") for pattern in _ABSENT):
            raise Unsupported(f"{method} {rest}: this engine has no such function")
        raise NotFound("page not found")


def split_version(path: str) -> tuple[tuple[int, int], str]:
    """The version that a path asks for, the newest when none, and the path without it; InvalidParameter."""
    found = _PREFIX.match(path)
    if not found:
        return API_VERSION, path
    version = int(found[1]), int(found[2])
    if version > API_VERSION:
        raise InvalidParameter(
            f"client version {version_text(version)} is too new. "
            f"Maximum supported API version is {version_text(API_VERSION)}"
        )
    if version < MIN_API_VERSION:
        raise TooOld(
            f"client version {version_text(version)} is too old. Minimum supported API version is "
            f"{version_text(MIN_API_VERSION)}, please upgrade your client to a newer version"
        )
    return version, path[found.end() :]


def _compiled(path: str) -> re.Pattern[str]:
    def group(found: re.Match[str]) -> str:
        return f"(?P<{found[1]}>.+)" if found[2] else f"(?P<{found[1]}>[^/]+)"

    # docker serves /networks/ as /networks
    return re.compile(_VARIABLE.sub(group, path.replace(".", r"\.")) + "/?")


_ABSENT = tuple(
    re.compile(path)
    for path in (
        "GET /containers/[^/]+/(attach/ws|changes|export)",
        "GET /images/get",
        "GET /images/search",
        "GET /images/.+/get",
        "POST /images/.+/push",
        "(POST|PUT|DELETE) /volumes(/.*)?",
        "GET /(volumes|plugins)",
        "(GET|POST) /(swarm|nodes|services|tasks|secrets|configs)(/.*)?",
        "POST /(auth|build|commit|session|grpc)(/.*)?",
        "GET /(distribution|system)/.+",
    )
)
"""Docker's functions that are answered with 501: a client then says what is missing instead of "page not found".  One
volume or plugin is not among them: `docker inspect NAME` asks for each kind in turn, and goes on at 404."""
