"""What nf_tables tells of its changes: whether somebody else took away something that may be ours.

The kernel sends the changes of a transaction to everybody who listens (group NFNLGRP_NFTABLES), and then who made it.
iptables of the nf_tables kind is told of like any other; iptables-legacy is not.  A listener that reads too slowly
loses messages and is told that it did, which counts as a loss of rules.
"""

from __future__ import annotations

import sys
from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW, socket
from contextlib import suppress
from errno import ENOBUFS

from pycni.firewall import nft_static, spoofcheck
from pycni.firewall.generation import INET
from pycni.kernel.namespace import Namespace
from pycni.kernel.netlink import NETLINK_NETFILTER, attribute_list, attributes, decode, text

OUR_NAME = "pynetd"
"""What our processes are called to the kernel (comm), so that they know each other's changes."""

_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP = 270, 1, 7
_MSG_TRUNC = 0x20
_RECEIVE_SIZE = 1 << 16
_SUBSYSTEM = 10

_NEWTABLE, _DELTABLE, _DELCHAIN, _DELRULE, _DELSET, _DELELEMENT, _NEWGEN = 0, 2, 5, 8, 11, 14, 15
_REMOVALS = frozenset((_DELTABLE, _DELCHAIN, _DELRULE, _DELSET, _DELELEMENT))
_GEN_NAME = 3
_HEADER_SIZE = 4

_FIREWALLD = "firewalld"
_IPTABLES = frozenset(("filter", "nat"))
_OWN_CHAINS = ("CNI-", "PYNET-", "cni-br-iface-")
_CALLED = frozenset(("FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"))


class RuleEvents:
    """One namespace's, from now on.  OSError when the kernel has no nf_tables."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace.entered():
            self._socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER)
        self._removed = False
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> bool:
        """Everything that has come: whether another program's transaction may have taken away rules of ours."""
        lost = False
        while True:
            try:
                data, _, flags, _ = self._socket.recvmsg(_RECEIVE_SIZE)
            except BlockingIOError:
                return lost
            except OSError as error:
                if error.errno != ENOBUFS:
                    raise
                lost, self._removed = True, False
                continue
            lost = self._take(data) or bool(flags & _MSG_TRUNC) or lost

    def _take(self, data: bytes) -> bool:
        lost = False
        for kind, _, _, payload in decode(data):
            if kind >> 8 != _SUBSYSTEM:
                continue
            what = kind & 0xFF
            if what == _NEWGEN:
                lost = lost or (self._removed and committer(payload) != OUR_NAME)
                self._removed = False
            elif not self._removed:
                self._removed = concerns(what, payload)
        return lost


def committer(payload: bytes) -> str:
    """The program that made the transaction, as far as 15 characters of its name; pure."""
    return text(attributes(payload, _HEADER_SIZE).get(_GEN_NAME, b""))


def concerns(what: int, payload: bytes) -> bool:
    """Whether a change, NFT_MSG_* and its attributes, may take away something of ours; pure."""
    if what == _NEWTABLE:
        # firewalld begins anew, and has forgotten its zones' sources
        return _names(payload)[:1] == [_FIREWALLD]
    if what not in _REMOVALS or len(payload) < _HEADER_SIZE:
        return False
    table, name = (*_names(payload), "", "")[:2]
    if payload[0] == INET and table.startswith(nft_static.TABLE):  # also that of `netd.ports.guard`
        return True
    if what == _DELTABLE:
        return table in _IPTABLES or table == _FIREWALLD
    if table == spoofcheck.TABLE and payload[0] == spoofcheck.BRIDGE:
        return name == spoofcheck.BASE or name.startswith(_OWN_CHAINS)
    return table in _IPTABLES and (name in _CALLED or name.startswith(_OWN_CHAINS))


def _names(payload: bytes) -> list[str]:
    """The table's, and that of the chain or set in it: the kernel writes them first."""
    return [text(value) for _, value in _first(payload)]


def _first(payload: bytes) -> list[tuple[int, bytes]]:
    end = _HEADER_SIZE
    for _ in range(2):
        if end + 2 > len(payload):
            break
        end += (int.from_bytes(payload[end : end + 2], sys.byteorder) + 3) & ~3
    return attribute_list(payload[:end], _HEADER_SIZE)


def call_us() -> None:
    """The calling process, and the threads that it starts from now on, go by OUR_NAME.  Where /proc is read-only they
    do not, and each of our changes costs a look."""
    with suppress(OSError), open("/proc/thread-self/comm", "w", encoding="ascii") as file:
        file.write(OUR_NAME)
