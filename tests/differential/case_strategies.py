"""Parts of cases that all plugins share: versions, ways in, sequences of operations, CNI_ARGS, results of earlier
plugins, and how a good configuration is spoiled."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

Case = dict[str, Any]
Config = dict[str, Any]
Strategy = st.SearchStrategy[Any]

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
FIXED_MAC, OTHER_MAC = "0a:00:00:00:00:01", "0a:00:00:00:00:02"

versions = st.sampled_from((*VERSIONS, "1.0.0", "1.1.0", "0.4.0"))
strange_versions = st.sampled_from(
    (None, "", "0.5.0", "1.2.0", "2.0.0", "abc", "1", "1.0", "0.4", "1.0.0.0", "v1.0.0", " 1.0.0")
)
# the engine is what is used; the others are the same code reached otherwise
ways = st.sampled_from(("engine",) * 8 + ("lone", "twin"))


def mostly(good: Strategy | tuple[Any, ...], bad: Strategy | tuple[Any, ...], often: int = 12) -> Strategy:
    """Values that are served, one time in `often` one that may be refused: with many keys in a case each has to be good
    most of the time, or hardly any is ever served."""
    one, other = (each if isinstance(each, st.SearchStrategy) else st.sampled_from(each) for each in (good, bad))
    return st.integers(1, often).flatmap(lambda number: other if number == often else one)


macs = st.sampled_from((FIXED_MAC, OTHER_MAC, "0A:00:00:00:00:03"))
bad_macs = st.sampled_from(
    ("", "0a:00:00:00:00", "0a:00:00:00:00:01:02:03", "x", "0a-00-00-00-00-04", "0a00.0000.0005")
)

any_macs = mostly(macs, bad_macs)

_words = st.sampled_from(("example.org", "a", "ndots:2", "10.9.9.9", "fd00::53", ""))

dns = st.fixed_dictionaries(
    {},
    optional={
        "nameservers": st.lists(_words, max_size=2),
        "domain": _words,
        "search": st.lists(_words, max_size=2),
        "options": st.lists(_words, max_size=2),
    },
)

junk = st.sampled_from(
    (None, "", "x", 0, 1, -1, 1.5, 1 << 33, True, [], ["x"], [1], [None], {}, {"a": 1}, [{}], "10.1.2.3")
)

_any_args = st.sampled_from(
    (
        "",
        "IgnoreUnknown=1;K=V",
        "K=V;L=W",
        "BAD",
        "A=B=C",
        "A=B;",
        ";",
        "IgnoreUnknown=maybe",
        "IgnoreUnknown=TRUE;K8S=x",
        "K8S_POD_NAME=p;IgnoreUnknown=true",
        "IgnoreUnknown=0;Q=r",
        "=",
        "IgnoreUnknown=1;IP=10.1.2.9",
        "IP=10.1.2.9",
        "IP=fd00:1::9",
        "IP=10.1.2.9/16",
        "IP=bad",
        "ip=10.1.2.9",
        "MAC=0a:00:00:00:00:07",
        "IgnoreUnknown=1;MAC=0a:00:00:00:00:07",
        "IgnoreUnknown=1;MAC=bad",
        "GATEWAY=10.1.2.1",
    )
)
cni_args = mostly(
    (
        *("",) * 6,
        "IgnoreUnknown=1;K=V",
        "IgnoreUnknown=1;IP=10.1.2.9",
        "IgnoreUnknown=1;IP=10.1.2.9;MAC=0a:00:00:00:00:07;GATEWAY=10.1.2.1",
        "K8S_POD_NAME=p;IgnoreUnknown=true",
        "IgnoreUnknown=TRUE;MAC=0a:00:00:00:00:07",
    ),
    _any_args,
    4,
)

_told: dict[str, Strategy] = {
    "aliases": mostly((["web"], ["web", "db"], []), junk, 6),
    "dns": mostly(dns, junk, 6),
    "cgroupPath": mostly(("/kubelet.slice", ""), junk, 6),
    "infinibandGUID": mostly(("c2:11:22:33:44:55:66:77",), junk, 6),
    "podAnnotations": mostly(({"a": "b"},), junk, 6),
}
"""What a runtime may say to every plugin, and none of these listens to."""

GONE = {"command": "DEL", "vanish": True}
SEQUENCES: tuple[list[Any], ...] = (
    *(["ADD", "CHECK", "DEL", "DEL"],) * 6,
    ["ADD", {"command": "DEL", "netns": ""}],
    ["ADD", GONE, "DEL"],
    ["ADD", {"command": "CHECK", "forget": True}, {"command": "DEL", "forget": True}],
    ["ADD", "ADD", "DEL", "DEL"],
    ["DEL", "CHECK", "ADD", "DEL"],
    [{"command": "ADD", "vanish": True}, "CHECK", "DEL"],
    [{"command": "ADD", "netns": "/run/nothing"}, {"command": "DEL", "netns": "/run/nothing"}],
    ["ADD", {"command": "ADD", "ifname": "eth1"}, "DEL", {"command": "DEL", "ifname": "eth1"}],
    ["STATUS", "ADD", "STATUS", "DEL"],
)
COLLECTED: tuple[list[Any], ...] = (
    ["ADD", {"command": "GC", "valid": [{"containerID": "c1", "ifname": "eth0"}]}, "CHECK", "VERSION", "DEL"],
    ["ADD", {"command": "GC", "valid": [{"containerID": "other", "ifname": "eth0"}]}, "DEL"],
)
TWO_CONTAINERS: tuple[list[Any], ...] = (
    [
        "ADD",
        {"command": "ADD", "container": "c2"},
        "CHECK",
        "DEL",
        {"command": "CHECK", "container": "c2"},
        {"command": "DEL", "container": "c2"},
    ],
    ["ADD", "DEL", {"command": "ADD", "container": "c2"}, {"command": "DEL", "container": "c2"}],
)


collected = st.sampled_from((*COLLECTED, *COLLECTED, *SEQUENCES)).map(lambda steps: (steps, ["c1"]))
"""Operations on one container, GC among them."""


@st.composite
def sequences(draw: st.DrawFn) -> tuple[list[Any], list[str]]:
    """Operations, and the containers they are about."""
    if draw(st.integers(0, 7)) == 7:
        return draw(st.sampled_from(TWO_CONTAINERS)), ["c1", "c2"]
    return draw(st.sampled_from(SEQUENCES)), ["c1"]


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the parts of a JSON value are."""
    found = [before] if before else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += paths(item, (*before, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            found += paths(item, (*before, number))
    return found


def odd_case(key: str, how: int) -> str:
    return (key.upper, key.title, key.swapcase, key.lower)[how]()


@st.composite
def spoiled(draw: st.DrawFn, configs: Strategy, values: Strategy = junk, often: int = 4) -> Config:
    """A configuration, one time in `often` with a part replaced, removed or spelt in another case."""
    config: Config = copy.deepcopy(draw(configs))
    if draw(st.integers(1, often)) != often:
        return config
    places = [
        each for each in paths(config) if each != ("type",) and each[-1] != "dataDir" and each != ("ipam", "type")
    ]
    if not places:
        return config
    place = draw(st.sampled_from(places))
    holder: Any = config
    for key in place[:-1]:
        holder = holder[key]
    key, what = place[-1], draw(st.integers(0, 5))
    if what == 0 and isinstance(key, str):
        holder[odd_case(key, draw(st.integers(0, 3)))] = holder.pop(key)
    elif what == 1 and isinstance(key, str):
        del holder[key]
    else:
        holder[key] = draw(values)
    return config


def some(required: dict[str, Strategy], optional: dict[str, Strategy], most: int = 8) -> Strategy:
    """An object with the required keys and up to `most` of the others, half of that on the average, five at most."""

    @st.composite
    def build(draw: st.DrawFn) -> Config:
        config = {key: draw(each) for key, each in required.items()}
        chosen = st.lists(st.sampled_from(sorted(optional)), max_size=most, unique=True) if optional else st.just([])
        for key in draw(chosen):
            config[key] = draw(optional[key])
        return config

    return build()


@st.composite
def _told_more(draw: st.DrawFn, plugins: list[Config]) -> list[Config]:
    """One of the plugins with parts of `_told`, where it has an object to put them into."""
    number = draw(st.integers(0, len(plugins) - 1))
    known = plugins[number].get("runtimeConfig", {})
    if not isinstance(known, dict):
        return plugins
    names = draw(st.lists(st.sampled_from(sorted(_told)), min_size=1, unique=True))
    more = {"runtimeConfig": {**{name: draw(_told[name]) for name in names}, **known}}
    return [*plugins[:number], {**plugins[number], **more}, *plugins[number + 1 :]]


@st.composite
def cases(
    draw: st.DrawFn,
    plugins: Strategy,
    args: Strategy = cni_args,
    version: Strategy = versions,
    extra: Strategy | None = None,
    operations: Strategy | None = None,
) -> Case:
    """A whole case; `extra` gives more of its keys."""
    steps, containers = draw(operations if operations is not None else sequences())
    case: Case = {
        "version": draw(version),
        "way": draw(ways),
        "args": draw(args),
        "containers": containers,
        "steps": steps,
        "plugins": draw(plugins),
    }
    if draw(st.integers(0, 15)) == 15:
        case["dad"] = True
    if extra is not None:
        case |= draw(extra)
    if case["plugins"] and draw(st.integers(0, 9)) == 9:
        case["plugins"] = draw(_told_more(case["plugins"]))
    return case
