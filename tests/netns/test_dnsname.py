"""dnsname with the name server, asked by containers with real packets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from dns_city import Asking, City

from pycni.firewall.firewall import Firewall
from pycni.kernel.namespace import Namespace
from pycni.names import PORT
from pycni.settings import Settings
from pycni.skeleton import Answer, Host, serve
from pycni_plugins import load

HEX = "0123456789ab" + "c" * 52
PODMAN = "IgnoreUnknown=1;K8S_POD_NAME="


class Member(Asking):
    """A container at 10.1.0.`last` to whose chain dnsname belongs; `keys` are the plugin's."""

    def __init__(self, town: Town, container_id: str, last: int, args: str = "", **keys: Any) -> None:
        self.town, self.id, self.args, self.keys = town, container_id, args, keys
        self.space = town.city.make()
        self.netns = self.space.path
        host = town.city.host
        host.run(["ip", "link", "add", f"v{last}", "type", "veth", "peer", "name", "eth0", "netns", self.space.path])
        host.run(["ip", "link", "set", f"v{last}", "master", "br0", "up"])
        self.space.run(["ip", "addr", "add", f"10.1.0.{last}/24", "dev", "eth0"])
        self.space.run(["ip", "link", "set", "eth0", "up"])
        self.space.run(["ip", "route", "add", "default", "via", "10.1.0.1"])
        self.previous: dict[str, Any] = {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": f"v{last}"}, {"name": "eth0", "sandbox": self.netns, "mac": "0a:00:00:00:00:01"}],
            "ips": [{"address": f"10.1.0.{last}/24", "gateway": "10.1.0.1", "interface": 1}],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dns": {},
        }

    def call(self, command: str, netns: str | None = None, network: str = "mynet", **more: Any) -> Answer:
        return self.town.call(
            command,
            {"name": network, "prevResult": self.previous, **self.keys, **more},
            CNI_CONTAINERID=self.id,
            CNI_NETNS=self.netns if netns is None else netns,
            CNI_IFNAME="eth0",
            CNI_ARGS=self.args,
        )

    def add(self, **more: Any) -> Any:
        answer = self.call("ADD", **more)
        assert answer.status == 0, answer.stdout
        return json.loads(answer.stdout)

    def error(self, command: str, **more: Any) -> str:
        answer = self.call(command, **more)
        assert answer.status == 1, command
        return str(json.loads(answer.stdout)["msg"])

    def ask(self, name: str, kind: str = "A", **options: Any) -> list[str] | str:
        """At the port every program asks at."""
        return super().ask(name, kind, port=53, **options)

    def rules(self) -> str:
        return str(self.space.run(["nft", "list", "ruleset"]).stdout)


class Town:
    """The city with plugins on it."""

    def __init__(self, city: City) -> None:
        self.city = city
        self.namespace = city.host.namespace()
        self.settings = Settings(run_dir=city.run_dir)
        self.firewall = Firewall(self.namespace, city.run_dir)
        self.state = city.directory / "containerd"

    def call(self, command: str, config: Mapping[str, Any], **environment: str) -> Answer:
        whole = {"cniVersion": "1.0.0", "type": "dnsname", "containerdState": str(self.state), **config}
        variables = {"CNI_COMMAND": command, "CNI_PATH": "/opt/cni/bin", **environment}
        host = Host(self.namespace, self.firewall, Namespace.open, self.settings)
        return serve(load("dnsname"), variables, lambda: json.dumps(whole).encode(), host)

    def nerdctl(self, name: str, resolv_conf: str, hostname: str = "") -> str:
        """What nerdctl keeps about a container; its CNI id."""
        own = HEX.replace("c", f"{len(os.listdir(self.state)) + 1:x}") if self.state.exists() else HEX
        bundle = self.state / "io.containerd.runtime.v2.task" / "default" / own
        store = self.city.directory / "nerdctl" / own
        for directory in (bundle, store):
            directory.mkdir(parents=True)
        (store / "resolv.conf").write_text(resolv_conf)
        annotations = {"nerdctl/name": name, "nerdctl/state-dir": str(store)}
        (bundle / "config.json").write_text(json.dumps({"hostname": hostname, "annotations": annotations}))
        return f"default-{own}"

    def notes(self) -> list[str]:
        return self.city.store.names()

    def close(self) -> None:
        self.firewall.close()
        self.city.close()


