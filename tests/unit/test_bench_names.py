"""The arithmetic of the name server's benchmark."""

from __future__ import annotations

import pytest

from tests.bench.chain.document import DOCUMENT, replaced
from tests.bench.names.tables import Flood, Sample, Series, cost, percentile, promises, speed, table

FLOOR = "floor"


def series(label: str, *per_second: float, cpu_us: float = 5.0, p99: float = 1.0, memory: float = 5.0) -> Series:
    samples = [Sample(each, cpu_us) for each in per_second]
    return Series(label, samples, samples, [[p99] * 100] * 3, memory)


def test_a_ratio_is_that_of_turns_in_the_same_round() -> None:
    """The machine was busy in the rounds of the small numbers; medians of all would say 10 to 50."""
    ours, theirs = series("ours", 10, 100, 10), series("theirs", 5, 50, 50)
    assert speed(ours.many, theirs.many) == 2
    assert cost(ours.many, series("theirs", 1, 1, 1, cpu_us=10).many) == 0.5
    with pytest.raises(ValueError, match="shorter"):
        speed(ours.many, series("theirs", 1).many)


def test_percentiles() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99), percentile([7.0], 99)) == (51, 100, 7)


def test_what_was_promised_is_said_to_be_reached_or_missed() -> None:
    peers = [series("dnsmasq 2.90", 100, cpu_us=4), series("aardvark-dns 2.1.0", 80, cpu_us=5)]
    every = [series("ours", 90, memory=17, p99=3.5), *peers, series("aardvark-dns 1.4.0", 1), series(FLOOR, 1, p99=1)]
    text, missed = promises(every, FLOOR, Flood([1.0, 20.0, 2.0], [61.0, 30.0, 42.0]))
    reached = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert reached == [
        ["queries/s: ours to dnsmasq 2.90", "0.90x", "1x", "0.85x", "at least"],
        ["CPU a query: ours to dnsmasq 2.90", "1.25x", "", "1x", "missed"],
        ["queries/s: ours to aardvark-dns 2.1.0", "1.12x", "1x", "0.85x", "goal"],
        ["CPU a query: ours to aardvark-dns 2.1.0", "1.00x", "0.75x", "", "missed"],
        ["p99 at 1000/s, best round: more than floor", "2.50 ms", "", "2 ms", "missed"],
        ["p99 beside a container that floods: more than without", "40.00 ms", "", "50 ms", "at least"],
        ["memory", "17.00 MB", "", "16 MB", "missed"],
    ]
    assert [each.split(":")[0] for each in missed] == [
        "CPU a query",
        "CPU a query",
        "p99 at 1000/s, best round",
        "memory",
    ]


def test_the_table_has_a_line_for_each_server_and_no_ratio_to_the_floor() -> None:
    lines = table([series("ours", 90), series("theirs", 45, cpu_us=10), series(FLOOR, 100)], FLOOR).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert {len(each) for each in cells} == {11}
    assert cells[2][:9] == ["ours", "90", "", "5.0", "", "90", "", "5.0", ""]
    assert cells[3][:9] == ["theirs", "45", "2.00x", "10.0", "0.50x", "45", "2.00x", "10.0", "0.50x"]
    assert cells[4][:5] == ["floor", "100", "", "5.0", ""]


def test_the_document_has_a_place_for_it() -> None:
    assert "\nnew\n" in replaced(DOCUMENT.read_text(), "new", "scripts/bench-names")
