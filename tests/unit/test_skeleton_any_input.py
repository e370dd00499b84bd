"""The dispatcher: whatever the configuration, a plugin answers with a result or an error object."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_machine import Machine
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

keys = st.sampled_from(
    [
        "name",
        "cniVersion",
        "type",
        "ipam",
        "prevResult",
        "runtimeConfig",
        "args",
        "dns",
        "bridge",
        "mtu",
        "vlan",
        "isGateway",
        "ipMasq",
        "sysctl",
        "mac",
        "promisc",
        "backend",
        "snat",
        "markMasqBit",
        "conditionsV4",
        "ingressPolicy",
        "cni.dev/valid-attachments",
        "routes",
        "ips",
        "interfaces",
        "address",
        "portMappings",
        "hostPort",
        "containerPort",
        "protocol",
        "hostIP",
        "subnet",
        "ranges",
        "cni",
        "dst",
        "gw",
        "scope",
        "txQLen",
        "dataDir",
    ]
)

scalars = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1,
        2**33,
        10**30,
        1.5,
        "",
        "x",
        "host-local",
        "10.1.2.3/24",
        "10.1.2.3",
        "::/0",
        "\x00",
        "\ud800",
        "nftables",
    ]
)

values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5), max_leaves=20
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plugin=st.sampled_from(["bridge", "host-local", "loopback", "portmap", "firewall", "tuning"]),
    command=st.sampled_from(["ADD", "DEL", "CHECK", "GC", "STATUS"]),
    config=st.dictionaries(keys, values, max_size=10),
)
def test_whatever_the_configuration_the_answer_is_a_result_or_an_error_object(
    plugin: str, command: str, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A traceback, or a changed machine after a failure, would be a defect."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    before = machine.state()
    data = str(machine.directory / "data")
    whole = {**config, "name": "n", "cniVersion": "1.1.0", "dataDir": data}
    if isinstance(whole.get("ipam"), dict):
        whole["ipam"] = {**whole["ipam"], "dataDir": data}
    answer = machine.call(plugin, command, whole)
    if answer.status:
        body = json.loads(answer.stdout)
        assert body["code"]
        assert body["msg"]
        if command == "ADD":
            assert machine.state() == before
    elif answer.stdout:
        assert command == "ADD"
        assert json.loads(answer.stdout)["cniVersion"] == "1.1.0"
