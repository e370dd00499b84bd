"""iptables-save after us is iptables-save after the reference plugins, line by line."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reference_plugins
from firewall_spaces import Space

from pycni.firewall.facts import Admit, Fact, Isolate, Mapping, Masquerade, Owner, Publish
from pycni.firewall.firewall import IPTABLES, Firewall
from pycni.record import Record
from pycni.spec.address import Address, Prefix


class Case(Record):
    """One container and what is asked for it, in both vocabularies' terms."""

    network: str
    container_id: str
    addresses: tuple[str, ...]
    ports: tuple[tuple[str, int, int, str], ...] = ()
    portmap: tuple[tuple[str, Any], ...] = ()
    policy: str = ""
    admin_chain: str = "CNI-ADMIN"

    @property
    def owner(self) -> Owner:
        return Owner(self.network, self.container_id, "eth0")

    @property
    def prefixes(self) -> tuple[Prefix, ...]:
        return tuple(Prefix.parse(text) for text in self.addresses)

    def portmap_config(self, previous: dict[str, Any]) -> dict[str, Any]:
        mappings = [
            {"protocol": protocol, "hostPort": host, "containerPort": container, "hostIP": address}
            for protocol, host, container, address in self.ports
        ]
        return {
            "cniVersion": "1.0.0",
            "name": self.network,
            "type": "portmap",
            "backend": "iptables",
            **dict(self.portmap),
            "runtimeConfig": {"portMappings": mappings},
            "prevResult": previous,
        }

    def firewall_config(self, previous: dict[str, Any]) -> dict[str, Any]:
        return {
            "cniVersion": "1.0.0",
            "name": self.network,
            "type": "firewall",
            "backend": "iptables",
            "ingressPolicy": self.policy,
            "iptablesAdminChainName": self.admin_chain,
            "prevResult": previous,
        }

    @property
    def previous(self) -> dict[str, Any]:
        return {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "br0", "mac": "02:00:00:00:00:01"}, {"name": "eth0", "sandbox": "/some/netns"}],
            "ips": [{"address": address, "interface": 1} for address in self.addresses],
        }

    def publishes(self) -> tuple[Fact, ...]:
        options = dict(self.portmap)
        mappings = tuple(
            Mapping(protocol, host, container, Address.parse(address) if address else None)
            for protocol, host, container, address in self.ports
        )
        if not mappings:
            return ()
        return tuple(
            Publish(
                prefix,
                mappings,
                snat=options.get("snat", True),
                masq_all=options.get("masqAll", False),
                mark_bit=options.get("markMasqBit", 13),
                external_mark_chain=options.get("externalSetMarkChain", ""),
                conditions=tuple(options.get(f"conditionsV{prefix.family}", ())),
            )
            for prefix in self.prefixes
        )

    def admissions(self) -> tuple[Fact, ...]:
        admit: tuple[Fact, ...] = (Admit(tuple(prefix.address for prefix in self.prefixes), self.admin_chain),)
        if self.policy not in ("same-bridge", "isolated"):
            return admit
        return admit + tuple(Isolate("br0", self.policy, prefix.family) for prefix in self.prefixes)


