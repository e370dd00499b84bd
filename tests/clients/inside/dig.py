"""DNS questions, bytes and all: `dig.py JSON` with a list of objects, prints a list of as many.

    {"name", "type": "A", "server": "127.0.0.11", "tcp": false, "edns": 0, "seconds": 15, "raw": ""}

`type` may be a number, `edns` is the size told in an OPT record, `raw` (hex) replaces the question's name.  An
answer is

    {"rcode": "NOERROR", "flags": "qr rd ra", "answers": [[name, type, ttl, data]], "question": name, "edns": false,
     "authority": 0, "size": bytes}

or null when none came in time.
"""

import json
import socket
import struct
import sys
import threading

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "HTTPS": 65}
TYPES |= {"ANY": 255}
NAMES = {number: name for name, number in TYPES.items()}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}
FLAGS = ((0x8000, "qr"), (0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra"))


def encode(name):
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def question(wanted, identity):
    kind = wanted.get("type", "A")
    name = bytes.fromhex(wanted["raw"]) if wanted.get("raw") else encode(wanted["name"])
    text = struct.pack(">6H", identity, 0x0100, 1, 0, 0, 1 if wanted.get("edns") else 0)
    text += name + struct.pack(">2H", TYPES.get(kind, kind), 1)
    if wanted.get("edns"):
        text += b"\0" + struct.pack(">2HIH", 41, wanted["edns"], 0, 0)
    return text


def decode_name(text, at):
    labels, after = [], None
    while text[at]:
        if text[at] & 0xC0:
            after = after or at + 2
            at = (text[at] & 0x3F) << 8 | text[at + 1]
            continue
        labels.append(text[at + 1 : at + 1 + text[at]].decode("latin-1"))
        at += 1 + text[at]
    return ".".join(labels) + ".", after or at + 1


def record(text, at):
    name, at = decode_name(text, at)
    kind, _, ttl, size = struct.unpack_from(">2HIH", text, at)
    data = text[at + 10 : at + 10 + size]
    if kind == 1:
        shown = socket.inet_ntop(socket.AF_INET, data)
    elif kind == 28:
        shown = socket.inet_ntop(socket.AF_INET6, data)
    elif kind == 12:
        shown = decode_name(text, at + 10)[0]
    else:
        shown = data.hex()
    return [name, NAMES.get(kind, kind), ttl, shown], at + 10 + size


def decode(text):
    _, flags, questions, answers, authority, additional = struct.unpack_from(">6H", text)
    at, asked, found, edns = 12, None, [], False
    for _ in range(questions):
        asked, at = decode_name(text, at)
        at += 4
    for index in range(answers + authority + additional):
        one, at = record(text, at)
        edns |= one[1] == 41
        if index < answers:
            found.append(one)
    return {
        "rcode": RCODES.get(flags & 15, flags & 15),
        "flags": " ".join(word for bit, word in FLAGS if flags & bit),
        "answers": found,
        "question": asked,
        "edns": edns,
        "authority": authority,
        "size": len(text),
    }


def ask(wanted, identity):
    server = wanted.get("server", "127.0.0.11")
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if wanted.get("tcp") else socket.SOCK_DGRAM) as client:
        client.settimeout(wanted.get("seconds", 15))
        client.connect((server, 53))
        text = question(wanted, identity)
        if not wanted.get("tcp"):
            client.send(text)
            return decode(client.recv(65535))
        client.sendall(struct.pack(">H", len(text)) + text)
        with client.makefile("rb") as stream:
            (size,) = struct.unpack(">H", stream.read(2))
            return decode(stream.read(size))


def main(questions):
    answers = [None] * len(questions)

    def one(index, wanted):
        try:
            answers[index] = ask(wanted, 4242 + index)
        except OSError:
            answers[index] = None

    threads = [threading.Thread(target=one, args=item) for item in enumerate(questions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(answers))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
