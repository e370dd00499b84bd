"""UDP in IPv4 in Ethernet frames, for an interface that has no address yet, and the socket that carries them.

The socket is a cooked packet socket: the kernel writes and takes away the Ethernet header.
"""

from __future__ import annotations

import ctypes
import os
from _socket import (
    AF_PACKET,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOL_SOCKET,
    socket,
)
from _thread import start_new_thread
from struct import Struct, unpack

CLIENT_PORT, SERVER_PORT = 68, 67
EVERYBODY_MAC = b"\xff" * 6
ANYBODY, EVERYBODY = bytes(4), b"\xff" * 4

_ETH_P_IP = 0x0800
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_AUXDATA, _TP_STATUS_CSUMNOTREADY = 263, 8, 1 << 3
_IP = Struct("!BBHHHBBH4s4s")
_UDP = Struct("!HHHH")
_UDP_PROTOCOL = 17
_TTL = 64
_MAX = 4096

# tcpdump -ddd "udp dst port 68 and not fragmented", for packets that begin with their IP header
_FILTER = (
    (0x30, 0, 0, 9),  # ldb [9]: the protocol
    (0x15, 0, 6, _UDP_PROTOCOL),
    (0x28, 0, 0, 6),  # ldh [6]: fragment offset and flags
    (0x45, 4, 0, 0x3FFF),
    (0xB1, 0, 0, 0),  # ldxb 4*([0]&0xf): the header's length
    (0x48, 0, 0, 2),  # ldh [x+2]: the destination port
    (0x15, 0, 1, CLIENT_PORT),
    (0x06, 0, 0, _MAX),
    (0x06, 0, 0, 0),
)


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def wrap(payload: bytes, source: bytes, destination: bytes) -> bytes:
    """An IPv4 packet from the client's to the server's port."""
    length = _UDP.size + len(payload)
    pseudo = source + destination + bytes((0, _UDP_PROTOCOL)) + length.to_bytes(2, "big")
    bare = _UDP.pack(CLIENT_PORT, SERVER_PORT, length, 0) + payload
    udp = _UDP.pack(CLIENT_PORT, SERVER_PORT, length, checksum(pseudo + bare) or 0xFFFF) + payload
    head = _IP.pack(0x45, 0, _IP.size + length, 0, 0, _TTL, _UDP_PROTOCOL, 0, source, destination)
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + udp


def unwrap(packet: bytes, checked: bool = True) -> bytes | None:
    """The payload of a UDP packet from a server's port to the client's, None for anything else.

    `checked` False: a sender on this machine has left the UDP checksum to hardware that never saw the packet."""
    if len(packet) < _IP.size or packet[0] >> 4 != 4:
        return None
    size = (packet[0] & 0xF) * 4
    total = int.from_bytes(packet[2:4], "big")
    if size < _IP.size or total < size + _UDP.size or total > len(packet) or checksum(packet[:size]):
        return None
    source, destination = packet[12:16], packet[16:20]
    udp = packet[size:total]
    _, port, length, sum_given = _UDP.unpack_from(udp)
    if packet[9] != _UDP_PROTOCOL or port != CLIENT_PORT or not _UDP.size <= length <= len(udp):
        return None
    udp = udp[:length]
    pseudo = source + destination + bytes((0, _UDP_PROTOCOL)) + length.to_bytes(2, "big")
    if checked and sum_given and checksum(pseudo + udp):
        return None
    return udp[_UDP.size :]


class FrameSocket:
    """A packet socket on one interface.  To be made inside the interface's namespace; OSError."""

    def __init__(self, name: str) -> None:
        self._socket = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        try:
            _attach_filter(self._socket, _FILTER)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            # with a protocol from here on, so nothing came in before the filter
            self._socket.bind((name, _ETH_P_IP))
        except BaseException:
            self._socket.close()
            raise
        self._name = name

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, packet: bytes, mac: bytes) -> None:
        """OSError."""
        self._socket.sendto(packet, (self._name, _ETH_P_IP, 0, 0, mac))

    def receive(self) -> tuple[bytes, bytes] | None:
        """A payload and its sender's hardware address, b"" for a packet that is none of ours; None: no packet."""
        try:
            packet, extra, _, sender = self._socket.recvmsg(_MAX, 64)
        except BlockingIOError:
            return None
        status = 0
        for level, kind, data in extra:
            if level == _SOL_PACKET and kind == _PACKET_AUXDATA:
                status = _UNSIGNED.unpack_from(data)[0]
        return unwrap(packet, not status & _TP_STATUS_CSUMNOTREADY) or b"", sender[4]

    def close(self) -> None:
        """Closing a packet socket waits 15 to 40 ms for an RCU grace period: a passing thread does, not the loop."""
        start_new_thread(os.close, (self._socket.detach(),))


_UNSIGNED = Struct("=I")
_CODE = Struct("HBBI")


def _attach_filter(sock: socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    code = ctypes.create_string_buffer(b"".join(_CODE.pack(*each) for each in program))
    # struct sock_fprog: a count, and a pointer aligned as pointers are
    sock.setsockopt(SOL_SOCKET, _SO_ATTACH_FILTER, Struct("HP").pack(len(program), ctypes.addressof(code)))
