"""What is in network namespaces, as a flat dictionary of texts: links, addresses, routes, neighbours, policy rules,
VLANs, queueing disciplines.  Everything is in it but what passes by itself or is drawn at random."""

from __future__ import annotations

import re
import socket
import struct
from collections import defaultdict

from rtnetlink_dump import Attributes, Dumper, Entry, attribute, attributes

State = dict[str, str]

RANDOM_NAME = re.compile(r"veth[0-9a-f]{8}")
MAC = re.compile(r"\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b", re.I)
EUI64 = re.compile(r"fe80::[0-9a-f]*:?[0-9a-f]+:?ff:fe[0-9a-f]+:[0-9a-f]+")
_GETLINK, _GETADDR, _GETROUTE, _GETNEIGH, _GETRULE, _GETQDISC, _GETFILTER = 18, 22, 26, 30, 34, 38, 46
_IFINFO, _TCMSG = struct.Struct("=BxHiII"), struct.Struct("=BxxxiIII")
_NAME, _MAC, _MTU, _LINK, _MASTER, _QUEUE, _INFO, _ALIAS, _AF, _GROUP, _PEER_NETNS = (
    3,
    1,
    4,
    5,
    10,
    13,
    18,
    20,
    26,
    27,
    37,
)
_KIND, _DATA, _PORT_KIND, _PORT_DATA = 1, 2, 4, 5
_PERMANENT = 0x80
# timers, and identifiers that hold a hardware address
_PASSING = {
    ("data", "bridge"): {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 42, 47, 48},
    # 38 and 41 count the multicast listeners and groups that were heard of
    ("port", "bridge"): {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 36, 37, 38, 41},
}
_TENTATIVE, _OPTIMISTIC = 0x40, 0x04
_ADDRESS, _LOCAL, _LABEL, _BROADCAST, _ADDRESS_FLAGS, _ADDRESS_PROTO = 1, 2, 3, 4, 8, 11
_ROUTE_WORDS = {6: "metric", 7: "src", 8: "metrics", 9: "nexthops", 20: "pref"}
_ROUTE_TYPES = {
    1: "unicast",
    2: "local",
    3: "broadcast",
    4: "anycast",
    5: "multicast",
    6: "blackhole",
    7: "unreachable",
}
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
_TABLES = {253: "default", 254: "main", 255: "local"}
_FLAG_NAMES = {
    0: "UP",
    1: "BROADCAST",
    3: "LOOPBACK",
    4: "POINTOPOINT",
    6: "RUNNING",
    7: "NOARP",
    8: "PROMISC",
    9: "ALLMULTI",
    12: "MULTICAST",
}
_INET = {
    1: "forwarding",
    3: "proxy_arp",
    8: "rp_filter",
    11: "log_martians",
    18: "arp_announce",
    19: "arp_ignore",
    22: "arp_notify",
    23: "accept_local",
    26: "route_localnet",
}
_INET6 = {
    0: "forwarding",
    3: "accept_ra",
    4: "accept_redirects",
    5: "autoconf",
    6: "dad_transmits",
    22: "proxy_ndp",
    26: "disable_ipv6",
    27: "accept_dad",
    29: "ndisc_notify",
    42: "keep_addr_on_down",
    46: "enhanced_dad",
    47: "addr_gen_mode",
}
_TIMERS_INET6 = {8, 43}


class Link:
    """One link of a dump."""

    def __init__(self, namespace: str, entry: Entry) -> None:
        self.namespace = namespace
        self.entry = entry
        self.index: int = struct.unpack_from("=xxHi", entry.head)[1]
        self.flags: int = struct.unpack_from("=I", entry.head, 8)[0]
        values = dict(entry.attributes)
        self.values = values
        self.name = values[_NAME].rstrip(b"\0").decode()
        self.mac = values.get(_MAC, b"").hex(":")
        self.peer = number(values.get(_LINK))
        self.abroad = _PEER_NETNS in values
        self.info = dict(attributes(values.get(_INFO, b"")))
        self.kind = self.info.get(_KIND, b"").rstrip(b"\0").decode()
        self.symbol = self.name


def number(payload: bytes | None) -> int:
    return int.from_bytes(payload, "little") if payload else 0


def text_of(family: int, payload: bytes) -> str:
    """An address; the interface part of one that was made from a hardware address is left out."""
    if len(payload) == 16 and payload[:8] == b"\xfe\x80" + bytes(6) and payload[11:13] == b"\xff\xfe":
        return "fe80::EUI"
    return socket.inet_ntop(family, payload)