@pytest.fixture
def town(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Town]:
    made = Town(City(netns, tmp_path))
    yield made
    made.close()


def test_podmans_containers_find_each_other(town: Town) -> None:
    upstream = town.city.upstream()
    podman = {"domainName": "dns.podman"}
    aliases = {"runtimeConfig": {"aliases": {"mynet": ["shop", HEX[:12]], "other": ["elsewhere"]}}}
    web = Member(town, HEX, 2, f"{PODMAN}web", **podman, **aliases)
    client = Member(town, HEX[::-1], 3, f"{PODMAN}client", **podman)
    for each in (web, client):
        result = each.add()
        assert result["dns"] == {"nameservers": ["127.0.0.11"], "search": ["dns.podman"]}
        assert {**result, "dns": {}} == each.previous
    for name in ("web", "shop", HEX[:12], "web.mynet", "web.dns.podman"):
        for tcp in (False, True):
            assert client.ask(name, tcp=tcp) == ["10.1.0.2"]
    assert web.ask("client") == ["10.1.0.3"]
    assert upstream.asked == []
    assert client.ask("elsewhere") == ["198.51.100.2"]
    # only 127.0.0.11 is ours
    client.space.run(["ip", "link", "set", "lo", "up"])
    assert client.ask("web", server="192.0.2.2") == ["198.51.100.2"]
    assert upstream.asked[-1] == ("web", "10.1.0.3", "udp")


def test_nerdctls_containers_are_found_with_their_resolv_conf_untouched(town: Town) -> None:
    listed, other = town.city.upstream(2), town.city.upstream(3)
    web = Member(town, town.nerdctl("web", "nameserver 192.0.2.2\n", "web-host"), 2)
    client = Member(town, HEX, 3, f"{PODMAN}client")
    assert "dns" not in web.add()
    client.add()
    for name in ("web", "web-host", "web.mynet"):
        assert client.ask(name) == ["10.1.0.2"]
    for tcp in (False, True):
        assert web.ask("client", server="192.0.2.2", tcp=tcp) == ["10.1.0.3"]
        assert web.ask("client", tcp=tcp) == ["10.1.0.3"]
    assert listed.asked == []
    # the rest goes where it would have gone, from inside
    assert web.ask("a.example", server="192.0.2.2") == ["198.51.100.2"]
    assert listed.asked == [("a.example", "10.1.0.2", "udp")]
    # and what is asked of others is not ours
    assert web.ask("client", server="192.0.2.3") == ["198.51.100.3"]
    assert other.asked == [("client", "10.1.0.2", "udp")]


def with_ipv6(member: Member, last: int) -> Member:
    """The container, with an IPv6 address and a way out."""
    member.space.run(["ip", "addr", "add", f"fd01::{last}/64", "dev", "eth0", "nodad"])
    member.space.run(["ip", "route", "add", "default", "via", "fd01::1"])
    return member


def test_questions_to_ipv6_servers_are_answered(town: Town) -> None:
    """resolv.conf, untouched, names a server with an IPv6 address (contract docker 2.1 for others' engines)."""
    town.city.host.run(["ip", "addr", "add", "fd01::1/64", "dev", "br0", "nodad"])
    web = with_ipv6(Member(town, town.nerdctl("web", "nameserver 2001:db8::53\n"), 2), 2)
    client = with_ipv6(Member(town, town.nerdctl("client", "nameserver 192.0.2.3\nnameserver 2001:db8::53\n"), 3), 3)
    other = with_ipv6(Member(town, "other", 4), 4)
    for each in (web, client, other):
        each.add()
        assert each.call("CHECK").status == 0
    for asker in (web, client, other):
        for tcp in (False, True):
            assert asker.ask("web", server="2001:db8::53", tcp=tcp) == ["10.1.0.2"]
    assert client.ask("client", server="192.0.2.3") == ["10.1.0.3"]
    for server in ("192.0.2.3", "2001:db8::53"):
        for answers in client.at_once(town.city, [("web", "A"), ("web", "AAAA"), ("client", "A")] * 15, server, 53):
            texts = [[str(item) for each in answer.answer for item in each] for answer in answers]
            assert texts == [["10.1.0.2"], [], ["10.1.0.3"]] * 15
    # of others every question but to loopback, of these what their resolv.conf names
    assert other.ask("web", server="2001:db8::54") == ["10.1.0.2"]
    assert "2001:db8::54" not in client.rules()
    town.city.process.kill()
    town.city.process = town.city.start()
    assert web.ask("client", server="2001:db8::53") == ["10.1.0.3"]
    client.space.run(["nft", "delete", "table", "ip6", "pynet_dns"])
    assert "port 53 is not redirected" in client.error("CHECK")
    for each in (web, client, other):
        assert each.call("DEL").status == 0
        assert "pynet_dns" not in each.rules()


