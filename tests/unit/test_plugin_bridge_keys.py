"""bridge: its keys, their defaults, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from bridge_keys import keys

from pycni.spec.errors import CniError, ConfigError
from pycni_plugins.bridge.config import Bridge


def test_defaults() -> None:
    assert keys() == Bridge("cni0", False, False, False, False, "", 0, False, False, False, True, False, None, False)
    assert keys(bridge="", ipam={}) == keys()


@pytest.mark.parametrize(
    ("values", "vlan", "trunk", "filtering"),
    [
        ({"vlan": 7}, 7, (), True),
        ({"vlan": 0}, 0, (), False),
        ({"vlanTrunk": []}, 0, (), True),
        ({"vlanTrunk": None}, 0, (), False),
        ({"vlanTrunk": [{}]}, 0, (), True),
        ({"vlanTrunk": [{"minID": 3, "maxID": 5, "id": 9}, {"id": 4}, {"ID": 1}]}, 0, (1, 3, 4, 5, 9), True),
        ({"VLAN": 4094, "VlanTrunk": [{"id": 4094}]}, 4094, (4094,), True),
    ],
)
def test_vlans(values: dict[str, Any], vlan: int, trunk: tuple[int, ...], filtering: bool) -> None:
    found = keys(**values)
    assert (found.vlan, found.trunk, found.filtering) == (vlan, trunk, filtering)
    assert not found.keep_default_vlan and not found.spoofcheck


def test_the_first_mistake_is_the_references() -> None:
    """VLANs, then CNI_ARGS, then what excludes what (contract 2.1)."""
    wrong: dict[str, Any] = {"hairpinMode": True, "promiscMode": True}
    texts = []
    for more, cni_args in (
        ({"disableContainerInterface": True, "ipam": {"type": "x"}, "vlanTrunk": [{"id": 0}], "vlan": -1}, "BAD=1"),
        ({"disableContainerInterface": True, "ipam": {"type": "x"}, "vlanTrunk": [{"id": 0}]}, "BAD=1"),
        ({"disableContainerInterface": True, "ipam": {"type": "x"}}, "BAD=1"),
        ({"disableContainerInterface": True, "ipam": {"type": "x"}}, ""),
        ({}, ""),
    ):
        with pytest.raises(CniError) as caught:
            keys(cni_args, **wrong, **more)
        texts.append(caught.value.msg)
    assert [text.partition(" ")[0] for text in texts] == ["invalid", "incorrect", "ARGS:", "cannot", "cannot"]
    assert "IPAM" in texts[3] and "hairpin" in texts[4]


def test_a_default_gateway_is_a_gateway() -> None:
    assert keys(isDefaultGateway=True).gateway
    assert not keys(isGateway=True).default_gateway


@pytest.mark.parametrize(
    ("sources", "last"),
    [
        ((1, 0, 0), 1),
        ((1, 2, 0), 2),
        ((1, 2, 3), 3),
        ((0, 2, 3), 3),
        ((1, 0, 3), 3),
    ],
)
def test_the_mac_comes_from_the_last_source(sources: tuple[int, int, int], last: int) -> None:
    """CNI_ARGS, then args.cni, then runtimeConfig (contract 2.1)."""
    given_args, args, runtime = (f"0a:00:00:00:00:0{number}" if number else "" for number in sources)
    found = keys(
        f"MAC={given_args}" if given_args else "",
        args={"cni": {"mac": args}},
        RuntimeConfig={"mac": runtime},
    )
    assert found.mac == bytes.fromhex(f"0a000000000{last}")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hairpinMode": True, "promiscMode": True}, "cannot set hairpin mode and promiscuous mode at the same time"),
        ({"vlan": -1}, "invalid VLAN ID -1 (must be between 0 and 4094)"),
        ({"vlan": 4095}, "invalid VLAN ID 4095 (must be between 0 and 4094)"),
        (
            {"vlanTrunk": [{"minID": 1}]},
            "minID and maxID should be configured simultaneously, maxID is missing",
        ),
        (
            {"vlanTrunk": [{"maxID": 1}]},
            "minID and maxID should be configured simultaneously, minID is missing",
        ),
        ({"vlanTrunk": [{"minID": 0, "maxID": 9}]}, "incorrect trunk minID parameter"),
        ({"vlanTrunk": [{"minID": 1, "maxID": 4095}]}, "incorrect trunk maxID parameter"),
        ({"vlanTrunk": [{"id": 4095}]}, "incorrect trunk id parameter"),
        ({"vlanTrunk": [{"id": 0}]}, "incorrect trunk id parameter"),
        ({"vlanTrunk": [{"minID": 9, "maxID": 8, "id": 0}]}, "minID is greater than maxID in trunk parameter"),
        (
            {"disableContainerInterface": True, "ipam": {"type": "host-local"}},
            "cannot use IPAM when DisableContainerInterface flag is set",
        ),
        ({"ipMasq": True, "ipMasqBackend": "pf"}, 'unknown ipmasq backend "pf"'),
        ({"runtimeConfig": {"mac": "xx"}}, "failed to make veth pair: address xx: invalid MAC address"),
    ],
)
def test_refused_keys(values: dict[str, Any], message: str) -> None:
    with pytest.raises(CniError) as caught:
        keys(**values)
    assert caught.value.msg == message


@pytest.mark.parametrize("name", ["a/b", "..", ".", "a b", "x" * 16, "a:b", "é" * 8])
def test_a_bridges_name_must_be_an_interface_name(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^invalid configuration: key 'bridge': .* is not an interface name$"):
        keys(bridge=name)