class Reader:
    """Reads the namespaces of one side.  `literal` are the hardware addresses that the case itself names."""

    def __init__(self, literal: set[str]) -> None:
        self.literal = literal
        self.names: dict[str, str] = {}
        self._links: dict[str, dict[int, Link]] = {}

    def read(self, dumpers: dict[str, Dumper]) -> State:
        self._links = {}
        for namespace, dumper in dumpers.items():
            links = [Link(namespace, each) for each in dumper.dump(_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0))]
            self._links[namespace] = {each.index: each for each in links}
        self._name_pairs()
        state: State = {}
        for namespace, dumper in dumpers.items():
            state |= self._namespace(namespace, dumper)
        return state

    def _name_pairs(self) -> None:
        """Ends of veth pairs with a random name are named after the other end."""
        every = [link for links in self._links.values() for link in links.values()]
        for link in every:
            if not RANDOM_NAME.fullmatch(link.name):
                continue
            for other in every:
                if other is link or other.peer != link.index or link.peer != other.index or other.abroad != link.abroad:
                    continue
                if (other.namespace == link.namespace) == link.abroad:
                    continue
                link.symbol = f"veth~{other.namespace}/{other.name}"
                self.names[link.name] = link.symbol

    def mac_of(self, namespace: str, name: str) -> str | None:
        """The hardware address a link has now."""
        return next((each.mac for each in self._links.get(namespace, {}).values() if each.name == name), None)

    def name(self, namespace: str, index: int) -> str:
        link = self._links[namespace].get(index)
        return link.symbol if link is not None else f"#{index}" if index else "-"

    def text(self, text: str) -> str:
        """With random names and hardware addresses replaced."""
        text = MAC.sub(lambda found: self._mac(found[0].lower()), text)
        text = EUI64.sub("fe80::EUI", text)
        return RANDOM_NAME.sub(lambda found: self.names.get(found[0], "veth~?"), text)

    def _mac(self, mac: str) -> str:
        """That of a container's link is told by its name."""
        if mac in self.literal or mac in ("", "00:00:00:00:00:00"):
            return mac
        for namespace, links in self._links.items():
            for link in links.values() if namespace != "host" else ():
                if link.mac == mac:
                    return f"mac~{namespace}/{link.name}"
        return "random"

    def _namespace(self, namespace: str, dumper: Dumper) -> State:
        state: State = {}
        for link in self._links[namespace].values():
            self._link(state, link)
        for family in (socket.AF_INET, socket.AF_INET6):
            self._addresses(state, namespace, family, dumper)
            self._routes(state, namespace, family, dumper)
            self._rules(state, namespace, family, dumper)
        self._neighbours(state, namespace, dumper)
        self._vlans(state, namespace, dumper)
        self._queues(state, namespace, dumper)
        return state

    def _link(self, state: State, link: Link) -> None:
        path, values = f"{link.namespace}/link/{link.symbol}", link.values
        state[f"{path}/kind"] = link.kind or "-"
        state[f"{path}/flags"] = " ".join(word for bit, word in _FLAG_NAMES.items() if link.flags >> bit & 1)
        state[f"{path}/mtu"] = str(number(values.get(_MTU)))
        state[f"{path}/mac"] = link.mac if link.mac in self.literal or not link.mac.strip("0:") else "random"
        state[f"{path}/txqlen"] = str(number(values.get(_QUEUE)))
        state[f"{path}/group"] = str(number(values.get(_GROUP)))
        state[f"{path}/master"] = self.name(link.namespace, number(values.get(_MASTER)))
        state[f"{path}/alias"] = values.get(_ALIAS, b"").rstrip(b"\0").decode()
        if link.peer:
            state[f"{path}/peer"] = self._peer(link)
        for word, kind, data in (("data", _KIND, _DATA), ("port", _PORT_KIND, _PORT_DATA)):
            of = link.info.get(kind, b"").rstrip(b"\0").decode()
            for key, payload in attributes(link.info.get(data, b"")):
                if key not in _PASSING.get((word, of), set()):
                    state[f"{path}/{word}/{of}/{key}"] = payload.hex()
        self._devconf(state, path, dict(attributes(values.get(_AF, b""))))

    def _peer(self, link: Link) -> str:
        if not link.abroad:
            return self.name(link.namespace, link.peer)
        found = {
            f"{each.namespace}/{each.symbol}"
            for links in self._links.values()
            for each in links.values()
            if each.namespace != link.namespace
            and each.index == link.peer
            and (each.kind != "veth" or (each.abroad and each.peer == link.index))
        }
        return " or ".join(sorted(found)) or "elsewhere"

    @staticmethod
    def _devconf(state: State, path: str, families: dict[int, bytes]) -> None:
        four = dict(attributes(families.get(socket.AF_INET, b""))).get(1, b"")
        for position, value in enumerate(struct.unpack(f"={len(four) // 4}i", four), 1):
            state[f"{path}/ipv4/{_INET.get(position, position)}"] = str(value)
        six = dict(attributes(families.get(socket.AF_INET6, b"")))
        data = six.get(2, b"")
        for position, value in enumerate(struct.unpack(f"={len(data) // 4}i", data)):
            if position not in _TIMERS_INET6:
                state[f"{path}/ipv6/{_INET6.get(position, position)}"] = str(value)

    def _addresses(self, state: State, namespace: str, family: int, dumper: Dumper) -> None:
        for entry in dumper.dump(_GETADDR, struct.pack("=BBBBI", family, 0, 0, 0, 0)):
            _, length, flags, scope, index = struct.unpack("=BBBBI", entry.head)
            values = dict(entry.attributes)
            flags = number(values.get(_ADDRESS_FLAGS)) or flags
            local = values.get(_LOCAL) or values[_ADDRESS]
            words = [f"scope {_SCOPES.get(scope, scope)}", f"flags {flags & ~(_TENTATIVE | _OPTIMISTIC):#x}"]
            if _BROADCAST in values:
                words.append(f"brd {text_of(family, values[_BROADCAST])}")
            if values.get(_ADDRESS, local) != local:
                words.append(f"peer {text_of(family, values[_ADDRESS])}")
            if _LABEL in values and values[_LABEL].rstrip(b"\0").decode() != self._links[namespace][index].name:
                words.append(f"label {values[_LABEL].decode()}")
            if _ADDRESS_PROTO in values:
                words.append(f"proto {values[_ADDRESS_PROTO].hex()}")
            state[f"{namespace}/addr/{self.name(namespace, index)}/{text_of(family, local)}/{length}"] = " ".join(words)

    def _routes(self, state: State, namespace: str, family: int, dumper: Dumper) -> None:
        found: dict[str, list[str]] = defaultdict(list)
        for entry in dumper.dump(_GETROUTE, struct.pack("=BBBBBBBBI", family, *[0] * 8)):
            _, length, _, tos, table, protocol, scope, kind, flags = struct.unpack("=BBBBBBBBI", entry.head)
            if flags & 0x200:  # cloned
                continue
            values = dict(entry.attributes)
            table = number(values.get(15)) or table
            target = text_of(family, values[1]) if 1 in values else "default"
            words = [
                f"proto {protocol}",
                f"scope {_SCOPES.get(scope, scope)}",
                f"dev {self.name(namespace, number(values.get(4)))}",
            ]
            words += self._route_words(namespace, family, values)
            if tos:
                words.append(f"tos {tos}")
            key = f"{namespace}/route/{_TABLES.get(table, table)}/{target}/{length}/{_ROUTE_TYPES.get(kind, kind)}"
            found[key if family == socket.AF_INET else f"{key} v6"].append(" ".join(words))
        for key, each in found.items():
            state[key] = " | ".join(sorted(each))

    def _route_words(self, namespace: str, family: int, values: dict[int, bytes]) -> list[str]:
        words = []
        if 5 in values:
            words.append(f"via {text_of(family, values[5])}")
        if 18 in values:
            words.append(f"via {values[18].hex()}")
        if 7 in values:
            words.append(f"src {text_of(family, values[7])}")
        if 6 in values:
            words.append(f"metric {number(values[6])}")
        for kind, payload in attributes(values.get(8, b"")):
            words.append(f"rtax{kind} {number(payload)}")
        offset, hops = 0, values.get(9, b"")
        while offset + 8 <= len(hops):
            size, flags, weight, index = struct.unpack_from("=HBBi", hops, offset)
            inner = dict(attributes(hops[offset + 8 : offset + size]))
            via = text_of(family, inner[5]) if 5 in inner else "-"
            words.append(f"hop({via} {self.name(namespace, index)} {weight} {flags & 0x4})")
            offset += (size + 3) & ~3
        return words

    def _rules(self, state: State, namespace: str, family: int, dumper: Dumper) -> None:
        texts = []
        for entry in dumper.dump(_GETRULE, struct.pack("=BBBBBBBBI", family, *[0] * 8)):
            _, to, source, tos, table, _, _, action, flags = struct.unpack("=BBBBBBBBI", entry.head)
            skipped = {21}  # the protocol is told by its value below
            shown = [f"{kind}={payload.hex()}" for kind, payload in sorted(entry.attributes) if kind not in skipped]
            texts.append(
                f"from/{source} to/{to} tos {tos} table {table} action {action} flags {flags} {' '.join(shown)}"
            )
        state[f"{namespace}/rules/{'inet' if family == socket.AF_INET else 'inet6'}"] = "\n".join(texts)

    def _neighbours(self, state: State, namespace: str, dumper: Dumper) -> None:
        for entry in dumper.dump(_GETNEIGH, struct.pack("=BBBBIHBB", 0, 0, 0, 0, 0, 0, 0, 0)):
            family, index, condition, flags, _ = struct.unpack("=BxxxIHBB", entry.head)
            if not condition & _PERMANENT or family not in (socket.AF_INET, socket.AF_INET6):
                continue
            values = dict(entry.attributes)
            key = f"{namespace}/neighbour/{self.name(namespace, index)}/{text_of(family, values[1])}"
            mac = values.get(2, b"").hex(":")
            state[key] = f"{mac if mac in self.literal else 'random'} flags {flags}"

    def _vlans(self, state: State, namespace: str, dumper: Dumper) -> None:
        if not any(link.kind == "bridge" for link in self._links[namespace].values()):
            return
        # RTEXT_FILTER_BRVLAN
        wanted = attribute(29, struct.pack("=I", 2))
        for entry in dumper.dump(_GETLINK, _IFINFO.pack(socket.AF_BRIDGE, 0, 0, 0, 0), wanted):
            index = struct.unpack_from("=xxHi", entry.head)[1]
            spec = [payload for kind, payload in entry.attributes if kind == _AF]
            vlans = [payload for each in spec for kind, payload in attributes(each) if kind == 2]
            shown = [f"{vid}:{flags:x}" for flags, vid in (struct.unpack("=HH", each) for each in vlans)]
            if shown:
                state[f"{namespace}/vlan/{self.name(namespace, index)}"] = " ".join(shown)

    def _queues(self, state: State, namespace: str, dumper: Dumper) -> None:
        filtered = []
        for entry in dumper.dump(_GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0)):
            _, index, handle, parent, _ = _TCMSG.unpack(entry.head)
            kind = (entry.get(1) or b"").rstrip(b"\0").decode()
            key = f"{namespace}/qdisc/{self.name(namespace, index)}/{parent:x}"
            if kind != "noqueue":
                state[key] = f"{kind} {handle:x} {(entry.get(2) or b'').hex()}"
            if kind == "ingress":
                filtered.append((index, parent, handle))
        for index, _, handle in filtered:
            name = self.name(namespace, index)
            entries = dumper.dump(_GETFILTER, _TCMSG.pack(0, index, 0, handle, 0))
            shown = [self._filter(namespace, each) for each in entries]
            state[f"{namespace}/filter/{name}"] = "\n".join(shown)

    def _filter(self, namespace: str, entry: Entry) -> str:
        _, _, handle, parent, info = _TCMSG.unpack(entry.head)
        words = [f"{handle:x} {parent:x} {info:x}"]
        for kind, payload in entry.attributes:
            if kind == 2:
                words += [self._option(namespace, key, value) for key, value in attributes(payload)]
            elif kind in (1, 11):
                words.append(payload.hex())
        return " ".join(words)

    def _option(self, namespace: str, key: int, value: bytes) -> str:
        if key == 9:  # counters
            return "9"
        if key != 7:
            return f"{key}={value.hex()}"
        words = []
        for position, action in attributes(value):
            parts: Attributes = attributes(action)
            options = dict(attributes(dict(parts).get(2, b"")))
            mirred = options.get(2, b"")
            if len(mirred) >= 28:
                verdict, egress, index = struct.unpack_from("=8xi8xiI", mirred)
                words.append(f"action {position} verdict {verdict} to {egress} {self.name(namespace, index)}")
            else:
                words.append(f"action {position} {dict(parts).get(1, b'').hex()}")
        return " ".join(words)
