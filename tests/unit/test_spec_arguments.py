"""CNI_ARGS: as strict as the reference (contract 1.12)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.spec import arguments
from pycni.spec.errors import CniError

plain = st.text(st.characters(exclude_characters=";=", exclude_categories=["Cs"]), max_size=8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("MAC=aa", {"MAC": "aa"}),
        ("MAC=", {"MAC": ""}),
        ("MAC=a;MAC=b", {"MAC": "b"}),
        ("IgnoreUnknown=1;IP=1.2.3.4;MAC=a", {"MAC": "a"}),
        ("IP=1.2.3.4;MAC=a;IgnoreUnknown=TRUE", {"MAC": "a"}),
        ("IgnoreUnknown=false;MAC=a", {"MAC": "a"}),
    ],
)
def test_accepted(text: str, expected: dict[str, str]) -> None:
    assert arguments.parse(text, ("MAC",)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MAC", 'ARGS: invalid pair "MAC"'),
        ("MAC=a=b", 'ARGS: invalid pair "MAC=a=b"'),
        ("MAC=a;", 'ARGS: invalid pair ""'),
        (";", 'ARGS: invalid pair ""'),
        ("IgnoreUnknown=1;broken", 'ARGS: invalid pair "broken"'),
        ("X=1;broken", 'ARGS: invalid pair "broken"'),
        ("mac=a", 'ARGS: unknown args ["mac=a"]'),
        ("K=V;MAC=a;K2=V2", 'ARGS: unknown args ["K=V" "K2=V2"]'),
        ("IgnoreUnknown=0;K=V", 'ARGS: unknown args ["K=V"]'),
        ("ignoreunknown=1;K=V", 'ARGS: unknown args ["ignoreunknown=1" "K=V"]'),
        (
            "IgnoreUnknown=yes",
            'ARGS: error parsing value of pair "IgnoreUnknown=yes": boolean unmarshal error: invalid input yes',
        ),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(CniError) as caught:
        arguments.parse(text, ("MAC",))
    assert (caught.value.code, caught.value.msg, caught.value.details) == (999, message, "")


@given(st.dictionaries(plain.filter(lambda key: key != "IgnoreUnknown"), plain, min_size=1, max_size=5))
def test_known_keys_come_back(pairs: dict[str, str]) -> None:
    text = ";".join(f"{key}={value}" for key, value in pairs.items())
    assert arguments.parse(text, tuple(pairs)) == pairs
    assert arguments.parse(text + ";IgnoreUnknown=true", ()) == {}
    with pytest.raises(CniError, match=r"^ARGS: unknown args "):
        arguments.parse(text, ())
