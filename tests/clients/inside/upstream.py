"""A name server that somebody else runs: `upstream.py LOG ADDRESS=BEHAVIOUR...`.

Behaviours: `answers`, `servfail`, `refused`, `silent`.  One that answers knows every name: A 198.51.100.N and AAAA
2001:db8::N with the last number N of its own address, TTL 77; `nx.…` does not exist, `cut.…` is truncated over UDP,
any other type has no records.  LOG gets a line for each question, and one for each packet to port 53 the machine sees,
be it for this server or not:

    query SERVER PROTO SOURCE NAME TYPE BYTES
    packet PROTO SOURCE DESTINATION
"""

import os
import socket
import struct
import sys
import threading

from dig import NAMES, decode_name

PORT = 53
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD


def answer(text, behaviour, server, proto):
    if behaviour == "silent":
        return None
    name, end = decode_name(text, 12)
    (kind,) = struct.unpack_from(">H", text, end)
    rcode, flags, records = 0, 0x8180, b""
    if behaviour != "answers":
        rcode = 2 if behaviour == "servfail" else 5
    elif name.startswith("nx."):
        rcode = 3
    elif name.startswith("cut.") and proto == "udp":
        flags |= 0x0200
    elif kind in (1, 28):
        last = int(server.rpartition("." if "." in server else ":")[2])
        data = bytes((198, 51, 100, last)) if kind == 1 else b"\x20\x01\x0d\xb8" + bytes(11) + bytes((last,))
        records = b"\xc0\x0c" + struct.pack(">2HIH", kind, 1, 77, len(data)) + data
    head = text[:2] + struct.pack(">5H", flags | rcode, 1, 1 if records else 0, 0, 0)
    return head + text[12 : end + 4] + records


class Log:
    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __call__(self, *words):
        os.write(self.file, (" ".join(words) + "\n").encode())

    def query(self, server, proto, client, text):
        name, end = decode_name(text, 12)
        (kind,) = struct.unpack_from(">H", text, end)
        self("query", server, proto, client[0], name, str(NAMES.get(kind, kind)), text[2:].hex())


def datagrams(server, address, behaviour, log):
    while True:
        text, client = server.recvfrom(65535)
        log.query(address, "udp", client, text)
        reply = answer(text, behaviour, address, "udp")
        if reply:
            server.sendto(reply, client)


def streams(server, address, behaviour, log):
    while True:
        connection, client = server.accept()
        with connection, connection.makefile("rb") as stream:
            head = stream.read(2)
            if len(head) < 2:
                continue
            text = stream.read(struct.unpack(">H", head)[0])
            log.query(address, "tcp", client, text)
            reply = answer(text, behaviour, address, "tcp")
            if reply:
                connection.sendall(struct.pack(">H", len(reply)) + reply)


def watch(sniffer, log):
    """Every packet to port 53, whoever it is for."""
    while True:
        frame, (_, kind, direction, _, _) = sniffer.recvfrom(65535)
        if direction == socket.PACKET_OUTGOING:
            continue
        if kind == ETH_P_IP:
            head, proto = (frame[0] & 15) * 4, frame[9]
            ends = [socket.inet_ntop(socket.AF_INET, frame[at : at + 4]) for at in (12, 16)]
        elif kind == ETH_P_IPV6:
            head, proto = 40, frame[6]
            ends = [socket.inet_ntop(socket.AF_INET6, frame[at : at + 16]) for at in (8, 24)]
        else:
            continue
        if proto in (6, 17) and struct.unpack_from(">H", frame, head + 2)[0] == PORT:
            log("packet", "tcp" if proto == 6 else "udp", *ends)


def main(path, servers):
    log = Log(path)
    jobs = []
    for each in servers:
        address, _, behaviour = each.partition("=")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for kind, serve in ((socket.SOCK_DGRAM, datagrams), (socket.SOCK_STREAM, streams)):
            server = socket.socket(family, kind)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address, PORT))
            if kind == socket.SOCK_STREAM:
                server.listen(16)
            jobs.append((serve, (server, address, behaviour, log)))
    if not any(each.startswith("127.") for each in servers):
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        jobs.append((watch, (sniffer, log)))
    threads = [threading.Thread(target=target, args=args) for target, args in jobs]
    for thread in threads:
        thread.start()
    log("ready")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
