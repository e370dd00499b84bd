"""Calling plugins: finding, telling ours from others, errors and results, in place and executed (contract 1.13)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni import invoke
from pycni.execute import Completed
from pycni.invoke import LAUNCHER_MARK, Invoker, find_in_path, is_ours, parse_result, plugin_error, quote, read_result
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, DelegateError
from pycni.spec.request import Request
from pycni.spec.result import IpConfig


def program(directory: Path, name: str, text: str = "exit 0") -> str:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_first_regular_file_wins(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    (one / "foo").mkdir(parents=True)
    found = program(two, "foo")
    assert find_in_path("foo", [str(tmp_path / "none"), str(one), str(two)]) == found
    Path(found).chmod(0o644)
    (two / "link").symlink_to(found)
    assert find_in_path("link", [f"{two}/../two/"]) == f"{two}/link"


@pytest.mark.parametrize(
    ("name", "directories", "msg"),
    [
        ("", ["/bin"], "no plugin name provided"),
        ("a/b", ["/bin"], "invalid plugin name: a/b"),
        ("../foo", ["/bin"], "invalid plugin name: ../foo"),
        ("foo", [], "no paths provided"),
        ("foo", ["/nowhere", "/no where"], 'failed to find plugin "foo" in path [/nowhere /no where]'),
        ("foo\0", ["/bin"], 'failed to find plugin "foo\0" in path [/bin]'),
    ],
)
def test_what_is_not_found(name: str, directories: list[str], msg: str) -> None:
    with pytest.raises(CniError) as caught:
        find_in_path(name, directories)
    assert (caught.value.code, caught.value.msg) == (999, msg)


def test_our_launcher_is_known_by_its_mark(tmp_path: Path) -> None:
    ours = tmp_path / "bridge"
    ours.write_bytes(b"\x7fELF" + os.urandom(50_000) + LAUNCHER_MARK + b"\nversion=1\n")
    os.link(ours, tmp_path / "portmap")
    (tmp_path / "copy").write_bytes(ours.read_bytes())
    (tmp_path / "link").symlink_to(ours)
    (tmp_path / "other").write_bytes(b"\x7fELF" + b"x" * 50_000)
    (tmp_path / "huge").write_bytes(b"x" * (3 << 20) + LAUNCHER_MARK)
    names = ("bridge", "portmap", "copy", "link", "other", "huge", "missing")
    assert [is_ours(str(tmp_path / each)) for each in names] == [True, True, True, True, False, False, False]


def test_a_replaced_file_is_looked_at_again_and_an_unchanged_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bridge"
    path.write_bytes(LAUNCHER_MARK)
    looked: list[str] = []
    real = invoke._has_mark
    monkeypatch.setattr(invoke, "_has_mark", lambda each: looked.append(each) or real(each))
    assert is_ours(str(path))
    assert is_ours(str(path))
    assert len(looked) == 1
    path.write_bytes(b"someone else's")
    assert not is_ours(str(path))
    assert len(looked) == 2


def request(tmp_path: Path, **environment: str) -> Request:
    whole = {"CNI_COMMAND": "ADD", "CNI_PATH": f"{tmp_path}/bin", "PATH": "/usr/bin:/bin", **environment}
    return Request("ADD", "c1", "/ns", "eth0", "", (f"{tmp_path}/bin",), False, whole, b'{"exact":  "bytes"}\n')


RESULT = {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.0.0.2/24"}], "dns": {}}


class InPlace:
    """Stands for our plugins; keeps what they were called with."""

    def __init__(self, answer: Completed | None) -> None:
        self.answer = answer
        self.calls: list[tuple[str, Mapping[str, str], bytes]] = []

    def __call__(self, name: str, environment: Mapping[str, str], stdin: bytes) -> Completed | None:
        self.calls.append((name, environment, stdin))
        return self.answer


def both_ways(tmp_path: Path, answer: Completed) -> list[tuple[str, Any]]:
    """What `delegate` makes of one answer, once given in place and once by an executed program."""
    outcomes: list[tuple[str, Any]] = []
    (tmp_path / "out").write_bytes(answer.stdout)
    (tmp_path / "err").write_bytes(answer.stderr)
    program(
        tmp_path / "bin",
        "foreign",
        f"cat {tmp_path}/err >&2; cat {tmp_path}/out; exit {answer.failure.rpartition(' ')[2] or 0}",
    )
    program(tmp_path / "bin", "ours", f"# {LAUNCHER_MARK.decode()}\nexit 99")
    for name in ("foreign", "ours"):
        said: list[bytes] = []
        invoker = Invoker(said.append, InPlace(answer))
        try:
            outcomes.append(("result", (invoker.delegate("ADD", name, request(tmp_path), "0.4.0"), said)))
        except CniError as error:
            outcomes.append(("error", (type(error), error.code, error.msg, error.details, said)))
    return outcomes


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Completed("exit status 1", b'{"code": 11, "msg": "busy", "details": "try later"}'), (11, "busy", "try later")),
        (Completed("exit status 1", b'{"CODE": 7, "Msg": "folded"}', b"noise"), (7, "folded", "")),
        (Completed("exit status 3"), (0, "netplugin failed with no error message: exit status 3", "")),
        (Completed("exit status 3", b"", b'a "b"\n'), (0, 'netplugin failed: "a \\"b\\"\\n"', "")),
        (Completed("exit status 1", b"null"), (0, "", "")),
    ],
)
def test_errors_are_the_same_both_ways(tmp_path: Path, answer: Completed, error: tuple[int, str, str]) -> None:
    foreign, ours = both_ways(tmp_path, answer)
    assert foreign == ours == ("error", (DelegateError, *error, []))


@pytest.mark.parametrize(
    "stdout", [b"nonsense", b'{"code": "x"}', b"[]", b'{"code": -1}', b'{"code": 1}{"code": 2}', b"\xff"]
)
def test_output_that_is_no_error_object_is_quoted(tmp_path: Path, stdout: bytes) -> None:
    foreign, ours = both_ways(tmp_path, Completed("exit status 1", stdout))
    assert foreign == ours
    kind, (_, code, msg, _, _) = foreign
    assert (kind, code) == ("error", 0)
    assert msg.startswith(f"netplugin failed but error parsing its diagnostic message {quote(stdout)}: ")


def test_a_result_and_the_stderr_of_a_success_are_the_same_both_ways(tmp_path: Path) -> None:
    foreign, ours = both_ways(tmp_path, Completed("", json.dumps(RESULT).encode(), b"a warning\n"))
    assert foreign == ours
    result, said = foreign[1]
    assert result.ips == (IpConfig(Prefix.parse("10.0.0.2/24")),)
    assert said == [b"a warning\n"]


def test_the_delegate_sees_the_callers_environment_and_bytes(tmp_path: Path) -> None:
    program(tmp_path / "bin", "foreign", "{ env; cat; } >&2")
    said: list[bytes] = []
    about = request(tmp_path, TRACEPARENT="00-1", CNI_ARGS="A=b")
    assert Invoker(said.append).delegate("DEL", "foreign", about, "") is None
    text = said[0].decode()
    assert text.endswith('{"exact":  "bytes"}\n')
    lines = set(text.splitlines())
    assert {"CNI_COMMAND=DEL", "TRACEPARENT=00-1", "CNI_ARGS=A=b", f"CNI_PATH={tmp_path}/bin"} <= lines
    assert "CNI_COMMAND=ADD" not in lines

    program(tmp_path / "bin", "ours", LAUNCHER_MARK.decode())
    in_place = InPlace(Completed())
    Invoker(said.append, in_place).delegate("DEL", "ours", about, "")
    assert in_place.calls == [("ours", {**about.environment, "CNI_COMMAND": "DEL"}, about.stdin)]


def test_a_name_we_do_not_serve_is_executed(tmp_path: Path) -> None:
    program(tmp_path / "bin", "renamed", f"# {LAUNCHER_MARK.decode()}\necho executed >&2")
    said: list[bytes] = []
    Invoker(said.append, InPlace(None)).delegate("DEL", "renamed", request(tmp_path), "")
    assert said == [b"executed\n"]


def test_others_are_never_called_in_place(tmp_path: Path) -> None:
    program(tmp_path / "bin", "host-local", "exit 0")
    in_place = InPlace(Completed())
    Invoker(lambda _: None, in_place).delegate("DEL", "host-local", request(tmp_path), "")
    assert in_place.calls == []


@pytest.mark.parametrize(
    ("stdout", "version", "expected"),
    [
        (b"null", "1.0.0", {"cniVersion": "1.0.0"}),
        (b"{}", "", {"cniVersion": "0.1.0"}),
        (b'{"cniVersion": "", "ips": []}', "0.4.0", {"cniVersion": "0.4.0", "ips": []}),
        (b'{"cniVersion": "0.2.0"}', "1.0.0", {"cniVersion": "0.2.0"}),
    ],
)
def test_a_missing_version_is_the_configurations(stdout: bytes, version: str, expected: dict[str, Any]) -> None:
    assert read_result(stdout, version) == expected


def test_a_result_of_another_version_than_the_configuration_is_understood() -> None:
    body = read_result(b'{"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/24", "gateway": "10.0.0.1"}}', "1.0.0")
    assert parse_result(body).ips == (IpConfig(Prefix.parse("10.0.0.2/24"), Address.parse("10.0.0.1")),)


@pytest.mark.parametrize(
    ("stdout", "msg"),
    [
        (b"", "failed to unmarshal raw result: unexpected end of JSON input"),
        (b"[]", "failed to unmarshal raw result: it is not a JSON object"),
        (b'{"cniVersion": "9.0.0"}', 'unsupported CNI result version "9.0.0"'),
    ],
)
def test_what_is_no_result(stdout: bytes, msg: str) -> None:
    with pytest.raises(CniError) as caught:
        parse_result(read_result(stdout, "1.0.0"))
    assert (caught.value.code, caught.value.msg) == (999, msg)


@given(st.binary())
def test_any_output_can_be_quoted(data: bytes) -> None:
    quoted = quote(data)
    assert quoted.isprintable()
    assert quoted[0] == quoted[-1] == '"'
    assert isinstance(plugin_error(Completed("exit status 1", data)), DelegateError)


def test_quoting_is_gos() -> None:
    assert quote('a"b\\c\n\té\u200b\U000e0001\x01\x7f'.encode() + b"\xff") == (
        '"a\\"b\\\\c\\n\\té\\u200b\\U000e0001\\x01\\x7f\\xff"'
    )
