"""host-local against the reference's binary: the same answers and the same files, and both on one directory."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reference_plugins
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycni.kernel.netns import NamespaceMissing
from pycni.settings import Settings
from pycni.skeleton import Host, serve
from pycni_plugins.host_local.plugin import PLUGIN

Answer = tuple[int, Any]
Server = Callable[[dict[str, str], bytes], Answer]


def by_reference(environment: dict[str, str], stdin: bytes) -> Answer:
    binary = reference_plugins.directory() / "host-local"
    done = subprocess.run([binary], input=stdin, env=environment, capture_output=True, timeout=30, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else None


def by_us(environment: dict[str, str], stdin: bytes) -> Answer:
    def no_container(path: str) -> Any:
        raise NamespaceMissing(f'failed to Statfs "{path}": no such file or directory')

    host = Host(None, None, no_container, Settings())  # type: ignore[arg-type]
    answer = serve(PLUGIN, environment, lambda: stdin, host)
    return answer.status, json.loads(answer.stdout) if answer.stdout else None


def call(server: Server, command: str, container: str, root: str, ipam: Any, cni_args: str = "", **more: Any) -> Answer:
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container,
        "CNI_NETNS": "/nowhere",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": cni_args,
        "CNI_PATH": "/nowhere",
    }
    config = {"cniVersion": "1.0.0", "name": "net", "ipam": {**ipam, "dataDir": root}, **more}
    return server(environment, json.dumps(config).encode())


def files(root: str) -> dict[str, bytes]:
    directory = Path(root) / "net"
    return {each.name: each.read_bytes() for each in directory.iterdir()} if directory.exists() else {}


def subnet(text: str, **ends: str) -> dict[str, str]:
    return {"subnet": text, **ends}


# Each with addresses to ask for.  Only those that fit a set: where one does not, the reference first takes and gives
# back other addresses, which moves last_reserved_ip, and we refuse at once.
LAYOUTS = [
    ([[subnet("10.0.0.0/29")]], ["10.0.0.1", "10.0.0.3", "10.0.0.6/24"]),
    ([[subnet("10.0.0.0/30"), subnet("10.0.1.0/30"), subnet("10.0.2.0/30")]], ["10.0.1.1", "10.0.1.2"]),
    (
        [[subnet("10.0.0.0/29", gateway="10.0.0.3", rangeStart="10.0.0.0", rangeEnd="10.0.0.7")]],
        ["10.0.0.0", "10.0.0.3"],
    ),
    ([[subnet("10.0.0.0/24", rangeStart="10.0.0.9", rangeEnd="10.0.0.9")]], ["10.0.0.9"]),
    ([[subnet("fd00::/126")]], ["fd00::2", "fd00::3/64"]),
    (
        [[subnet("10.0.0.0/29")], [subnet("fd00::/64")], [subnet("10.0.9.0/29", gateway="10.0.8.1")]],
        # of the last set only: a wish skips the check for duplicates, which then fails in a later set, and there the
        # reference also drops what the owner had before this call, and we do not
        ["10.0.9.1"],
    ),
    ([[subnet("::ffff:0:0:0/64")]], ["::ffff:0:0:5"]),
    ([[subnet("2001:db8:0:1::/64")]], ["2001:db8:0:1:0:0:1:0", "2001:db8:0:1:1::1", "2001:db8::1:0:0:2:3"]),
]
steps = st.lists(
    st.tuples(
        st.sampled_from(["ADD", "ADD", "ADD", "DEL", "CHECK"]),
        st.sampled_from("abcde"),
        st.none() | st.integers(0, 2),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(LAYOUTS), steps)
def test_any_mixture_of_both_is_the_reference(
    layout: tuple[Any, list[str]], sequence: list[tuple[str, str, int | None, bool]]
) -> None:
    """The same calls, once all by the reference and once by either of the two on one directory."""
    ranges, addresses = layout
    with tempfile.TemporaryDirectory() as pure, tempfile.TemporaryDirectory() as mixed:
        for command, container, wanted, ours in sequence:
            args = "" if wanted is None else f"IP={addresses[wanted % len(addresses)]}"
            expected = call(by_reference, command, container, pure, {"ranges": ranges}, args)
            server = by_us if ours else by_reference
            assert call(server, command, container, mixed, {"ranges": ranges}, args) == expected
            leases = {name: content for name, content in files(mixed).items() if name != "lock"}
            assert leases == {name: content for name, content in files(pure).items() if name != "lock"}


def refusals() -> dict[str, dict[str, Any]]:
    return {
        "no ipam ranges": {"ipam": {}},
        "only a start": {"ipam": {"rangeStart": "10.0.0.4"}},
        "empty set": {"ipam": {"ranges": [[]]}},
        "range without subnet": {"ipam": {"ranges": [[{}]]}},
        "too small": {"ipam": subnet("10.0.0.0/31")},
        "too small, with host bits": {"ipam": subnet("10.0.0.5/32")},
        "too small, v6": {"ipam": subnet("fd00::/127")},
        "mapped": {"ipam": subnet("::ffff:10.0.0.0/120")},
        "mapped and too small": {"ipam": subnet("::ffff:10.0.0.0/127")},
        "host bits": {"ipam": subnet("10.0.0.1/24")},
        "host bits, v6": {"ipam": subnet("fd00::1/64")},
        "start outside": {"ipam": subnet("10.0.0.0/24", rangeStart="10.0.1.4")},
        "start of another family": {"ipam": subnet("10.0.0.0/24", rangeStart="fd00::1")},
        "start after end": {"ipam": subnet("10.0.0.0/24", rangeStart="10.0.0.9", rangeEnd="10.0.0.5")},
        "end outside": {"ipam": subnet("10.0.0.0/24", rangeEnd="10.0.1.4")},
        "end before the default start": {"ipam": subnet("10.0.0.0/24", rangeEnd="10.0.0.0")},
        "end of another family": {"ipam": subnet("10.0.0.0/24", rangeEnd="fd00::1")},
        "mixed": {"ipam": {"ranges": [[subnet("10.0.0.0/24"), subnet("fd00::/64")]]}},
        "overlap inside a set": {"ipam": {"ranges": [[subnet("10.0.0.0/24"), subnet("10.0.0.0/16")]]}},
        "overlapping sets": {"ipam": {"ranges": [[subnet("10.0.0.0/24")], [subnet("10.0.0.0/16")]]}},
        "long v6 text": {"ipam": {"ranges": [[subnet("2001:db8:1::/64"), subnet("2001:db8:1::/64")]]}},
        "too many for 0.2.0": {
            "ipam": {"ranges": [[subnet("10.0.0.0/24")], [subnet("10.0.1.0/24")]]},
            "cniVersion": "0.2.0",
        },
        "too many without a version": {
            "ipam": {"ranges": [[subnet("fd00::/64")], [subnet("fd01::/64")]]},
            "cniVersion": "",
        },
        "unknown argument": {"ipam": subnet("10.0.0.0/24"), "cni_args": "MAC=x;IP=10.0.0.9"},
        "bad argument": {"ipam": subnet("10.0.0.0/24"), "cni_args": "IP=10.0.0.300"},
        "bad ips": {"ipam": subnet("10.0.0.0/24"), "runtimeConfig": {"ips": ["10.0.0.3/33"]}},
        "request outside": {"ipam": subnet("10.0.0.0/24"), "args": {"cni": {"ips": ["10.9.0.3"]}}},
        "gateway requested": {"ipam": subnet("10.0.0.0/24"), "runtimeConfig": {"ips": ["10.0.0.1"]}},
        "no resolv.conf": {"ipam": {**subnet("10.0.0.0/24"), "resolvConf": "/nowhere/resolv.conf"}},
    }


@pytest.mark.parametrize("case", refusals())
def test_refusals_read_the_same(case: str, tmp_path: Path) -> None:
    more = dict(refusals()[case])
    ipam, args = more.pop("ipam"), more.pop("cni_args", "")
    expected = call(by_reference, "ADD", "c1", str(tmp_path / "theirs"), ipam, args, **more)
    assert expected[0] == 1
    assert call(by_us, "ADD", "c1", str(tmp_path / "ours"), ipam, args, **more) == expected


def test_modes_are_the_references(tmp_path: Path) -> None:
    for server, root in ((by_reference, tmp_path / "theirs"), (by_us, tmp_path / "ours")):
        assert call(server, "ADD", "c1", str(root), subnet("10.0.0.0/24"))[0] == 0
    modes = [
        {each.relative_to(root): each.stat().st_mode for each in (root, *root.rglob("*"))}
        for root in (tmp_path / "theirs", tmp_path / "ours")
    ]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_results_are_the_references_in_every_version(version: str, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\ndomain a.example\nsearch b c\noptions ndots:2\n")
    ipam = {
        "ranges": [[subnet("10.0.0.0/24")], [subnet("2001:db8:0:0:1::/80")]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "fd00::5/64", "gw": "2001:db8::1", "mtu": 1300, "scope": 0}],
        "resolvConf": str(tmp_path / "resolv.conf"),
    }
    expected = call(by_reference, "ADD", "c1", str(tmp_path / "theirs"), ipam, cniVersion=version)
    assert call(by_us, "ADD", "c1", str(tmp_path / "ours"), ipam, cniVersion=version) == expected
    assert expected[0] == 0
