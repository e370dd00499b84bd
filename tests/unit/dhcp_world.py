"""Where a DHCP client lives as a state machine: a clock that is told the time, and what the client says and tells."""

from __future__ import annotations

from typing import Any

from netd.dhcp.timing import Timing

TIMING = Timing(timeout=10, resend_max=16, resend_timeout=100)


class World:
    """A client, what it said and told, and the time."""

    def __init__(self, client: Any) -> None:
        self.now = 1000.0
        self.sent: list[Any] = []
        self.told: list[tuple[str, str]] = []
        self.client = client(lambda: 0.5, self._send, lambda event, text: self.told.append((event, text)))

    def _send(self, *message: Any) -> None:
        self.sent.append(message[0] if len(message) == 1 else message)

    def take(self) -> list[Any]:
        sent, self.sent = self.sent, []
        return sent

    def run(self, until: float) -> list[tuple[float, Any]]:
        """Lets time pass; what was sent when."""
        out = []
        while self.client.deadline is not None and self.client.deadline <= until:
            self.now = max(self.now, self.client.deadline)
            self.client.due(self.now)
            out += [(self.now, each) for each in self.take()]
        self.now = until
        return out


def seconds(number: int) -> bytes:
    return number.to_bytes(4, "big")
