"""tap on the real kernel, executed as a runtime does, through an engine and without: frames that whoever opens the
device sends and receives, who may open it, and what stays."""

from __future__ import annotations

import fcntl
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_callers import OURS, Caller

TUNSETIFF = 0x400454CA
TAP_WITHOUT_INFO = 0x0002 | 0x1000
MULTI_QUEUE = 0x0100
GUEST_MAC = bytes.fromhex("0a0000000099")
_OPENER = """
import fcntl, os, struct, sys
file = os.open("/dev/net/tun", os.O_RDWR)
os.setgroups([])
os.setresgid(4711, 4711, 4711)
os.setresuid(*3 * (int(sys.argv[1]),))
fcntl.ioctl(file, 0x400454CA, struct.pack("=16sH22x", b"eth0", 0x1002))
"""


class Emulator:
    """Who opens the tap of a container, as a virtual machine's emulator does."""

    def __init__(self, space: Any, name: str = "eth0", flags: int = TAP_WITHOUT_INFO) -> None:
        with space.inside():
            self.file = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(self.file, TUNSETIFF, struct.pack("=16sH22x", name.encode(), flags))

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.file)

    def resolve(self, own: str, target: str, seconds: float = 5.0) -> bytes | None:
        """The hardware address that answers for `target`, None when nobody does."""
        packed = [bytes(map(int, each.split("."))) for each in (own, target)]
        question = b"\xff" * 6 + GUEST_MAC + bytes.fromhex("0806000108000604 0001".replace(" ", ""))
        question += GUEST_MAC + packed[0] + bytes(6) + packed[1]
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            os.write(self.file, question)
            pause = time.monotonic() + min(0.2, left)
            while (rest := pause - time.monotonic()) > 0 and select.select([self.file], [], [], rest)[0]:
                frame = os.read(self.file, 2048)
                if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2" and frame[28:32] == packed[1]:
                    return frame[22:28]
        return None


class Stall:
    """A caller, a container of it, and how tap is called."""

    def __init__(self, caller: Caller, data: Path) -> None:
        self.caller = caller
        self.container = caller.make()
        self.data = data / "leases"
        self.ipam = {"type": "host-local", "dataDir": str(self.data), "ranges": [[{"subnet": "10.1.2.0/24"}]]}

    def config(self, **keys: Any) -> dict[str, Any]:
        return {"cniVersion": "1.1.0", "name": "net", "type": "tap", **keys}

    def add(self, **keys: Any) -> Any:
        return self.caller.ok("tap", "ADD", self.config(**keys), self.container.path)

    def links(self) -> dict[str, Any]:
        return {each["ifname"]: each for each in json.loads(self.container.run(["ip", "-j", "-d", "link"]).stdout)}


@pytest.fixture(params=OURS)
def stall(request: pytest.FixtureRequest, netns: Callable[[], Any], tmp_path: Path) -> Iterator[Stall]:
    caller = Caller(str(request.param), netns, tmp_path)
    yield Stall(caller, tmp_path)
    caller.close()


def test_who_opens_it_talks_to_the_container(stall: Stall) -> None:
    result = stall.add(ipam=stall.ipam)
    assert [each["address"] for each in result["ips"]] == ["10.1.2.2/24"]
    mac = bytes.fromhex(result["interfaces"][0]["mac"].replace(":", ""))
    for _ in range(2):  # it stays when it is closed
        with Emulator(stall.container) as emulator:
            assert emulator.resolve("10.1.2.9", "10.1.2.2") == mac
    stall.caller.ok("tap", "CHECK", stall.config(ipam=stall.ipam, prevResult=result), stall.container.path)


