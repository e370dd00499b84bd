"""A server for containers that have the host's /usr: `echo.py NAME PORT...` answers TCP and UDP on both families.

The answer to whatever comes is a line "NAME ADDRESS", the address being the one the packets came from.  A TCP
connection stays open, so that a test can see whether it does.
"""

import selectors
import signal
import socket
import sys


def main(name, ports):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    selector = selectors.DefaultSelector()
    for port in ports:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            for family, anywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                server = socket.socket(family, kind)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                server.bind((anywhere, port))
                if kind == socket.SOCK_STREAM:
                    server.listen(64)
                selector.register(server, selectors.EVENT_READ, "listen" if kind == socket.SOCK_STREAM else "datagram")
    while True:
        for key, _ in selector.select():
            serve(selector, key.fileobj, key.data, name)


def serve(selector, ready, kind, name):
    if kind == "listen":
        connection, _ = ready.accept()
        selector.register(connection, selectors.EVENT_READ, "stream")
        return
    try:
        data, client = ready.recvfrom(2048)
        client = client or ready.getpeername()
        if kind == "stream" and not data:
            raise ConnectionResetError
        answer = f"{name} {client[0]}\n".encode()
        if kind == "stream":
            ready.sendall(answer)
        else:
            ready.sendto(answer, client)
    except ConnectionError:
        if kind == "stream":
            selector.unregister(ready)
            ready.close()


if __name__ == "__main__":
    main(sys.argv[1], [int(port) for port in sys.argv[2:]])
