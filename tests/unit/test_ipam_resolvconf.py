from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pycni.ipam.resolvconf import parse_resolv_conf
from pycni.spec.result import Dns


def test_lines_add_up_and_the_last_domain_wins() -> None:
    text = """
# a comment
; another
nameserver 192.0.2.1 ignored
  nameserver\t192.0.2.2
domain example.com
domain example.org
search a.example b.example
search c.example
options ndots:5 timeout:1
nameserver
sortlist 1.2.3.4
#nameserver 192.0.2.9
"""
    assert parse_resolv_conf(text) == Dns(
        ("192.0.2.1", "192.0.2.2"), "example.org", ("a.example", "b.example", "c.example"), ("ndots:5", "timeout:1")
    )


@given(st.text())
def test_nothing_in_the_file_can_break_it(text: str) -> None:
    assert parse_resolv_conf(f"{text}\nnameserver 192.0.2.1\n").nameservers[-1] == "192.0.2.1"