V4 = ("10.1.2.2/24",)
V6 = ("fd00:1::2/64",)
CASES = {
    "tcp": Case("pnet", "c1", V4, (("tcp", 8080, 80, ""),)),
    "contract 4.8": Case(
        "pnet",
        "c1",
        V4 + V6,
        (
            ("tcp", 8080, 80, ""),
            ("udp", 53, 5353, "10.1.2.1"),
            ("tcp", 54, 54, "::1"),
            ("sctp", 99, 99, ""),
        ),
        policy="same-bridge",
    ),
    "v6 only": Case("n6", "c2", V6, (("tcp", 80, 8080, ""), ("udp", 81, 81, "fd00:9::1")), policy="isolated"),
    "unspecified host addresses": Case(
        "net.a", "c-3", V4 + V6, (("tcp", 1, 2, "0.0.0.0"), ("udp", 3, 4, "::")), policy="open"
    ),
    "33 ports, three groups": Case("many", "c4", V4, tuple(("tcp", 1000 + n, 80, "") for n in range(33))),
    "no snat": Case("nosnat", "c5", V4 + V6, (("tcp", 80, 80, ""),), (("snat", False),)),
    "masqAll": Case("masqall", "c6", V4 + V6, (("tcp", 80, 80, ""), ("udp", 80, 80, "")), (("masqAll", True),)),
    "mark bit": Case("mark", "c7", V4, (("tcp", 80, 80, ""),), (("markMasqBit", 0),)),
    "highest mark bit": Case("mark", "c8", V4, (("tcp", 80, 80, ""),), (("markMasqBit", 31),)),
    "external chain": Case("ext", "c9", V4, (("tcp", 80, 80, ""),), (("externalSetMarkChain", "KUBE-MARK-MASQ"),)),
    "conditions": Case(
        "cond",
        "c10",
        V4 + V6,
        (("tcp", 80, 80, ""), ("udp", 80, 80, "")),
        (("conditionsV4", ["!", "-s", "192.0.2.0/24"]), ("conditionsV6", ["!", "-s", "2001:db8::/32"])),
    ),
    "upper case protocol": Case("upper", "c11", V4, (("TCP", 80, 80, ""), ("udp", 81, 81, ""), ("tcp", 82, 82, ""))),
    "long id": Case("n" * 60, "c" * 220, V4, (("tcp", 80, 80, ""),)),
    "odd subnets": Case("odd", "c12", ("10.9.8.7/13", "fd00:1:2:3:4::5/75"), (("tcp", 80, 80, ""),)),
    "host subnets": Case("odd", "c13", ("10.9.8.7/32", "fd00::5/128"), (("tcp", 80, 80, ""),)),
    "admin chain": Case("adm", "c14", V4, policy="isolated", admin_chain="OPERATOR"),
    "four addresses": Case("four", "c15", ("10.1.2.2/24", "fd00:1::2/64", "10.3.0.9/16", "fd00:3::9/48")),
}

WORDS = "abcdefghijklmnopqrstuvwxyz0123456789"


def drawn(seed: int) -> Case:
    """A random case, the same for the same seed."""
    rng = random.Random(seed)
    v4 = f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}/{rng.randint(8, 32)}"
    v6 = f"fd00:{rng.randrange(65536):x}::{rng.randrange(1, 65536):x}/{rng.randint(48, 128)}"
    hosts = ["", "", "", "0.0.0.0", "::", "192.0.2.1", "2001:db8::1"]
    ports = [
        (rng.choice(["tcp", "udp", "sctp"]), port, rng.randint(1, 65535), rng.choice(hosts))
        for port in rng.sample(range(1, 65536), rng.choice([1, 2, 3, 16, 33]))
    ]
    name = "".join(rng.choices(WORDS, k=rng.randint(1, 40)))
    options = rng.choice([(), (("snat", False),), (("masqAll", True),)])
    return Case(
        name,
        "".join(rng.choices(WORDS, k=rng.choice([1, 12, 64, 201, 250]))),
        rng.choice([(v4,), (v6,), (v4, v6)]),
        tuple(ports),
        options,
        rng.choice(["", "open", "same-bridge", "isolated"]),
    )


ALL = {**CASES, **{f"seed {seed}": drawn(seed) for seed in range(12)}}


@pytest.fixture
def spaces() -> Iterator[tuple[Space, Space]]:
    with Space() as reference, Space() as ours:
        for space in (reference, ours):
            space.sh("for p in iptables ip6tables; do $p -w -t nat -N KUBE-MARK-MASQ; done")
        yield reference, ours


def reference_call(space: Space, case: Case, command: str) -> None:
    if case.ports:
        config = case.portmap_config(case.previous)
        reference_plugins.call(space, "portmap", command, case.container_id, config, "/some/netns")
    config = case.firewall_config(case.previous)
    reference_plugins.call(space, "firewall", command, case.container_id, config, "/some/netns")


def install(firewall: Firewall, case: Case) -> None:
    if case.ports:
        firewall.install(case.owner, "portmap", IPTABLES, case.publishes())
    firewall.install(case.owner, "firewall", IPTABLES, case.admissions())


@pytest.mark.parametrize("name", ALL)
def test_listing_equals_the_references(name: str, spaces: tuple[Space, Space], tmp_path: Path) -> None:
    reference, ours = spaces
    case = ALL[name]
    firewall = Firewall(ours, str(tmp_path))  # type: ignore[arg-type]
    reference_call(reference, case, "ADD")
    install(firewall, case)
    wanted = reference.saved()
    assert ours.saved() == wanted
    install(firewall, case)
    assert ours.saved() == wanted, "a repeated ADD must add nothing"
    firewall.close()