def test_without_ipv6_nothing_of_it_is_made(town: Town) -> None:
    web = Member(town, town.nerdctl("web", "nameserver 2001:db8::53\nnameserver 192.0.2.3\n"), 2)
    web.space.run(["sh", "-ec", "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $f; done"])
    web.add()
    assert "table ip6" not in web.rules()
    assert web.ask("web", server="192.0.2.3") == ["10.1.0.2"]
    assert web.call("CHECK").status == 0


def test_a_port_taken_in_one_family_only_is_passed_over(town: Town) -> None:
    web = with_ipv6(Member(town, town.nerdctl("web", "nameserver 2001:db8::53\n"), 2), 2)
    web.space.run(["ip", "link", "set", "lo", "up"])
    with web.space.inside():
        taken = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with taken:
        taken.bind(("::1", PORT))
        web.add()
        assert str(PORT) not in web.rules()
        assert web.ask("web", server="2001:db8::53") == ["10.1.0.2"]


def test_of_others_every_question_but_to_loopback_is_redirected(town: Town) -> None:
    upstream = town.city.upstream()
    task = Member(town, "default-task", 2)
    task.add()
    assert task.ask("task", server="203.0.113.9") == ["10.1.0.2"]
    assert task.ask("a.example", server="203.0.113.9") == ["198.51.100.2"]
    assert upstream.asked == [("a.example", "192.0.2.1", "udp")]
    with pytest.raises(ConnectionRefusedError):
        task.ask("task", server="127.0.0.1")


def test_clusters_keep_their_resolvers(town: Town) -> None:
    pod = Member(town, HEX, 2, "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;K8S_POD_INFRA_CONTAINER_ID=x;IgnoreUnknown=true")
    pod.add()
    assert "203" not in pod.rules()
    assert pod.ask("pod") == ["10.1.0.2"]
    assert "!= 127.0.0.0/8" not in pod.rules()


def test_del_and_its_ways(town: Town) -> None:
    upstream = town.city.upstream()
    web, client = Member(town, "default-web", 2), Member(town, "default-client", 3)
    before = (web.rules(), town.notes())
    for way in ("plain", "twice", "empty", "gone"):
        web.add()
        client.add()
        assert client.ask("web") == ["10.1.0.2"]
        if way == "gone":
            web.space.close()
        for _ in range(2 if way == "twice" else 1):
            answer = web.call("DEL", netns="" if way == "empty" else None)
            assert (answer.status, answer.stdout, answer.stderr) == (0, b"", b"")
        assert town.city.eventually(lambda: client.ask("web") == ["198.51.100.2"])
        assert client.call("DEL").status == 0
        assert town.notes() == before[1]
        if way in ("plain", "twice"):
            assert web.rules() == before[0]
    assert upstream.asked


def test_add_twice_is_as_once_and_a_new_start_replaces_the_old(town: Town) -> None:
    web = Member(town, "default-web", 2)
    web.add()
    rules, notes = web.rules(), town.notes()
    web.add()
    assert (web.rules(), town.notes()) == (rules, notes)
    again = Member(town, "default-web", 3)
    again.add()
    assert len(town.notes()) == 1
    assert again.ask("web") == ["10.1.0.3"]


def test_a_second_network_shares_the_resolver(town: Town) -> None:
    web = Member(town, "default-web", 2)
    web.add()
    web.add(network="other")
    ports = {found.port for found in map(town.city.store.read, town.notes()) if found is not None}
    assert (len(town.notes()), len(ports)) == (2, 1)
    assert web.ask("web.other") == ["10.1.0.2"]
    assert web.call("DEL").status == 0
    assert web.ask("web.other") == ["10.1.0.2"]
    assert web.call("DEL", network="other").status == 0
    assert "pynet_dns" not in web.rules()


