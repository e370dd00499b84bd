"""The file in which one call without the engine passes on what it knows of iptables' tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.firewall.kept_listing import KeptListing
from pycni.firewall.tables import Tables

LISTINGS = {(4, "nat"): "*nat\n:PREROUTING ACCEPT\n-A PREROUTING -j X", (6, "filter"): "*filter"}


def test_it_holds_for_the_same_namespace_and_generation_only(tmp_path: Path) -> None:
    kept = KeptListing(str(tmp_path / "file"))
    assert kept.read(7, 3) == {}
    kept.write(7, 3, LISTINGS)
    assert kept.read(7, 3) == LISTINGS
    assert kept.read(7, 4) == {}
    assert kept.read(8, 3) == {}
    kept.write(7, 4, {})
    assert kept.read(7, 4) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_it_does_not_hold_after_a_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptListing(str(tmp_path / "file"))
    kept.write(7, 3, LISTINGS)
    boot = tmp_path / "boot_id"
    boot.write_text("another\n")
    monkeypatch.setattr("pycni.firewall.kept_listing._BOOT_ID", str(boot))
    assert kept.read(7, 3) == {}


@pytest.mark.parametrize("rest", ["\n@x nat\n*nat", "\n@\n", "garbage", "\n@4 nat"])
def test_a_damaged_file_does_no_harm(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "file"
    kept = KeptListing(str(path))
    kept.write(7, 3, {})
    path.write_text(path.read_text() + rest)
    assert kept.read(7, 3) in ({}, {(4, "nat"): ""})


def test_a_file_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    kept = KeptListing(str(tmp_path / "absent/file"))
    kept.write(7, 3, LISTINGS)
    assert kept.read(7, 3) == {}


RULE = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc", "Zl", "Zp"]), min_size=1)


@given(st.dictionaries(st.sampled_from(["INPUT", "CNI-1", "x@y"]), st.lists(RULE, max_size=4)))
def test_a_table_survives_being_written_out(chains: dict[str, list[str]]) -> None:
    tables = Tables()
    tables.chains = {("nat", chain): rules for chain, rules in chains.items()}
    tables.policies = {("nat", "INPUT"): "DROP"} if "INPUT" in chains else {}
    tables.chains["filter", "INPUT"] = ["-j OTHER"]
    again = Tables()
    again.parse(tables.text("nat"))
    assert again.chains == {place: rules for place, rules in tables.chains.items() if place[0] == "nat"}
    assert again.policies.get(("nat", "INPUT")) == tables.policies.get(("nat", "INPUT"))
