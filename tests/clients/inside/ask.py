"""Clients of echo.py, all at once: `ask.py SECONDS [PROTO,ADDRESS,PORT]...` prints a JSON list, null for no answer.

With SECONDS over 0 a client tries again until it gets an answer or the time is over, with 0 each tries once for a
second.  The address may be a name.
"""

import json
import socket
import sys
import threading
import time

ONCE = 1.0


def ask(proto, address, port):
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    found = socket.getaddrinfo(address, int(port), type=kind)
    with socket.socket(found[0][0], kind) as client:
        client.settimeout(ONCE)
        client.connect(found[0][4])
        client.send(b"who")
        return client.recv(2048).decode().strip() or None


def insist(index, words, deadline, answers):
    while True:
        try:
            answers[index] = ask(*words)
        except OSError:
            if time.monotonic() < deadline:
                time.sleep(0.02)
                continue
        return


def main(seconds, targets):
    answers = [None] * len(targets)
    deadline = time.monotonic() + seconds
    threads = [
        threading.Thread(target=insist, args=(index, target.split(","), deadline, answers))
        for index, target in enumerate(targets)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(answers))


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