def test_check(town: Town) -> None:
    web = Member(town, "default-web", 2)
    assert web.error("CHECK") == "no names are noted for eth0"
    web.add()
    assert web.call("CHECK").status == 0
    web.previous["ips"][0]["address"] = "10.1.0.9/24"
    assert web.error("CHECK") == "the names or addresses noted for eth0 are others"
    web.previous["ips"][0]["address"] = "10.1.0.2/24"
    web.space.run(["nft", "delete", "table", "ip", "pynet_dns"])
    assert "port 53 is not redirected" in web.error("CHECK")
    web.add()
    town.city.process.kill()
    assert "no name server" in web.error("CHECK")


def test_gc_and_status(town: Town) -> None:
    web, client = Member(town, "default-web", 2), Member(town, "default-client", 3)
    for each in (web, client):
        each.add()
    valid = [{"containerID": client.id, "ifname": "eth0"}]
    config = {"name": "mynet", "cniVersion": "1.1.0", "cni.dev/valid-attachments": valid}
    assert town.call("GC", {**config, "name": "other"}).status == 0
    assert len(town.notes()) == 2
    assert town.call("GC", config).status == 0
    assert len(town.notes()) == 1
    assert client.ask("client") == ["10.1.0.3"]
    assert town.call("STATUS", {"name": "mynet", "cniVersion": "1.1.0"}).status == 0
    town.city.process.stop()
    refused = json.loads(town.call("STATUS", {"name": "mynet", "cniVersion": "1.1.0"}).stdout)
    assert refused["code"] == 51
    assert "no name server" in refused["msg"]


def test_without_a_name_server_the_container_keeps_its_resolver(town: Town) -> None:
    town.city.process.stop()
    web = Member(town, HEX, 2, f"{PODMAN}web", domainName="dns.podman")
    rules = web.rules()
    answer = web.call("ADD")
    assert answer.status == 0
    assert "dns" not in json.loads(answer.stdout)
    assert b"names will not resolve in this container" in answer.stderr
    assert web.rules() == rules
    assert "was attached without a name server" in web.error("CHECK")
    # others find it as soon as there is one
    town.city.process = town.city.start()
    client = Member(town, "default-client", 3)
    client.add()
    assert client.ask("web") == ["10.1.0.2"]


def test_a_namespace_the_name_server_cannot_reach_keeps_its_resolver(town: Town) -> None:
    """The path means something else to it, as a path from another mount or process namespace would."""
    web = Member(town, "default-web", 2)
    web.netns = f"/proc/self/fd/{web.space.fd}"
    web.previous["interfaces"][1]["sandbox"] = web.netns
    rules = web.rules()
    answer = web.call("ADD")
    assert answer.status == 0
    assert b"names will not resolve in this container" in answer.stderr
    assert web.rules() == rules
    client = Member(town, "default-client", 3)
    client.add()
    assert client.ask("web") == ["10.1.0.2"]


def test_a_name_server_that_is_just_being_started_anew_is_waited_for(town: Town) -> None:
    town.city.process.kill()
    web = Member(town, "default-web", 2)
    program = ["/usr/bin/python3", "-m", "netd.daemon", "dns", "--run-dir", town.city.run_dir]
    other = subprocess.Popen(program, cwd=Path(__file__).resolve().parents[2], stderr=subprocess.DEVNULL)
    try:
        assert web.call("ADD").stderr == b""
        assert web.ask("web") == ["10.1.0.2"]
    finally:
        other.kill()
        other.wait()


def test_a_failed_add_leaves_nothing(town: Town) -> None:
    web = Member(town, "default-web", 2)
    before = web.rules()
    for config, message in (
        ({"redirect": "some"}, "redirect"),
        ({"remoteServers": ["dns"]}, "remoteServers"),
        ({"domainName": "a..b"}, "domainName"),
        ({"runtimeConfig": {"aliases": {"mynet": ["a b"]}}}, "aliases"),
        ({"prevResult": None}, "prevResult"),
    ):
        assert message in web.error("ADD", **config)
        assert (web.rules(), town.notes()) == (before, [])


def test_internal_networks(town: Town) -> None:
    upstream = town.city.upstream()
    web = Member(town, "default-web", 2)
    del web.previous["routes"]
    web.add()
    assert web.ask("web") == ["10.1.0.2"]
    assert web.ask("a.example") == "SERVFAIL"
    assert web.ask("host.docker.internal") == "SERVFAIL"
    assert upstream.asked == []
