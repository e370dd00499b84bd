"""The protocol around any plugin: environment, names, versions, unknown commands, damaged input."""

from __future__ import annotations

from typing import Any

from case_strategies import Case, strange_versions, versions, ways
from comparison import Comparison
from hypothesis import given
from hypothesis import strategies as st
from verdict import judge, share

_COMMANDS = ("ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "add", "", "UPDATE")
_names = st.sampled_from(("", "a", "A-b_c.d", "-a", ".", "..", "a/b", "a b", "ä", "x" * 300, "a\n", "_a", "0"))
_environment = st.fixed_dictionaries(
    {},
    optional={
        "CNI_CONTAINERID": _names,
        "CNI_IFNAME": st.sampled_from(
            (
                "",
                "eth0",
                ".",
                "..",
                "a/b",
                "a:b",
                "a b",
                "fifteen-letters",
                "sixteen-letters!",
                "\u00e4" * 8,
                "a\u2003b",
                "a\u0085",
            )
        ),
        "CNI_NETNS": st.sampled_from(
            (
                "",
                "/run/netns/c1",
                "/run/nothing",
                "/etc/hosts",
                "/proc/self/ns/net",
                "/run",
                "relative",
                "/proc/self/ns/mnt",
            )
        ),
        "CNI_PATH": st.sampled_from(
            ("", "/run/plugins", "/run/nothing", ":/run/plugins", "/run/nothing:/run/plugins", "/run/plugins/")
        ),
        "CNI_ARGS": st.sampled_from(("", "K", "IgnoreUnknown=1")),
        "CNI_NETNS_OVERRIDE": st.sampled_from(("", "1", "true", "TRUE", "0")),
    },
)
_texts = st.sampled_from(
    (
        "",
        "{",
        "[]",
        "null",
        "1",
        '"x"',
        "{}",
        '{"name": "net"} x',
        '{"name": 1}',
        '{"name": null}',
        '{"NAME": "net"}',
        '{"name": "net", "name": ""}',
        '{"name": "a b"}',
        '{"name": "net", "cniVersion": 1}',
        '{"name": "net", "cniVersion": "1.0.0",}',
        "\ufeff{}",
        '{"name": "n\\u0000"}',
        '{"name": "net", "cniVersion": "1.0.0", "prevResult": []}',
        '{"name": "net", "cniVersion": "1.0.0", "prevResult": {"cniVersion": "0.2.0"}}',
        '{"name": "net", "cniVersion": "1.0.0", "prevResult": {"ips": [{"address": "x"}]}}',
        '{"name": "net", "cniVersion": "1.0.0", "ipam": 1}',
        '{"name": "net", "cniVersion": "1.0.0", "dns": {"nameservers": "x"}}',
    )
)


@st.composite
def _calls(draw: st.DrawFn) -> Case:
    from pycni_plugins import NAMES

    plugin = draw(st.sampled_from([each for each in NAMES if each != "dnsname"]))
    step: dict[str, Any] = {"command": draw(st.sampled_from(_COMMANDS)), "environment": draw(_environment)}
    if draw(st.booleans()):
        step["stdin"] = draw(_texts)
    config = {"type": plugin}
    name = draw(st.just("net") | _names)
    return {
        "version": draw(versions | strange_versions),
        "name": name,
        "plugins": [config],
        "steps": [step],
        "way": draw(ways),
    }


@share(14)
@given(_calls())
def test_calls(comparison: Comparison, case: Case) -> None:
    judge(comparison, case)
