"""static against the reference's binary: the same answers to the same calls."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import reference_plugins
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycni.kernel.netns import NamespaceMissing
from pycni.settings import Settings
from pycni.skeleton import Host, serve
from pycni_plugins.static.plugin import PLUGIN

Answer = tuple[int, Any]


def environment(command: str, cni_args: str) -> dict[str, str]:
    return {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/nowhere",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": cni_args,
        "CNI_PATH": "/nowhere",
    }


def by_reference(command: str, config: dict[str, Any], cni_args: str) -> Answer:
    binary = reference_plugins.directory() / "static"
    done = subprocess.run(
        [binary],
        input=json.dumps(config).encode(),
        env=environment(command, cni_args),
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None


def by_us(command: str, config: dict[str, Any], cni_args: str) -> Answer:
    def no_container(path: str) -> Any:
        raise NamespaceMissing(f'failed to Statfs "{path}": no such file or directory')

    host = Host(None, None, no_container, Settings())  # type: ignore[arg-type]
    answer = serve(PLUGIN, environment(command, cni_args), lambda: json.dumps(config).encode(), host)
    return answer.status, json.loads(answer.stdout) if answer.stdout else None


prefixes = st.sampled_from(["10.1.2.9/24", "10.1.2.8/32", "172.16.0.1/0", "fd00:1::9/64", "fd00::1:2/128"])
texts = prefixes | st.sampled_from(["", "10.1.2.9", "10.1.2.9/33", "fd00::/129", "10.1.2.09/24", "a/8", " 10.1.2.9/24"])
gateways = st.sampled_from(["10.1.2.1", "fd00:1::1"])
addresses = st.lists(
    st.fixed_dictionaries({"address": texts}, optional={"gateway": gateways}) | st.just({}), max_size=3
)
routes = st.lists(
    st.fixed_dictionaries(
        {"dst": st.sampled_from(["0.0.0.0/0", "::/0", "192.168.7.9/16"])},
        optional={
            "gw": gateways,
            "mtu": st.integers(0, 9000),
            "advmss": st.integers(0, 9000),
            "priority": st.integers(0, 5),
            "table": st.integers(0, 300),
            "scope": st.integers(0, 255),
        },
    ),
    max_size=3,
)
dns = st.fixed_dictionaries(
    {},
    optional={
        "nameservers": st.lists(st.sampled_from(["10.1.2.1", "x"]), max_size=2),
        "domain": st.sampled_from(["", "example.org"]),
        "search": st.lists(st.just("example.org"), max_size=2),
        "options": st.lists(st.just("ndots:5"), max_size=1),
    },
)
ips = st.fixed_dictionaries({}, optional={"ips": st.lists(texts, max_size=3)})
arguments = st.sampled_from(
    [
        "",
        "IP=10.1.2.7/24",
        "IP= 10.1.2.7/24 ,fd00:7::1/64",
        "IP=10.1.2.7",
        "IP=10.1.2.7/24,",
        "IP=",
        "GATEWAY=x",
        "GATEWAY=",
        "IP=10.9.2.7/24;GATEWAY=10.9.2.1",
        "IP=10.9.2.7/24;GATEWAY=10.9.2.1,10.9.2.2, fd00:9::1",
        "GATEWAY=10.9.2.1",
        "MAC=0a:00:00:00:00:01",
        "IgnoreUnknown=1;MAC=x;IP=10.1.2.7/24",
        "IP=10.1.2.7/24;",
    ]
)
configurations = st.fixed_dictionaries(
    {"name": st.just("net"), "type": st.just("static")},
    optional={
        "cniVersion": st.sampled_from(["", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0", "9.9.9"]),
        "ipam": st.fixed_dictionaries(
            {"type": st.just("static")}, optional={"addresses": addresses, "routes": routes, "dns": dns}
        ),
        "args": st.fixed_dictionaries({}, optional={"cni": ips}),
        "runtimeConfig": ips,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configurations, arguments)
def test_any_configuration(config: dict[str, Any], cni_args: str) -> None:
    assert by_us("ADD", config, cni_args) == by_reference("ADD", config, cni_args)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configurations, addresses)
def test_any_previous_result(config: dict[str, Any], previous: list[dict[str, str]]) -> None:
    """DEL too, which does nothing, whatever it is told."""
    known = [each for each in previous if each.get("address", "").partition("/")[2] in ("24", "64")]
    if known:
        config = {**config, "prevResult": {"cniVersion": config.get("cniVersion") or "0.1.0", "ips": known}}
    assert by_us("CHECK", config, "") == by_reference("CHECK", config, "")
    assert by_us("DEL", config, "IP=bad") == by_reference("DEL", config, "IP=bad")


def test_a_gateway_of_the_arguments_is_that_of_configured_addresses_too() -> None:
    """Appendix A.18, on purpose."""
    config = {
        "cniVersion": "1.0.0",
        "name": "net",
        "ipam": {"type": "static", "addresses": [{"address": "10.1.2.9/24"}]},
    }
    ours, theirs = (call("ADD", config, "GATEWAY=10.1.2.1") for call in (by_us, by_reference))
    assert ours[1]["ips"] == [{"address": "10.1.2.9/24", "gateway": "10.1.2.1"}]
    assert theirs[1]["ips"] == [{"address": "10.1.2.9/24"}]


@pytest.mark.parametrize("command", ["VERSION", "GC"])
def test_the_other_commands(command: str) -> None:
    config = {"cniVersion": "1.1.0", "name": "net", "cni.dev/valid-attachments": []}
    ours, theirs = by_us(command, config, ""), by_reference(command, config, "")
    assert ours == theirs
