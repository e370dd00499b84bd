"""Times of the kernel part of an ADD and a DEL, in private namespaces: `.venv/bin/python tests/bench/kernel_links.py`.

Prints minimum and median of 200 rounds in milliseconds.  Needs root; touches nothing outside its own namespaces.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from pycni.kernel.libc import CLONE_NEWNET
from pycni.kernel.model import Link, Route
from pycni.kernel.namespace import TRASH_GROUP, Namespace
from pycni.spec.address import Address, Prefix

ROUNDS = 200
BATCH = 20

ADDRESS = Prefix.parse("10.1.2.3/24")
DEFAULT = Route(Prefix.parse("0.0.0.0/0"), Address.parse("10.1.2.1"))


def private() -> Namespace:
    """A namespace that exists as long as its descriptor: a child makes it, we open it, the child ends."""
    ready, made = os.pipe()
    stay, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(release)
        unshare()
        os.write(made, b"1")
        os.read(stay, 1)
        os._exit(0)
    os.read(ready, 1)
    namespace = Namespace.open(f"/proc/{pid}/ns/net")
    for fd in (ready, made, stay, release):
        os.close(fd)
    os.waitpid(pid, 0)
    return namespace


def unshare() -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        os._exit(1)


def main() -> None:
    host, container = private(), private()
    bridge = host.create_bridge("br0")
    host.set_link(bridge.index, up=True)
    times: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[[], object]) -> object:
        started = time.perf_counter()
        result = call()
        times.setdefault(name, []).append((time.perf_counter() - started) * 1e3)
        return result

    for turn in range(ROUNDS):
        _, link = timed(
            "create_veth", lambda turn=turn: host.create_veth(f"v{turn}", "eth0", container, master=bridge.index)
        )  # type: ignore[misc]
        assert isinstance(link, Link)
        timed("configure", lambda link=link: container.configure(link.index, (ADDRESS,), (DEFAULT,)))
        timed("sysctl read", lambda: container.read_sysctl("net/ipv4/conf/eth0/arp_notify"))
        timed("sysctl write", lambda: container.write_sysctl("net/ipv4/conf/eth0/arp_notify", "1"))
        timed("link", lambda: container.link("eth0"))
        timed("addresses", lambda link=link: container.addresses(link.index))
        timed("routes", lambda: container.routes(4))
        timed("conntrack flush", lambda: host.flush_udp_conntrack(4, (53,)))
        timed("retire", lambda link=link: host.retire(container, link))
        if turn % BATCH == BATCH - 1:
            timed(f"delete_group of {BATCH}", lambda: host.delete_group(TRASH_GROUP))
    times["link part of an ADD"] = [a + b for a, b in zip(times["create_veth"], times["configure"], strict=True)]
    for name, values in times.items():
        values.sort()
        print(f"{name:24} min {values[0]:7.3f}  median {values[len(values) // 2]:7.3f} ms")
    host.close()
    container.close()


main()
