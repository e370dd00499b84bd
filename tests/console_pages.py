"""Pages of docs/ that show what really happens: the commands of their console blocks are run in order, and the text
below each must be its output.  With PYNET_WRITE_DOCS=1 in the environment the page is written instead of compared."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import unified_diff
from pathlib import Path

from netd.cli.output import table

WRITE = "PYNET_WRITE_DOCS"

Pattern = tuple[re.Pattern[str], str]

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"^([a-z]*)\$ (.*)$")
_ID = re.compile(r"(?<![0-9a-f:])[0-9a-f]{64}(?![0-9a-f])|(?<![0-9a-f:])[0-9a-f]{12}(?:[0-9a-f]{12}(?=…))?(?![0-9a-f])")
_MAC = re.compile(r"(?<![0-9a-f:])(?!ff:ff|00:00:00)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![0-9a-f:])")
_VETH = re.compile(r"\bveth[0-9a-f]{8,11}\b")


def check(path: Path, output: Callable[[str, str], str]) -> None:
    """Fails where the page and `output(prompt, command)` differ; `prompt` is the word before `$ `, usually "".  Blanks
    at the ends of lines do not count."""
    page = path.read_text()
    assert _BLOCK.search(page), f"{path}: no console block"

    def block(match: re.Match[str]) -> str:
        found = [command for line in match[1].splitlines() if (command := _COMMAND.match(line))]
        assert found, f"{path}: no command in {match[0]}"
        return "```console\n" + "".join(f"{each[0]}\n{trimmed(output(each[1], each[2]))}" for each in found) + "```"

    seen = _BLOCK.sub(block, page)
    if os.environ.get(WRITE):
        path.write_text(seen)
    drift = unified_diff(path.read_text().splitlines(), seen.splitlines(), path.name, "what happens", lineterm="", n=1)
    assert not (lines := "\n".join(drift)), lines


def trimmed(text: str) -> str:
    """Every line without blanks at its end, and ended."""
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


def replaced(text: str, varying: Iterable[Pattern]) -> str:
    """What differs between two runs or two machines, as a page shows it instead."""
    for pattern, replacement in varying:
        text = pattern.sub(replacement, text)
    return text


class Steady:
    """Takes what differs between two runs out of outputs: ids, MAC addresses and the names of veth ends become others,
    numbered in the order of their appearance; `varying` is the caller's own."""

    def __init__(self, varying: Sequence[Pattern]) -> None:
        self._varying = varying
        self._known: dict[str, dict[str, int]] = {}

    def __call__(self, text: str) -> str:
        lines = text.splitlines()
        if len(lines) > 1 and lines[0].startswith("CONTAINER ID   "):
            rows = [[self._steady(cell) for cell in row] for row in _cells(lines)]
            return table(rows[0], rows[1:])
        return self._steady(text)

    def _steady(self, text: str) -> str:
        text = replaced(text, self._varying)
        text = _ID.sub(self._id, text)
        text = _MAC.sub(lambda mac: f"8e:00:00:00:00:{self._number('mac', mac[0]):02x}", text)
        return _VETH.sub(lambda veth: f"veth{self._number('veth', veth[0])}", text)

    def _id(self, found: re.Match[str]) -> str:
        number = self._number("id", found[0][:12])
        return f"{number:x}c0ffee{'0' * 64}"[: len(found[0])]

    def _number(self, kind: str, item: str) -> int:
        known = self._known.setdefault(kind, {})
        return known.setdefault(item, len(known) + 1)


def _cells(lines: list[str]) -> list[list[str]]:
    """A table by the columns of its heading; they are as wide as what they hold in this run."""
    starts = [match.start() for match in re.finditer(r"(?:^|(?<= {3}))\S", lines[0])]
    ends = [*starts[1:], None]
    return [[line[start:end].strip() for start, end in zip(starts, ends, strict=True)] for line in lines]