@pytest.mark.parametrize("name", ALL)
def test_each_removes_the_others_rules(name: str, spaces: tuple[Space, Space], tmp_path: Path) -> None:
    """After an upgrade or a downgrade the other implementation's DEL and CHECK meet these rules."""
    reference, ours = spaces
    case = ALL[name]
    firewall = Firewall(ours, str(tmp_path))  # type: ignore[arg-type]
    install(firewall, case)
    reference_call(ours, case, "CHECK")
    reference_call(ours, case, "DEL")
    reference_call(reference, case, "ADD")
    on_reference = Firewall(reference, str(tmp_path))  # type: ignore[arg-type]
    if case.ports and "conditions" not in name:
        assert on_reference.missing(case.owner, "portmap", IPTABLES, case.publishes()) == []
    assert on_reference.missing(case.owner, "firewall", IPTABLES, case.admissions()) == []
    on_reference.remove(case.owner, "portmap")
    on_reference.remove(case.owner, "firewall", case.admissions())
    for lines in (*ours.saved().values(), *reference.saved().values()):
        assert not [line for line in lines if "CNI-DN-" in line or "10.1.2" in line or case.container_id in line]
    assert not [line for lines in reference.saved().values() for line in lines if "ISOLATION" in line]
    firewall.close()
    on_reference.close()


MASQUERADED = {
    "v4": Case("mynet", "c1", ("10.1.2.2/24",)),
    "v6": Case("mynet6", "c1", ("fd00:5::2/64",)),
    "dual": Case("dual", "x" * 64, ("10.77.0.2/15", "fd00:6::2/100")),
    "long comment": Case("l" * 100, "y" * 200, ("10.8.0.2/30",)),
}


@pytest.mark.parametrize("name", MASQUERADED)
def test_masquerade_equals_the_references(name: str, tmp_path: Path) -> None:
    case = MASQUERADED[name]
    config = {
        "cniVersion": "1.0.0",
        "name": case.network,
        "type": "bridge",
        "bridge": "br0",
        "ipMasq": True,
        "ipMasqBackend": "iptables",
        "ipam": {
            "type": "host-local",
            "dataDir": str(tmp_path / "leases"),
            "ranges": [
                [{"subnet": str(prefix.network), "rangeStart": str(prefix.address)}] for prefix in case.prefixes
            ],
        },
    }
    facts = (Masquerade(case.prefixes),)
    with Space() as reference, Space() as ours, Space() as container:
        result = reference_plugins.call(reference, "bridge", "ADD", case.container_id, config, container.path)
        assert [each["address"] for each in result["ips"]] == list(case.addresses)
        firewall = Firewall(ours, str(tmp_path))  # type: ignore[arg-type]
        firewall.install(case.owner, "masquerade", IPTABLES, facts)
        assert ours.saved() == reference.saved()
        assert firewall.missing(case.owner, "masquerade", IPTABLES, facts) == []
        on_reference = Firewall(reference, str(tmp_path))  # type: ignore[arg-type]
        for each in (firewall, on_reference):
            each.remove(case.owner, "masquerade")
            each.remove(case.owner, "masquerade")
            each.close()
        for space in (ours, reference):
            assert not [line for lines in space.saved().values() for line in lines if "-A" in line or "CNI-" in line]


def test_masquerade_removed_by_the_reference(tmp_path: Path) -> None:
    """A container whose rules we made goes by the reference's DEL."""
    case = MASQUERADED["dual"]
    with Space() as host, Space() as container:
        firewall = Firewall(host, str(tmp_path))  # type: ignore[arg-type]
        firewall.install(case.owner, "masquerade", IPTABLES, (Masquerade(case.prefixes),))
        container.sh("ip link add eth0 type veth peer name peer0")
        for address in case.addresses:
            container.sh(f"ip addr add {address} dev eth0")
        ranges = [[{"subnet": str(prefix.network)}] for prefix in case.prefixes]
        ipam = {"type": "host-local", "dataDir": str(tmp_path / "leases"), "ranges": ranges}
        config = {"cniVersion": "1.0.0", "name": case.network, "type": "bridge", "ipMasq": True, "ipam": ipam}
        reference_plugins.call(host, "bridge", "DEL", case.container_id, config, container.path)
        assert not [line for lines in host.saved().values() for line in lines if "-A" in line or "CNI-" in line]
        firewall.close()
