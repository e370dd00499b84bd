"""stdout and stderr in one stream, each piece behind eight bytes that say which and how long (contract 4.5); pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = 8
STDERR = 2


class Frames:
    """Takes the stream apart; a frame's content is handed on as it comes, not only when it is whole."""

    def __init__(self) -> None:
        self._buffer = b""
        self._stream = 1
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(1 or 2, content) pairs."""
        buffer = self._buffer + data
        while buffer:
            if not self._left:
                if len(buffer) < _HEAD:
                    break
                self._stream, self._left = buffer[0], int.from_bytes(buffer[4:_HEAD], "big")
                buffer = buffer[_HEAD:]
                continue
            piece, buffer = buffer[: self._left], buffer[self._left :]
            self._left -= len(piece)
            yield self._stream, piece
        self._buffer = buffer


class Plain:
    """The stream of a container with a terminal: everything is output."""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        yield 1, data
