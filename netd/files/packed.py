"""Streams that may be packed: with gzip, bzip2, xz or zstd, told by their first bytes."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from typing import IO, cast

from netd.failure import InvalidParameter
from netd.files.zstd import NoZstd, ZstdError, ZstdReader

_CHUNK = 1 << 20
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_LONGEST = max(map(len, _MAGIC))


class _Joined(io.RawIOBase):
    """A stream whose first bytes have been read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer)).cast("B")
        piece = self._head[: len(view)] or self._rest.read(len(view))
        self._head = self._head[len(view) :]
        view[: len(piece)] = piece
        return len(piece)


def unpacked(stream: IO[bytes]) -> IO[bytes]:
    """What is in it; read it within `damage_named`.  InvalidParameter: packed with zstd where there is no libzstd."""
    head = b""
    while len(head) < _LONGEST and (piece := stream.read(_LONGEST - len(head))):
        head += piece
    joined = io.BufferedReader(_Joined(head, stream), _CHUNK)
    match next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), ""):
        case "gzip":
            return cast(IO[bytes], gzip.GzipFile(fileobj=joined))
        case "bzip2":
            return bz2.BZ2File(joined)
        case "xz":
            return lzma.LZMAFile(joined)
        case "zstd":
            try:
                return io.BufferedReader(ZstdReader(joined), _CHUNK)
            except NoZstd as error:
                raise InvalidParameter(f"the archive is packed with zstd, whose library is missing: {error}") from None
    return joined


@contextlib.contextmanager
def damage_named() -> Iterator[None]:
    """InvalidParameter in place of what the readers of packed streams raise."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, ZstdError) as error:
        raise InvalidParameter(f"the archive is damaged: {error}") from error
    except OSError as error:
        if error.errno is None:  # bz2's way
            raise InvalidParameter(f"the archive is damaged: {error}") from error
        raise
