"""The short way for results that are passed on prints what the long way prints, or leaves it to that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.spec import jsontext, result, verbatim
from pycni.spec.errors import CniError
from pycni.spec.section import Section

ODD: st.SearchStrategy[Any] = st.sampled_from([None, True, 0, 1, 1.0, "", "x", [], {}, ["x"], {"name": "x"}, 1 << 32])
ADDRESSES = st.sampled_from(["10.1.2.3", "fd00::1", "FD00::1", "::ffff:10.1.2.3", "010.1.2.3", "::0102:0304", "", 7])
PREFIXES = st.sampled_from(["10.1.2.3/24", "0.0.0.0/0", "fd00::/64", "FD00::/64", "10.0.0.0/08", "10.0.0.0", "::/0"])


def objects(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly well-formed ones."""
    well: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(required, optional=optional)
    odd = st.dictionaries(st.sampled_from([*required, *optional, "Name", "other"]), ODD, max_size=2)
    return st.one_of(well, well, st.builds(lambda first, second: {**first, **second}, well, odd))


TEXTS = st.sampled_from(["eth0", "02:00:00:00:00:01", "/run/netns/a", "<&>", "\u2028", ""])
INTERFACES = objects({"name": TEXTS}, {"mac": TEXTS, "sandbox": TEXTS, "mtu": st.just(1400), "pciID": TEXTS})
IPS = objects({"address": PREFIXES}, {"gateway": ADDRESSES, "interface": st.integers(-1, 2)})
ROUTES = objects({"dst": PREFIXES}, {"gw": ADDRESSES, "mtu": st.just(1300), "scope": st.just(0)})
RESULTS = objects(
    {"cniVersion": st.sampled_from(["1.0.0", "1.0.0", "1.1.0", "0.4.0"])},
    {
        "interfaces": st.lists(INTERFACES, max_size=2),
        "ips": st.lists(IPS, max_size=2),
        "routes": st.lists(ROUTES, max_size=2),
        "dns": objects({}, {"nameservers": st.just(["1.1.1.1"]), "search": st.just([])}),
    },
)


@given(RESULTS, st.sampled_from(["1.0.0", "1.1.0", "0.4.0", ""]))
def test_it_prints_what_parsing_and_rendering_print(raw: dict[str, Any], version: str) -> None:
    found = verbatim.render(raw, version)
    if found is None:
        return
    assert found == result.render(result.parse(Section(raw), version), version)


@given(RESULTS)
def test_what_we_printed_ourselves_it_prints_again(raw: dict[str, Any]) -> None:
    try:
        printed = result.render(result.parse(Section(raw), "1.0.0"), "1.0.0")
    except CniError:
        return
    again = verbatim.render(jsontext.loads(printed), "1.0.0")
    rare = [key for key in ("mtu", "pciID", "scope", "nameservers", "search", "priority", "") if f'"{key}"' in printed]
    assert again == (None if rare or '"interface": -' in printed else printed)


@pytest.mark.parametrize("raw", [None, [], "x", 0, False, {}])
def test_what_is_no_result_is_left_to_the_long_way(raw: Any) -> None:
    assert verbatim.render(raw, "1.0.0") is None
