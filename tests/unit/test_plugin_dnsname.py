"""dnsname: its keys, names, redirection and note, without a kernel."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.firewall.facts import Owner
from pycni.kernel.model import Route
from pycni.names import Attachments
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, ConfigError
from pycni.spec.request import parse_config
from pycni.spec.result import Dns, Interface, IpConfig, Result
from pycni_plugins.dnsname import server
from pycni_plugins.dnsname.config import (
    ALL,
    LISTED,
    NONE,
    Keys,
    Known,
    attachment,
    names,
    parse,
    redirection,
    result,
    split_id,
)
from pycni_plugins.dnsname.containerd import look_up
from pycni_plugins.dnsname.redirect import matches

HEX = "0123456789ab" + "c" * 52
DEFAULT = Route(Prefix.parse("0.0.0.0/0"))
RESULT = Result(
    (Interface("br0"), Interface("eth0", sandbox="/run/netns/c1")),
    (
        IpConfig(Prefix.parse("10.1.0.2/24"), Address.parse("10.1.0.1"), 1),
        IpConfig(Prefix.parse("fd00::2/64"), Address.parse("fd00::1"), 1),
        IpConfig(Prefix.parse("10.9.0.1/24"), None, 0),
    ),
    (DEFAULT,),
)


def keys(cni_args: str = "", **values: Any) -> Keys:
    return parse(parse_config(json.dumps({"name": "mynet", **values}).encode()), cni_args)


def test_defaults() -> None:
    assert keys() == Keys("", (), (), "auto", "/run/containerd", "", False)


def test_podmans_keys() -> None:
    found = keys(
        "IgnoreUnknown=1;K8S_POD_NAME=web;MAC=x",
        domainName="dns.podman.",
        remoteServers=["192.0.2.1", "fd00::1"],
        runtimeConfig={"Aliases": {"mynet": ["a", "b"], "other": ["c"]}},
    )
    assert found == Keys("dns.podman", ("a", "b"), ("192.0.2.1", "fd00::1"), "auto", "/run/containerd", "web", False)
    assert keys("K8S_POD_NAME=a;K8S_POD_NAMESPACE=b").in_cluster


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"domainName": "a b"}, "'domainName'"),
        ({"redirect": "yes"}, "'redirect'"),
        ({"remoteServers": ["x"]}, "'remoteServers'"),
        ({"runtimeConfig": {"aliases": ["a"]}}, "'runtimeConfig.aliases'"),
        ({"runtimeConfig": {"aliases": {"mynet": [""]}}}, "'runtimeConfig.aliases'"),
    ],
)
def test_bad_keys_are_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        keys(**values)


@pytest.mark.parametrize(
    ("given", "namespace", "own"), [(f"default-{HEX}", "default", HEX), (HEX, "", HEX), ("k8s.io-a-b", "k8s.io", "a-b")]
)
def test_container_ids(given: str, namespace: str, own: str) -> None:
    assert split_id(given) == (namespace, own)


def test_names_in_order_and_only_those_that_can_be_asked_for() -> None:
    nerdctl = Known("web", "host.example", ("192.0.2.1",))
    assert names(keys(), nerdctl, f"default-{HEX}") == ("web", HEX[:12], "host.example")
    aliased = keys("K8S_POD_NAME=pod", runtimeConfig={"aliases": {"mynet": ["shop", HEX[:12]]}})
    assert names(aliased, Known(), HEX) == ("pod", "shop", HEX[:12])
    assert names(keys(), Known("a b", ".."), "default-task") == ("task",)


@pytest.mark.parametrize(
    ("redirect", "pod", "known", "expected"),
    [
        ("auto", "", Known(), ALL),
        ("auto", "", Known("web", resolv_conf=()), LISTED),
        ("auto", "web", Known(), NONE),
        ("none", "", Known(), NONE),
        ("all", "web", Known(), ALL),
    ],
)
def test_who_is_redirected(redirect: str, pod: str, known: Known, expected: str) -> None:
    assert redirection(keys(f"K8S_POD_NAME={pod}" if pod else "", redirect=redirect), known) == expected


def test_the_note() -> None:
    found = attachment(keys(domainName="d"), Known("web"), Owner("mynet", "default-x", "eth0"), RESULT, "/run/netns/c1")
    assert found.names == ("web", "x")
    assert [str(each) for each in found.addresses] == ["10.1.0.2", "fd00::2"]
    assert [str(each) for each in found.gateways] == ["10.1.0.1", "fd00::1"]
    assert (found.external, found.domain, found.netns) == (True, "d", "/run/netns/c1")


def test_an_internal_network_has_neither_a_way_out_nor_a_gateway() -> None:
    found = attachment(keys(), Known(), Owner("mynet", "x", "eth0"), RESULT.replace(routes=()), "")
    assert (found.external, found.gateways) == (False, ())


def test_whose_servers_are_asked() -> None:
    previous = RESULT.replace(dns=Dns(("192.0.2.3",)))
    owner, known = Owner("mynet", "x", "eth0"), Known(resolv_conf=("192.0.2.2", "127.0.0.11"))
    assert attachment(keys(remoteServers=["192.0.2.1"]), known, owner, previous, "").servers == ("192.0.2.1",)
    assert attachment(keys(), known, owner, previous, "").servers == ("192.0.2.2",)
    assert attachment(keys(), Known(), owner, previous, "").servers == ("192.0.2.3",)
    assert attachment(keys(), Known(), owner, RESULT, "").servers == ()


def test_the_result_names_our_resolver_and_keeps_the_rest() -> None:
    previous = RESULT.replace(dns=Dns(("192.0.2.3",), "dom", ("a", "d"), ("ndots:1",)))
    assert result(keys(domainName="d"), previous) == RESULT.replace(
        dns=Dns(("127.0.0.11",), "dom", ("d", "a"), ("ndots:1",))
    )
    assert result(keys(), RESULT).dns == Dns(("127.0.0.11",))


def test_which_questions_are_redirected() -> None:
    def found(kind: str, *servers: str) -> list[str]:
        found = matches(kind, servers) + matches(kind, servers, 6)
        return [("" if equal else "not ") + str(prefix) for prefix, equal in found]

    ours = "127.0.0.11/32"
    assert found(NONE, "192.0.2.1") == [ours]
    assert found(ALL, "192.0.2.1") == [ours, "not 127.0.0.0/8", "not ::1/128"]
    listed = ("192.0.2.1", "fd00::1", "127.0.0.11", "192.0.2.2")
    assert found(LISTED, *listed) == [ours, "192.0.2.1/32", "192.0.2.2/32", "fd00::1/128"]
    assert found(LISTED) == [ours]


def _made(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    return directory


def bundle(directory: Path, text: str) -> None:
    path = directory / "io.containerd.runtime.v2.task/default/x"
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(text)


def test_what_containerd_and_nerdctl_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = str(tmp_path)
    assert look_up(state, "default-x", NETNS) == Known()
    assert look_up(state, "x", NETNS) == Known()
    for text in ("", "[]", "{}", '{"annotations": 3}', '{"annotations": {"nerdctl/name": 3}}'):
        bundle(tmp_path, text)
        assert look_up(state, "default-x", NETNS) == Known()
    bundle(tmp_path, '{"hostname": "h"}')
    assert look_up(state, "default-x", NETNS) == Known("", "h")
    annotations = {"nerdctl/name": "web", "nerdctl/state-dir": state}
    bundle(tmp_path, json.dumps({"hostname": "h", "annotations": annotations}))
    assert look_up(state, "default-x", NETNS) == Known("web", "h")
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.1\nnameserver x\nnameserver 192.0.2.1\noptions ndots:0\n")
    assert look_up(state, "default-x", NETNS) == Known("web", "h", ("192.0.2.1",))
    # a process that still stands in its bundle is believed before the setting
    for folder in ("", "rootfs"):
        monkeypatch.chdir(_made(tmp_path / "io.containerd.runtime.v2.task/default/x" / folder))
        assert look_up("/nowhere", "default-x", "/proc/self/ns/net") == Known("web", "h", ("192.0.2.1",))
        assert look_up("/nowhere", "default-y", "/proc/self/ns/net") == Known()
        assert look_up("/nowhere", "default-x", "/proc/0/ns/net") == Known()

    # of one that has left it, its parent's state directory is: a shim stands in some bundle of the same containerd
    def left() -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "1000"], cwd="/")

    monkeypatch.chdir(_made(tmp_path / "io.containerd.runtime.v2.task/default/y"))
    with left() as child:
        assert look_up("/nowhere", "default-x", f"/proc/{child.pid}/ns/net") == Known("web", "h", ("192.0.2.1",))
        child.kill()
    monkeypatch.chdir("/")
    with left() as child:
        assert look_up(state, "default-x", f"/proc/{child.pid}/ns/net") == Known("web", "h", ("192.0.2.1",))
        child.kill()
    conf.write_text("options edns0 ndots:2\n")
    assert look_up(state, "default-x", NETNS) == Known("web", "h", (), True)


def test_no_name_server(tmp_path: Path) -> None:
    with pytest.raises(server.NoNameServer, match=r"no name server at .*/dns\.sock: no such file or directory"):
        server.ask(str(tmp_path), "status", patience=60)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{tmp_path}/dns.sock")
        with pytest.raises(server.NoNameServer, match="connection refused"):
            server.ask(str(tmp_path), "status", patience=0.05)


@pytest.mark.parametrize(("answer", "expected"), [(b"{}\n", ""), (b'{"error": "no"}\n', "no"), (b"", None)])
def test_answers_of_the_name_server(tmp_path: Path, answer: bytes, expected: str | None) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{tmp_path}/dns.sock")
        sock.listen()

        def serve() -> None:
            connection, _ = sock.accept()
            with connection:
                assert connection.recv(100) == b"sync k\n"
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            if expected is None:
                with pytest.raises(server.NoNameServer, match="it ended"):
                    server.ask(str(tmp_path), "sync k")
            else:
                assert server.ask(str(tmp_path), "sync k") == expected
        finally:
            thread.join()


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
def test_a_result_is_needed(tmp_path: Path, command: str) -> None:
    machine = Machine(tmp_path)
    error = machine.error("dnsname", command, {"name": "mynet", "cniVersion": "1.0.0"})
    assert error == {"code": 999, "msg": "Required prevResult missing"}


def test_del_of_what_was_never_added(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    before = machine.state()
    assert machine.succeeds("dnsname", "DEL", {"name": "mynet", "cniVersion": "1.0.0"}) == ""
    assert machine.state() == before


def test_notes_of_others_stay(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    store = Attachments(machine.settings.run_dir)
    for network, container in (("mynet", "c1"), ("mynet", "c2"), ("other", "c1")):
        note = attachment(keys(), Known(), Owner(network, container, "eth0"), RESULT, "")
        store.put(note.replace(sandbox=f"n{container}"))
    config = {"name": "mynet", "cniVersion": "1.1.0"}
    machine.succeeds("dnsname", "DEL", config)
    assert len(store.names()) == 2
    valid = [{"containerID": "c3", "ifname": "eth0"}]
    machine.succeeds("dnsname", "GC", {**config, "cni.dev/valid-attachments": valid})
    assert [found.owner.network for _, found in store.of_network("other")] == ["other"]
    assert len(store.names()) == 1


def test_status_without_a_name_server(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    error = machine.error("dnsname", "STATUS", {"name": "mynet", "cniVersion": "1.1.0"})
    assert error["code"] == 51
    assert os.path.basename(error["msg"].partition(":")[0]) == "dns.sock"


def test_malformed_arguments() -> None:
    with pytest.raises(CniError, match="invalid pair"):
        keys("K8S_POD_NAME")
