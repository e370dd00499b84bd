"""IP addresses and prefixes as value types.

The standard `ipaddress` costs 3 ms to import and 5 µs an object; this covers what plugins need, with Go's text forms
(contract 1.10), because results and lease file names are compared with the reference's.  `ipaddress` is the oracle
of this module's tests.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from pycni.record import Record

_MAPPED = bytes(10) + b"\xff\xff"


class Address(Record):
    """One address: `packed` holds 4 or 16 bytes in network order.  IPv4-mapped IPv6 becomes IPv4, as in Go."""

    packed: bytes

    @classmethod
    def parse(cls, text: str) -> Address:
        """`10.1.2.3` or `fd00::1`; ValueError for anything else (zones, leading zeros and prefixes included)."""
        try:
            if ":" not in text:
                return cls(inet_pton(AF_INET, text))
            packed = inet_pton(AF_INET6, text)
        except (OSError, ValueError):
            raise ValueError(f"invalid IP address: {text}") from None
        return cls(packed[12:]) if packed.startswith(_MAPPED) else cls(packed)

    @classmethod
    def from_number(cls, number: int, family: int) -> Address:
        """The address with this numeric value; OverflowError when it does not fit family 4 or 6."""
        return cls(number.to_bytes(4 if family == 4 else 16, "big"))

    @property
    def family(self) -> int:
        """4 or 6."""
        return 4 if len(self.packed) == 4 else 6

    @property
    def number(self) -> int:
        return int.from_bytes(self.packed, "big")

    @property
    def bits(self) -> int:
        """32 or 128."""
        return len(self.packed) * 8

    @property
    def is_unspecified(self) -> bool:
        return not any(self.packed)

    @property
    def is_loopback(self) -> bool:
        return self.packed[0] == 127 if self.family == 4 else self.number == 1

    @property
    def is_link_local(self) -> bool:
        """Unicast link-local: 169.254.0.0/16 or fe80::/10."""
        if self.family == 4:
            return self.packed[:2] == b"\xa9\xfe"
        return self.packed[0] == 0xFE and self.packed[1] & 0xC0 == 0x80

    def __add__(self, offset: int) -> Address:
        return Address.from_number(self.number + offset, self.family)

    def __lt__(self, other: Address) -> bool:
        return (len(self.packed), self.packed) < (len(other.packed), other.packed)

    def __str__(self) -> str:
        if self.family == 4:
            return inet_ntop(AF_INET, self.packed)
        if not any(self.packed[:12]) and any(self.packed[12:14]):
            # glibc writes ::1.2.3.4 here; Go, and so every lease file of the reference, writes ::102:304
            return f"::{int.from_bytes(self.packed[12:14], 'big'):x}:{int.from_bytes(self.packed[14:], 'big'):x}"
        return inet_ntop(AF_INET6, self.packed)


class Prefix(Record):
    """An address with a prefix length; host bits are kept (`10.1.2.3/24`)."""

    address: Address
    length: int

    @classmethod
    def parse(cls, text: str) -> Prefix:
        """`10.1.2.3/24` or `fd00::1/64`; ValueError when either part is missing or out of range."""
        head, slash, tail = text.partition("/")
        if not slash or not tail.isascii() or not tail.isdigit() or (len(tail) > 1 and tail[0] == "0"):
            raise ValueError(f"invalid CIDR address: {text}")
        try:
            address = Address.parse(head)
        except ValueError:
            raise ValueError(f"invalid CIDR address: {text}") from None
        length = int(tail) - (96 if ":" in head and address.family == 4 else 0)
        if not 0 <= length <= address.bits:
            raise ValueError(f"invalid CIDR address: {text}")
        return cls(address, length)

    @classmethod
    def host(cls, address: Address) -> Prefix:
        """The /32 or /128 of one address."""
        return cls(address, address.bits)

    @property
    def family(self) -> int:
        return self.address.family

    @property
    def mask(self) -> int:
        bits = self.address.bits
        return ((1 << self.length) - 1) << (bits - self.length)

    @property
    def network(self) -> Prefix:
        """The same prefix with its host bits cleared."""
        return Prefix(Address.from_number(self.address.number & self.mask, self.family), self.length)

    @property
    def last(self) -> Address:
        """The highest address of the prefix (IPv4: the broadcast address)."""
        bits = self.address.bits
        return Address.from_number(self.address.number | ((1 << (bits - self.length)) - 1), self.family)

    def contains(self, address: Address) -> bool:
        return address.family == self.family and (address.number ^ self.address.number) & self.mask == 0

    def overlaps(self, other: Prefix) -> bool:
        wide, narrow = (self, other) if self.length <= other.length else (other, self)
        return wide.contains(narrow.address)

    def __str__(self) -> str:
        return f"{self.address}/{self.length}"