def test_a_port_of_a_bridge_in_the_container(stall: Stall) -> None:
    peer = stall.caller.make()
    run = stall.container.run
    run(["ip", "link", "add", "br0", "type", "bridge"])
    run(["ip", "link", "add", "v", "master", "br0", "type", "veth", "peer", "name", "w", "netns", peer.path])
    for name in ("br0", "v"):
        run(["ip", "link", "set", name, "up"])
    peer.run(["ip", "link", "set", "w", "address", "0a:00:00:00:00:77", "up"])
    peer.run(["ip", "addr", "add", "10.9.0.1/24", "dev", "w"])
    stall.add(bridge="br0")
    assert stall.links()["eth0"]["master"] == "br0"
    with Emulator(stall.container) as emulator:
        assert emulator.resolve("10.9.0.2", "10.9.0.1") == bytes.fromhex("0a0000000077")


def test_several_queues(stall: Stall) -> None:
    stall.add(multiQueue=True)
    flags = TAP_WITHOUT_INFO | MULTI_QUEUE
    with Emulator(stall.container, flags=flags), Emulator(stall.container, flags=flags):
        assert stall.links()["eth0"]["linkinfo"]["info_data"]["numqueues"] == 2
    with pytest.raises(OSError, match="Invalid argument"):
        Emulator(stall.container)


@pytest.mark.parametrize(("user", "opens"), [(1234, True), (1235, False)])
def test_its_owner_need_not_be_root(stall: Stall, user: int, opens: bool) -> None:
    stall.add(owner=1234)
    command = [
        "/usr/bin/nsenter",
        f"--net={stall.container.path}",
        "--",
        sys.executable,
        "-I",
        "-c",
        _OPENER,
        str(user),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == opens, done.stderr
    assert opens or "Operation not permitted" in done.stderr


def test_ipv6_addresses_are_not_waited_for(stall: Stall) -> None:
    """Without a carrier their detection does not begin; the reference waits five seconds for it."""
    began = time.monotonic()
    result = stall.add(ipam={**stall.ipam, "ranges": [[{"subnet": "fd00:1::/64"}]]})
    assert time.monotonic() - began < 4
    assert result["ips"][0]["gateway"] == "fd00:1::1"


@pytest.mark.parametrize("way", ["as always", "twice", "empty netns", "netns gone", "open"])
def test_del_leaves_nothing(stall: Stall, way: str) -> None:
    config = stall.config(ipam=stall.ipam)
    stall.add(ipam=stall.ipam)
    path = stall.container.path
    opened = Emulator(stall.container) if way == "open" else None
    if way == "netns gone":
        stall.container.close()
    for _ in range(2 if way == "twice" else 1):
        stall.caller.ok("tap", "DEL", config, "" if way == "empty netns" else path)
    assert not list(stall.data.rglob("1*"))
    if way not in ("netns gone", "empty netns"):
        assert list(stall.links()) == ["lo"]
    if opened is not None:
        os.close(opened.file)


def test_a_failed_add_leaves_nothing(stall: Stall) -> None:
    for keys, text in (
        ({"bridge": "nowhere"}, "failed to get bridge nowhere: Link not found"),
        ({"ipam": {"type": "nowhere"}}, "failed to find plugin"),
        ({"mtu": 10}, "failed to change device eth0: invalid argument"),
        ({"mtu": -1}, "invalid configuration: key 'mtu': -1 is negative"),
    ):
        answer = stall.caller.error("tap", "ADD", stall.config(**keys), stall.container.path)
        assert answer["msg"].startswith(text)
        assert list(stall.links()) == ["lo"]
        stall.caller.ok("tap", "DEL", stall.config(**{**keys, "ipam": {}}), stall.container.path)


def test_gc_and_status(stall: Stall) -> None:
    config = stall.config(ipam=stall.ipam)
    stall.add(ipam=stall.ipam)
    stall.caller.ok("tap", "STATUS", config, "")
    stall.caller.ok("tap", "GC", {**config, "cni.dev/valid-attachments": []}, "")
    assert not list(stall.data.rglob("1*"))
    assert stall.caller.error("tap", "STATUS", stall.config(mac="zz"), "")["msg"].startswith("invalid args zz for MAC")
