"""What skopeo and umoci say while they work, as docker's progress objects.

skopeo draws bars on a terminal, one line a blob, and redraws them:

    Copying blob 4f4fb700ef54 [=====>------] 10.0MiB / 23.0MiB
    Copying blob 4f4fb700ef54 done

Only what is recognised is told; a version that draws otherwise costs the bars, never the pull.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from netd.runtime.images.manifest import Descriptor
from netd.runtime.images.model import Progress

_SHORT = slice(7, 19)
"""Of "sha256:…": the twelve digits that docker shows."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BAR = re.compile(r"Copying blob (?:sha256:)?([0-9a-f]{12})[0-9a-f]*[^\r\n]*?\]\s+([0-9.]+) ?([KMGT]?i?[Bb]) ?/")
_DONE = re.compile(r"Copying blob (?:sha256:)?([0-9a-f]{12})[0-9a-f]*(?: \[=*>?-*\] [^\r\n]*?)? (done|skipped)")
_UNPACK = re.compile(r"unpack layer: (sha256:[0-9a-f]{64})")
_UNIT = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Bars:
    """Turns text of skopeo's terminal, in any pieces, into progress of the layers."""

    def __init__(self, layers: Sequence[Descriptor], present: set[str], progress: Progress) -> None:
        """`present` are digests of layers that need no download."""
        self._progress = progress
        self._sizes = {layer.digest[_SHORT]: layer.size for layer in layers}
        self._open = {layer.digest[_SHORT] for layer in layers if layer.digest not in present}
        self._told: dict[str, int] = {}
        self._rest = ""
        for layer in layers:
            short = layer.digest[_SHORT]
            progress(status(short, "Already exists" if layer.digest in present else "Pulling fs layer"))

    def feed(self, text: str) -> None:
        lines = (self._rest + _CONTROL.sub("\n", text)).replace("\r", "\n").split("\n")
        self._rest = lines.pop()
        for line in lines:
            self._line(line)

    def finish(self) -> None:
        """skopeo has ended well: every layer is there."""
        for short in [short for short in self._sizes if short in self._open]:
            self._complete(short)

    def _line(self, line: str) -> None:
        done, bar = _DONE.search(line), _BAR.search(line)
        if done and done[1] in self._open:
            self._complete(done[1])
        elif bar and bar[1] in self._open:
            total = self._sizes[bar[1]]
            current = min(int(float(bar[2]) * _UNIT[bar[3][0] if bar[3][0] in _UNIT else ""]), total)
            if current > self._told.get(bar[1], -1):
                self._told[bar[1]] = current
                self._progress(status(bar[1], "Downloading", current, total))

    def _complete(self, short: str) -> None:
        self._open.discard(short)
        self._progress(status(short, "Download complete"))


class Unpacking:
    """Turns umoci's lines into progress of the layers: `begun` and `done` are docker's words for the two ends."""

    def __init__(self, layers: Sequence[Descriptor], progress: Progress, begun: str, done: str) -> None:
        self._layers = {layer.digest: layer for layer in layers}
        self._progress = progress
        self._begun = begun
        self._done = done
        self.current: Descriptor | None = None

    def line(self, line: str) -> None:
        found = _UNPACK.search(line)
        if found and found[1] in self._layers:
            self.finish()
            self.current = self._layers[found[1]]
            self.at(0)

    def at(self, position: int) -> None:
        """So many bytes of the current layer have been read."""
        if self.current is not None:
            total = max(self.current.size, position)
            self._progress(status(self.current.digest[_SHORT], self._begun, position, total))

    def finish(self) -> None:
        """The current layer, if any, is unpacked."""
        if self.current is not None:
            self._progress(status(self.current.digest[_SHORT], self._done))
            self.current = None


def status(layer: str, words: str, current: int = 0, total: int = 0) -> dict[str, object]:
    """A progress object of docker's; without a total there is no bar."""
    detail = {"current": current, "total": total} if total else {}
    return {"status": words, "progressDetail": detail, "id": layer}
