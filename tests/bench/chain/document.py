"""docs/performance.md: the part between two markers is the last run's."""

from __future__ import annotations

from collections.abc import Mapping

from .peers import ROOT
from .private_host import BenchError

__all__ = ["DOCUMENT", "body", "replaced", "rewrite"]

DOCUMENT = ROOT / "docs/performance.md"


def replaced(document: str, text: str, command: str = "scripts/bench") -> str:
    """The document with this text between the markers of that command; BenchError when it has none."""
    first, last = f"<!-- written by {command} --doc -->", f"<!-- end of what {command} writes -->"
    before, begin, rest = document.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise BenchError("the document has lost its markers")
    return f"{before}{first}\n{text}\n{last}{after}"


def body(machine: Mapping[str, str], tables: list[str], notes: list[str]) -> str:
    """What stands between the markers."""
    facts = "; ".join(f"{label} {value}" for label, value in machine.items())
    return "\n\n".join(["", f"Measured: {facts}.", *tables, *notes, ""])


def rewrite(text: str, command: str = "scripts/bench") -> None:
    """Put this run into the document."""
    DOCUMENT.write_text(replaced(DOCUMENT.read_text(), text, command))
