"""Runs one case and tells what differs: `scripts/differential --replay CASE`, JSON or the name of a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from comparison import Comparison
from twin_pair import Pair


def main(argument: str) -> int:
    """0 when nothing differs but what is allowed."""
    text = argument if argument.lstrip().startswith("{") else Path(argument).read_text()
    pair = Pair()
    try:
        comparison = Comparison(pair)
        findings = comparison.run(json.loads(text))
    finally:
        pair.close()
    for finding in findings:
        print(finding.step)
        for difference in finding.differences:
            print(f"    {difference}")
    for row in sorted({each.row for each in comparison.used}):
        print(f"allowed: {' | '.join(row)}")
    print("differs" if findings else "equal, but for what is allowed")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
