"""/etc/hosts and /etc/resolv.conf of containers: their text, and changes to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.failure import InvalidParameter
from netd.runtime.places import RuntimePlaces
from netd.sandbox import files, resolv
from netd.sandbox.etc import Etc, digest
from pycni.spec.address import Address

GATEWAY = (Address.parse("172.17.0.1"), Address.parse("fd00::1"))
WORDS = st.text("abc.-1", min_size=1, max_size=6)
LINES = st.lists(st.tuples(st.sampled_from(("10.0.0.2", "fd00::2", "10.0.0.3")), WORDS), max_size=4)
HOST = resolv.parse(
    "# host\nnameserver 127.0.0.1\nnameserver 192.0.2.1\nnameserver fd00::53\n"
    "search a.example b.example\noptions edns0\n",
    "/etc/resolv.conf",
)


def body(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_hosts() -> None:
    extra = files.extra_hosts(["db:192.0.2.7", "db:fd00::7", "up:[fd00::8]", "gw:host-gateway"], GATEWAY)
    own = files.own_lines((Address.parse("10.0.0.2"),), "web", "example.org")
    text = files.hosts(extra, own)
    assert text.splitlines()[0] == "127.0.0.1\tlocalhost"
    assert text.splitlines()[6:] == [
        "192.0.2.7\tdb",
        "fd00::7\tdb",
        "fd00::8\tup",
        "172.17.0.1\tgw",
        "fd00::1\tgw",
        "10.0.0.2\tweb.example.org web",
    ]
    assert files.hosts([], own, ipv6=False).splitlines() == ["127.0.0.1\tlocalhost", "10.0.0.2\tweb.example.org web"]


@pytest.mark.parametrize(
    ("hostname", "domainname", "names"),
    [("web", "", "web"), ("web.a.b", "", "web.a.b web"), ("web", "a.b", "web.a.b web")],
)
def test_own_names(hostname: str, domainname: str, names: str) -> None:
    assert files.own_names(hostname, domainname) == names


@pytest.mark.parametrize("entry", ["db", ":192.0.2.1", "db:nonsense", "d b:192.0.2.1", "db:"])
def test_extra_hosts_that_are_none(entry: str) -> None:
    with pytest.raises(InvalidParameter, match="add-host"):
        files.check_extra_hosts([entry])


def test_host_gateway_needs_one() -> None:
    with pytest.raises(InvalidParameter, match="no gateway"):
        files.extra_hosts(["gw:host-gateway"], ())


@given(LINES, LINES)
def test_lines_come_and_go_and_others_stay(present: list[files.Line], lines: list[files.Line]) -> None:
    new = [line for line in lines if line not in present]
    text = files.hosts(present, [])
    with_them = files.with_lines(text, new)
    assert all(f"{address}\t{names}\n" in with_them for address, names in new)
    assert files.with_lines(with_them, new) == with_them
    assert files.without(with_them, new) == text
    assert files.without(text, new) == text


def test_lines_in_another_spacing_are_the_same() -> None:
    assert files.without("10.0.0.2   web  www\n10.0.0.3 web\n", [("10.0.0.2", "web www")]) == "10.0.0.3 web\n"
    assert files.with_lines("a b", [("10.0.0.2", "web")]) == "a b\n10.0.0.2\tweb\n"


def test_names_that_move() -> None:
    text = "10.0.0.2\tdb store\n10.0.0.2\tother\n"
    assert files.with_names_at(text, [("10.0.0.9", "db store")]) == "10.0.0.2\tother\n10.0.0.9\tdb store\n"


def test_reading_a_resolv_conf() -> None:
    assert HOST.servers == ("127.0.0.1", "192.0.2.1", "fd00::53")
    assert (HOST.search, HOST.options) == (("a.example", "b.example"), ("edns0",))
    assert resolv.parse("domain x.example\n;no\nsearch .\n", "p").search == ()
    assert resolv.parse("nameserver 127.0.0.53\n", "p").is_stub
    assert not HOST.is_stub


def test_internal() -> None:
    made = resolv.internal(HOST, resolv.Wishes())
    assert body(made.text) == ["nameserver 127.0.0.11", "search a.example b.example", "options edns0 ndots:0"]
    assert "# ExtServers: [host(127.0.0.1) host(192.0.2.1) host(fd00::53)]\n" in made.text
    assert "# Option ndots from: internal\n" in made.text
    assert not made.ndots


@pytest.mark.parametrize(
    ("options", "expected", "ndots"),
    [
        (["ndots:3"], "options ndots:3", True),
        (["ndots:0", "rotate"], "options ndots:0 rotate", True),
        (["ndots:x"], "options ndots:0", True),
        (["rotate"], "options rotate ndots:0", False),
    ],
)
def test_ndots(options: list[str], expected: str, ndots: bool) -> None:
    made = resolv.internal(HOST, resolv.wishes(None, None, options))
    assert body(made.text)[-1] == expected
    assert made.ndots == ndots


def test_overrides() -> None:
    wanted = resolv.wishes(["192.0.2.9"], ["."], ["edns0"])
    assert body(resolv.internal(HOST, wanted).text) == ["nameserver 127.0.0.11", "options edns0 ndots:0"]
    assert (
        "# ExtServers: [192.0.2.9]\n# Overrides: [nameservers search options]\n" in resolv.internal(HOST, wanted).text
    )
    assert body(resolv.legacy(HOST, wanted, ipv6=False)) == ["nameserver 192.0.2.9", "options edns0"]
    assert body(resolv.shared(HOST, wanted)) == ["nameserver 192.0.2.9", "options edns0"]
    assert resolv.shared(HOST, resolv.Wishes()) == HOST.text


def test_legacy_leaves_out_what_cannot_be_reached() -> None:
    none = resolv.Wishes()
    assert body(resolv.legacy(HOST, none, ipv6=False))[:2] == ["nameserver 192.0.2.1", "search a.example b.example"]
    assert body(resolv.legacy(HOST, none, ipv6=True))[:2] == ["nameserver 192.0.2.1", "nameserver fd00::53"]
    empty = resolv.parse("nameserver 127.0.0.1\n", "p")
    assert body(resolv.legacy(empty, none, ipv6=False)) == ["nameserver 8.8.8.8", "nameserver 8.8.4.4"]
    assert len(body(resolv.legacy(empty, none, ipv6=True))) == 4


@pytest.mark.parametrize(
    ("servers", "search", "options", "flag"),
    [(["x"], None, None, "--dns"), (None, ["a b"], None, "--dns-search"), (None, None, ["a\nb"], "--dns-opt")],
)
def test_wishes_that_would_break_the_file(
    servers: list[str] | None, search: list[str] | None, options: list[str] | None, flag: str
) -> None:
    with pytest.raises(InvalidParameter, match=flag):
        resolv.wishes(servers, search, options)


def test_files_are_changed_in_place_and_edited_ones_left_alone(tmp_path: Path) -> None:
    etc = Etc(RuntimePlaces(root=str(tmp_path)), "c1")
    written = etc.write("hosts\n", "a longer resolv.conf\n", "web")
    inodes = [Path(path).stat().st_ino for path in (etc.hosts, etc.resolv_conf, etc.hostname)]
    assert Path(etc.hostname).read_text() == "web\n"
    assert written == digest("a longer resolv.conf\n")
    written = etc.replace_resolv_conf("short\n", written)
    assert (Path(etc.resolv_conf).read_text(), written) == ("short\n", digest("short\n"))
    Path(etc.resolv_conf).write_text("mine\n")
    assert etc.replace_resolv_conf("other\n", written) == written
    assert Path(etc.resolv_conf).read_text() == "mine\n"
    etc.change_hosts([], [("10.0.0.2", "web")])
    etc.move_names([("10.0.0.3", "web")])
    assert Path(etc.hosts).read_text() == "hosts\n10.0.0.3\tweb\n"
    assert [Path(path).stat().st_ino for path in (etc.hosts, etc.resolv_conf, etc.hostname)] == inodes
    Path(etc.hosts).unlink()
    etc.change_hosts([], [("10.0.0.2", "web")])
    assert not Path(etc.hosts).exists(), "a container that is gone needs none"


def test_lines_of_exactly_these_names_are_renamed_or_go() -> None:
    text = "10.0.0.2\tdb  host base # theirs\n10.0.0.2\tdb host base\n10.0.0.3 db host base\n\n10.0.0.4\tdb\n"
    assert files.renamed(text, "db host base", "db host new") == (
        "10.0.0.2\tdb  host base # theirs\n10.0.0.2\tdb host new\n10.0.0.3\tdb host new\n\n10.0.0.4\tdb\n"
    )
    assert files.renamed("1.1.1.1\ta b\n2.2.2.2\tb\n", "a b", "") == "2.2.2.2\tb\n"
