"""The benchmark's arithmetic and its table; what it measures is no matter for tests."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.chain.document import replaced
from tests.bench.chain.figures import Comparison, Row, Series, verdict
from tests.bench.chain.measure import Run, Samples
from tests.bench.chain.networks import BACKENDS, container, plugin_list
from tests.bench.chain.private_host import BenchError
from tests.bench.chain.promises import Pair, Promise
from tests.bench.chain.table import chain_rows, parallel_rows, steps_table, table
from tests.bench.plugins.cases import KERNEL_ALONE, chosen
from tests.bench.plugins.outcome import Outcome

seconds = st.lists(st.floats(1e-4, 10), min_size=1)

BEGIN, END = "<!-- written by scripts/bench --doc -->", "<!-- end of what scripts/bench writes -->"


@given(seconds, seconds, st.floats(0.1, 10))
def test_ratio_does_not_depend_on_the_unit(base: list[float], ours: list[float], factor: float) -> None:
    plain = Comparison(Series.of(base), Series.of(ours))
    scaled = Comparison(Series.of([b * factor for b in base]), Series.of([o * factor for o in ours]))
    assert scaled.ratio == pytest.approx(plain.ratio)
    assert scaled.ratio_of_minima == pytest.approx(plain.ratio_of_minima)


def test_a_ratio_above_one_means_that_ours_is_faster() -> None:
    comparison = Comparison(Series.of([0.4, 0.2, 0.9]), Series.of([0.1, 0.3, 0.05]))
    assert comparison.ratio == pytest.approx(4)
    assert comparison.ratio_of_minima == pytest.approx(4)


def test_a_series_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        Series.of([])


@pytest.mark.parametrize(
    ("value", "goal", "least", "smaller", "expected"),
    [
        (12.0, 12.0, 8.0, False, "goal"),
        (11.9, 12.0, 8.0, False, "at least"),
        (7.9, 12.0, 8.0, False, "missed"),
        (0.9, None, 1.0, False, "missed"),
        (5.0, None, None, False, ""),
        (25.0, 25.0, 40.0, True, "goal"),
        (39.0, 25.0, 40.0, True, "at least"),
        (41.0, 25.0, 40.0, True, "missed"),
        (0.0, 0.0, 0.0, True, "goal"),
        (1.0, 0.0, 0.0, True, "missed"),
    ],
)
def test_verdict(value: float, goal: float | None, least: float | None, smaller: bool, expected: str) -> None:
    assert verdict(value, goal, least, smaller=smaller) == expected


def two_sides() -> Run:
    theirs = Samples([[0.040, 0.030, 0.028, 0.002]], [[0.002, 0.030, 0.070, 0.080]], [0.0])
    ours = Samples([[0.004, 0.003, 0.002, 0.001]], [[0.001, 0.002, 0.003, 0.004]], [0.010])
    return Run({"ref-nft": theirs, "nft": ours})


def test_chain_rows_sum_the_plugins_and_add_what_was_deferred() -> None:
    pair = Pair("nft", "nft", "ref-nft", Promise(12, 8), Promise(15, 10), deferred=True)
    add, delete, whole = chain_rows(two_sides(), [pair])
    assert add.value == pytest.approx(0.1 / 0.01)
    assert add.verdict == "at least"
    assert delete.value == pytest.approx(0.182 / 0.01)
    assert delete.verdict == "goal"
    assert whole.value == pytest.approx(0.182 / 0.02)
    assert whole.verdict == ""


def test_a_side_that_failed_has_no_rows() -> None:
    run = two_sides()
    del run.samples["nft"]
    assert chain_rows(run, [Pair("nft", "nft", "ref-nft")]) == []
    assert parallel_rows(run, "nft", "ref-nft") == []


def test_deletion_is_listed_by_plugin_in_the_order_of_addition() -> None:
    ours = next(line for line in steps_table(two_sides()).splitlines() if "C launcher" in line)
    assert [cell.strip() for cell in ours.split("|")[2:-1]] == [
        "4.00 + 4.00",
        "3.00 + 3.00",
        "2.00 + 2.00",
        "1.00 + 1.00",
    ]


def test_table_columns_are_aligned_and_name_the_verdict() -> None:
    rows = [
        Row("nft", "ADD", "100.0", "10.0", 10.0, minima=9.0, goal=12, at_least=8),
        Row("engine", "memory", "", "", 17.2, " MB", goal=25, at_least=40, smaller=True),
    ]
    lines = table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[2].split("|")[4:-1]] == ["10.0x", "9.0x", "12x", "8x", "at least"]
    assert [cell.strip() for cell in lines[3].split("|")[4:-1]] == ["17.2 MB", "", "25 MB", "40 MB", "goal"]


def test_only_the_part_between_the_markers_changes() -> None:
    once = replaced(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new")
    assert once == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert replaced(once, "new") == once
    with pytest.raises(BenchError):
        replaced("a document without markers", "new")


def test_containers_differ_and_keep_clear_of_the_gateway() -> None:
    made = [container(number) for number in range(3000)]
    for attribute in ("id", "namespace", "port", "address"):
        assert len({getattr(one, attribute) for one in made}) == len(made)
    assert "10.88.0.1" not in {one.address for one in made}
    assert all(len(one.id) == 64 for one in made)


def test_backends_are_named_only_where_asked_for() -> None:
    keys = ("backend", "ipMasqBackend")
    assert not any(key in plugin for plugin in plugin_list(BACKENDS["default"], 80) for key in keys)
    named = [plugin.get(key) for plugin in plugin_list(BACKENDS["nftables"], 80) for key in keys if key in plugin]
    assert named == ["nftables"] * 3


def test_a_plugin_or_a_line_may_be_chosen() -> None:
    assert [case.name for case in chosen(["bridge"], guest=False)] == ["bridge", "bridge, masquerade", "bridge, vlan"]
    assert [case.name for case in chosen(["bridge, vlan"], guest=True)] == ["bridge, vlan"]
    assert {case.name for case in chosen([], guest=True)} == {"ipvlan", "vlan", "dummy", "vrf", "bridge, vlan"}


def test_what_the_guest_found_is_the_same_outside() -> None:
    slow, fast = [0.030, 0.031, 0.032], [0.020, 0.022, 0.021]
    samples = {"host-device": {"ADD": (slow, fast)}, KERNEL_ALONE: {"ADD": (slow, fast)}}
    found = Outcome({"cores": "2"}, 3, samples, left_out=["vrf"], emulated=True)
    outside = Outcome.from_json(json.loads(json.dumps(found.as_json())))
    assert outside.table() == found.table()
    assert outside.notes() == found.notes()


def test_what_the_kernel_alone_keeps_below_a_promise_is_not_missed() -> None:
    slow, fast = [0.030, 0.031, 0.032], [0.020, 0.022, 0.021]
    samples = {"host-device": {"ADD": (slow, fast), "DEL": (slow, fast)}, "tap": {"ADD": (slow, fast)}}
    found = Outcome({}, 3, samples)
    assert found.missed() == ["ADD host-device", "DEL host-device", "ADD tap"]
    found.samples[KERNEL_ALONE] = {"ADD": (slow, fast), "DEL": ([0.1], [0.02])}
    assert found.missed() == ["DEL host-device", "ADD tap"]
