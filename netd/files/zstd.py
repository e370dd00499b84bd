"""Reading what zstd has packed, by the library itself: Python has it only since 3.14, and Debian's dpkg needs it, so it
is there."""

from __future__ import annotations

import ctypes
import functools
import io
import weakref
from typing import IO, cast

_CHUNK = 1 << 17


class ZstdError(Exception):
    """Damaged, or packed with a window of more than 128 MiB: the library's words."""


class NoZstd(Exception):
    """The library is not on this machine."""


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer."""

    _fields_ = (("address", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t))


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError as error:
        raise NoZstd(str(error)) from None
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    buffer = ctypes.POINTER(_Buffer)
    for name, result, arguments in (
        ("ZSTD_createDStream", pointer, ()),
        ("ZSTD_freeDStream", size, (pointer,)),
        ("ZSTD_decompressStream", size, (pointer, buffer, buffer)),
        ("ZSTD_isError", ctypes.c_uint, (size,)),
        ("ZSTD_getErrorName", ctypes.c_char_p, (size,)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class ZstdReader(io.RawIOBase):
    """The unpacked bytes of one or more frames; NoZstd.  Reading raises ZstdError, EOFError where one is cut off."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._library = _library()
        self._stream = self._library.ZSTD_createDStream()
        self._freed = weakref.finalize(self, self._library.ZSTD_freeDStream, self._stream)
        self._data = b""
        self._given = _Buffer()
        self._in_frame = self._full = False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._freed()
        super().close()

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer)).cast("B")
        room = (ctypes.c_char * len(view)).from_buffer(view)
        taken = _Buffer(ctypes.addressof(room), len(view), 0)
        while not taken.position:
            # a full buffer may have left some of the output in the library
            if self._given.position == self._given.size and not self._full and not self._more():
                return 0
            self._step(taken)
        return int(taken.position)

    def _more(self) -> bool:
        self._data = self._source.read(_CHUNK)
        if not self._data and self._in_frame:
            raise EOFError("it ends within a frame of zstd")
        self._given = _Buffer(ctypes.cast(ctypes.c_char_p(self._data), ctypes.c_void_p), len(self._data), 0)
        return bool(self._data)

    def _step(self, taken: _Buffer) -> None:
        library = self._library
        left = library.ZSTD_decompressStream(self._stream, ctypes.byref(taken), ctypes.byref(self._given))
        if library.ZSTD_isError(left):
            raise ZstdError(library.ZSTD_getErrorName(left).decode())
        self._in_frame = left != 0
        self._full = self._in_frame and taken.position == taken.size
