"""Paths to handlers: versions, variables, order, and what docker has and we do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.api.router import Match, Route, Router, split_version
from netd.failure import InvalidParameter, NotFound, Unsupported


def handler() -> None:
    """Never called here."""


ROUTES = [
    Route("GET", "/_ping", handler),
    Route("GET", "/containers/json", handler),
    Route("GET", "/containers/{id}/json", handler),
    Route("DELETE", "/containers/{id}", handler),
    Route("DELETE", "/containers/{id}/{alias}", handler),
    Route("GET", "/images/json", handler),
    Route("GET", "/images/{name*}/json", handler),
    Route("GET", "/networks/{id}", handler),
    Route("GET", "/networks", handler),
]
ROUTER = Router(ROUTES)


def found(method: str, path: str) -> tuple[str, dict[str, str]]:
    match: Match = ROUTER.find(method, path)
    return match.route.path, match.variables


@pytest.mark.parametrize("prefix", ["", "/v1.24", "/v1.50", "/v1.41"])
def test_a_version_may_come_first(prefix: str) -> None:
    assert found("GET", f"{prefix}/containers/json") == ("/containers/json", {})


def test_the_version_is_told_and_the_newest_without_one() -> None:
    assert ROUTER.find("GET", "/v1.41/_ping").version == (1, 41)
    assert ROUTER.find("GET", "/_ping").version == (1, 50)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1.51/_ping", "^client version 1.51 is too new. Maximum supported API version is 1.50$"),
        ("/v2.0/_ping", "^client version 2.0 is too new"),
        ("/v1.23/_ping", "^client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade"),
    ],
)
def test_versions_that_are_not_spoken(path: str, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        ROUTER.find("GET", path)


def test_special_paths_before_general_ones() -> None:
    assert found("GET", "/images/json") == ("/images/json", {})
    assert found("GET", "/networks/") == ("/networks", {})
    assert found("GET", "/networks/json") == ("/networks/{id}", {"id": "json"})


def test_variables_are_decoded_one_part_each_unless_starred() -> None:
    assert found("GET", "/networks/a%20b%2Fc") == ("/networks/{id}", {"id": "a b/c"})
    assert found("GET", "/images/reg.io:5000/a/b:1@sha256:0/json")[1] == {"name": "reg.io:5000/a/b:1@sha256:0"}
    assert found("DELETE", "/containers/web/db")[1] == {"id": "web", "alias": "db"}


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_any_name_arrives_as_it_was(name: str) -> None:
    from urllib.parse import quote

    assert found("GET", f"/containers/{quote(name, safe='')}/json")[1] == {"id": name}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("PUT", "/containers/json"), ("GET", "/"), ("GET", "containers/json"), ("GET", "/v1.41")],
)
def test_unknown_paths_and_methods(method: str, path: str) -> None:
    with pytest.raises(NotFound, match=r"^page not found$"):
        ROUTER.find(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1.40/build"),
        ("GET", "/volumes"),
        ("GET", "/containers/web/export"),
        ("GET", "/images/a/b/get"),
        ("POST", "/swarm/init"),
        ("GET", "/system/df"),
    ],
)
def test_what_docker_has_and_we_do_not_is_named(method: str, path: str) -> None:
    with pytest.raises(
        Unsupported, match=f"^{method} {path.removeprefix('/v1.40')}: this engine has no such function$"
    ):
        ROUTER.find(method, path)


def test_head_of_ping() -> None:
    assert found("HEAD", "/_ping") == ("/_ping", {})


@given(st.text())
def test_any_path_is_split_or_refused(path: str) -> None:
    try:
        version, rest = split_version(path)
    except InvalidParameter:
        assert path.startswith("/v")
    else:
        assert path.endswith(rest) and (1, 24) <= version <= (1, 50)
