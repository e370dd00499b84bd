"""Keys that several sources may give: what one hides is of the right type all the same, as the reference's decoder
wants it before anything is chosen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pycni.spec.errors import ConfigError
from pycni.spec.request import Config, parse_config
from pycni.spec.section import first_given
from pycni_plugins.bandwidth import config as bandwidth
from pycni_plugins.bridge import config as bridge
from pycni_plugins.macvlan import config as macvlan
from pycni_plugins.static import config as static
from pycni_plugins.tap import config as tap
from pycni_plugins.tuning import config as tuning

MAC = "0a:00:00:00:00:01"
KEY, RUNTIME = {"mac": 5}, {"runtimeConfig": {"mac": MAC}}
ARGS = {"args": {"cni": {"mac": 5}}}
GIVEN = f"MAC={MAC}"


@pytest.mark.parametrize(
    ("parse", "cni_args", "values"),
    [
        (tuning.parse_for_removal, GIVEN, KEY),
        (tuning.parse_for_removal, "", {**KEY, **RUNTIME}),
        (tuning.parse_for_removal, "", {**KEY, "args": {"cni": {"mac": MAC}}}),
        (tuning.parse_for_removal, "", {**ARGS, **RUNTIME}),
        (bridge.parse, "", {**ARGS, **RUNTIME}),
        (bridge.parse, GIVEN, ARGS),
        (lambda config, _: macvlan.parse(config), GIVEN, KEY),
        (lambda config, _: macvlan.parse(config), "", {**KEY, **RUNTIME}),
        (tap.parse, GIVEN, KEY),
        (tap.parse, "", {**KEY, **RUNTIME}),
    ],
)
def test_a_hidden_mac_of_the_wrong_type(
    parse: Callable[[Config, str], object], cni_args: str, values: dict[str, Any]
) -> None:
    config = parse_config(json.dumps({"name": "net", **values}).encode())
    with pytest.raises(ConfigError, match=r"mac': expected a string, got an integer"):
        parse(config, cni_args)


def test_the_first_that_is_not_empty() -> None:
    assert [first_given(*texts) for texts in (("", "b", "c"), ("a", "b"), ("", ""), ())] == ["b", "a", "", ""]


def test_a_limit_of_the_runtime_that_the_top_level_hides() -> None:
    values = {"ingressRate": 8000, "ingressBurst": 8000, "runtimeConfig": {"bandwidth": {"egressRate": ""}}}
    config = parse_config(json.dumps({"name": "net", **values}).encode())
    with pytest.raises(ConfigError, match=r"bandwidth\.egressRate': expected an integer, got a string"):
        bandwidth.parse(config)


@pytest.mark.parametrize("source", ["args", "runtimeConfig"])
@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"address": 5}, r"addresses\[0\]\.address': expected a string, got an integer"),
        ({"address": "x", "gateway": "y"}, r"addresses\[0\]\.gateway':"),
    ],
)
def test_addresses_of_static_that_the_caller_replaces(source: str, entry: dict[str, Any], reason: str) -> None:
    asked: dict[str, Any] = {"ips": ["10.1.2.9/24"]}
    ipam = {"type": "static", "addresses": [entry]}
    values = {"ipam": ipam, source: {"cni": asked} if source == "args" else asked}
    config = parse_config(json.dumps({"name": "net", **values}).encode())
    with pytest.raises(ConfigError, match=reason):
        static.parse(config, "")
    ipam["addresses"] = [{"address": "x"}]
    found = static.parse(parse_config(json.dumps({"name": "net", **values}).encode()), "")
    assert [str(each.address) for each in found.ips] == ["10.1.2.9/24"]
