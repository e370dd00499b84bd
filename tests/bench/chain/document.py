"""docs/performance.md: the part between two markers is the last run's."""

from __future__ import annotations

from collections.abc import Mapping

from .peers import ROOT
from .private_host import BenchError

__all__ = ["DOCUMENT", "body", "replaced", "rewrite"]

DOCUMENT = ROOT / "docs/performance.md"
BEGIN, END = "<!-- written by scripts/bench --doc -->", "<!-- end of what scripts/bench writes -->"


def replaced(document: str, text: str) -> str:
    """The document with this text between its markers; BenchError when it has none."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError("the document has lost its markers")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def body(machine: Mapping[str, str], tables: list[str], notes: list[str]) -> str:
    """What stands between the markers."""
    facts = "; ".join(f"{label} {value}" for label, value in machine.items())
    return "\n\n".join(["", f"Measured: {facts}.", *tables, *notes, ""])


def rewrite(text: str) -> None:
    """Put this run into the document."""
    DOCUMENT.write_text(replaced(DOCUMENT.read_text(), text))
