"""ipvlan, vlan and dummy executed as a runtime does: an engine answers what an execution without one answers, whether
this kernel has their drivers or not.  tests/vm tests what they do where it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plugin_callers import OURS, Caller
from vm.twins import alike

PREVIOUS = {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "NETNS"}]}


@pytest.mark.parametrize("plugin", ["ipvlan", "vlan", "dummy"])
def test_an_engine_answers_the_same(netns: Callable[[], Any], tmp_path: Path, plugin: str) -> None:
    answers: dict[str, list[tuple[int, str]]] = {}
    left: dict[str, list[str]] = {}
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}]]}
    for way in OURS:
        caller = Caller(way, netns, tmp_path)
        try:
            space = caller.make()
            host, elsewhere = caller.host.namespace(), caller.make().namespace()
            host.create_veth("wan", "lan", elsewhere)
            leases = tmp_path / way / "leases"
            config = {"cniVersion": "1.1.0", "name": "net", "type": plugin, "master": "wan"}
            config["ipam"] = {**ipam, "dataDir": str(leases)}
            previous = json.loads(json.dumps(PREVIOUS).replace("NETNS", space.path))
            said = answers[way] = []
            for command, keys in (
                ("STATUS", {}),
                ("STATUS", {"master": "nowhere", "ipam": {"type": "nowhere"}}),
                ("CHECK", {"prevResult": previous}),
                ("ADD", {"master": "lo" if plugin != "dummy" else "", "vlanId": 4095, "ipam": {}}),
                ("ADD", {}),
                ("CHECK", {"prevResult": previous}),
                ("DEL", {}),
                ("DEL", {"master": "nowhere"}),
                ("GC", {"cni.dev/valid-attachments": []}),
            ):
                done = caller.call(plugin, command, {**config, **keys}, space.path)
                text = done.stdout.decode().replace(space.path, "NETNS").replace(str(caller.bin), "BIN")
                said.append((done.returncode, alike(text)))
            left[way] = [each.name for each in space.namespace().links()]
            left[way] += [each.name for each in leases.rglob("1*")]
        finally:
            caller.close()
    assert answers["engine"] == answers["in-process"]
    assert left["engine"] == left["in-process"] == ["lo"]
    assert [status for status, _ in answers["engine"]][-3:] == [0, 0, 0]
