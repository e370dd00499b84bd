"""The dispatcher: order of checks, gates, output, the same-namespace check, deferred work."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from fake_machine import Machine
from sample_plugin import CONFIG, Sample, machine, never_read, sample

from pycni.firewall.firewall import Firewall
from pycni.settings import Settings
from pycni.skeleton import Answer, Host, Plugin, about, serve
from pycni.spec import version
from pycni.spec.address import Prefix
from pycni.spec.errors import CniError
from pycni.spec.result import Interface, IpConfig, Result

__all__ = ["machine", "sample"]


def serve_with(plugin: Plugin, machine: Machine, stdin: bytes = b"", **environment: str) -> Answer:
    return serve(plugin, environment, lambda: stdin, machine.host())


# --- about text and VERSION ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", [{}, {"CNI_COMMAND": ""}, {"CNI_COMMAND": "", "CNI_CONTAINERID": "../"}])
def test_without_a_command_the_about_text(machine: Machine, environment: dict[str, str]) -> None:
    from pycni_plugins import load

    answer = serve(load("bridge"), environment, never_read, machine.host())
    assert answer == Answer(
        0,
        b"",
        b"CNI bridge plugin v1.9.1\nCNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n",
    )


def test_the_about_text_of_an_unstamped_build() -> None:
    plugin = Plugin("x", ("0.4.0", "1.0.0"))
    assert about(plugin, "version unknown") == (
        "CNI x plugin version unknown\nCNI protocol versions supported: 0.4.0, 1.0.0\n"
    )


def test_version_needs_nothing_and_reads_nothing(machine: Machine) -> None:
    answer = serve(Plugin("x"), {"CNI_COMMAND": "VERSION"}, never_read, machine.host())
    assert answer == Answer(
        0,
        b'{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n',
    )


def test_version_of_a_plugin_with_few_versions(machine: Machine) -> None:
    answer = serve(Plugin("x", ("0.4.0",)), {"CNI_COMMAND": "VERSION"}, never_read, machine.host())
    assert answer.stdout == b'{"cniVersion":"1.1.0","supportedVersions":["0.4.0"]}\n'


# --- order of checks -------------------------------------------------------------------------------------------------


def test_variables_come_before_stdin(machine: Machine, sample: Sample) -> None:
    answer = serve(sample.plugin, {"CNI_COMMAND": "ADD"}, never_read, machine.host())
    assert json.loads(answer.stdout) == {
        "code": 4,
        "msg": "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing",
    }


@pytest.mark.parametrize(
    ("stdin", "code", "msg"),
    [
        (b"", 6, "error unmarshall network config: unexpected end of JSON input"),
        (b"{}", 7, "missing network name"),
        (b'{"name":"n"}', 4, "unknown CNI_COMMAND: {}"),
        (b'{"name":"n","cniVersion":5,"ipam":[]}', 4, "unknown CNI_COMMAND: {}"),
    ],
)
@pytest.mark.parametrize("command", ["add", "Del", "UPDATE", " ADD"])
def test_the_configuration_comes_before_an_unknown_command(
    machine: Machine, sample: Sample, command: str, stdin: bytes, code: int, msg: str
) -> None:
    answer = serve_with(sample.plugin, machine, stdin, CNI_COMMAND=command)
    assert json.loads(answer.stdout) == {"code": code, "msg": msg.format(command)}


@pytest.mark.parametrize(
    ("config", "code", "msg"),
    [
        ({"name": "n", "cniVersion": "9.9.9", "ipam": []}, 1, "incompatible CNI versions"),
        ({"name": "n", "cniVersion": 1, "ipam": []}, 6, "error decoding version from network config: "),
        ({"name": "n", "cniVersion": "1.0.0", "ipam": []}, 999, "invalid configuration: key 'ipam'"),
    ],
)
def test_the_version_comes_before_the_other_keys(
    machine: Machine, sample: Sample, config: dict[str, Any], code: int, msg: str
) -> None:
    body = machine.error(sample.plugin, "ADD", config)
    assert body["code"] == code
    assert body["msg"].startswith(msg)
    assert sample.calls == []


@pytest.mark.parametrize(
    ("command", "old", "msg"),
    [
        ("CHECK", "0.3.1", "config version does not allow CHECK"),
        ("GC", "1.0.0", "config version does not allow GC"),
        ("STATUS", "1.0.0", "config version does not allow STATUS"),
    ],
)
def test_version_gates(machine: Machine, sample: Sample, command: str, old: str, msg: str) -> None:
    assert machine.error(sample.plugin, command, {**CONFIG, "cniVersion": old}) == {"code": 1, "msg": msg}
    assert sample.calls == []


def test_an_incompatible_version_byte_for_byte(machine: Machine) -> None:
    answer = machine.call("firewall", "ADD", {"name": "n"})
    assert answer.stdout.decode() == (
        '{\n    "code": 1,\n    "msg": "incompatible CNI versions",\n'
        '    "details": "config is \\"0.1.0\\", plugin supports [\\"0.4.0\\" \\"1.0.0\\" \\"1.1.0\\"]"\n}'
    )


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
def test_a_command_without_a_handler_succeeds_silently(machine: Machine, command: str) -> None:
    bare = Plugin("bare", ("1.1.0",))
    assert machine.call(bare, command, CONFIG) == Answer(0)
    assert machine.error(bare, command, {**CONFIG, "cniVersion": "1.2.0"})["code"] == 1


# --- output ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", version.ALL)
def test_a_result_is_printed_in_the_configurations_version(machine: Machine, sample: Sample, label: str) -> None:
    sample.outcome = Result(ips=(IpConfig(Prefix.parse("10.0.0.2/24")),))
    added = machine.add(sample.plugin, {"name": "n", "cniVersion": label})
    assert added["cniVersion"] == label
    assert ("ip4" in added) == (label in ("0.1.0", "0.2.0"))


def test_other_commands_print_nothing_but_warnings(machine: Machine, sample: Sample) -> None:
    for command, name in (("DEL", "delete"), ("CHECK", "check"), ("GC", "gc"), ("STATUS", "status")):
        assert machine.succeeds(sample.plugin, command, CONFIG) == f"a line from {name}\n"
    assert sample.calls == ["delete", "check", "gc", "status"]


def test_gc_without_the_list_of_valid_attachments_removes_nothing(machine: Machine, sample: Sample) -> None:
    """What cnitool sends: libcni 1.3.0 called without arguments leaves the key out."""
    config = {key: value for key, value in CONFIG.items() if key != "cni.dev/valid-attachments"}
    said = machine.succeeds(sample.plugin, "GC", config)
    assert said == "GC without a list of valid attachments: nothing removed\n"
    assert sample.calls == []
    machine.succeeds(sample.plugin, "GC", {**config, "cni.dev/attachments": None})
    assert sample.calls == ["gc"]


def test_warnings_are_kept_when_the_call_fails(machine: Machine, sample: Sample) -> None:
    sample.outcome = CniError("no")
    assert machine.call(sample.plugin, "DEL", CONFIG).stderr == b"a line from delete\n"


def test_a_path_that_is_not_utf8_survives(machine: Machine, sample: Sample) -> None:
    path = "/run/netns/\udcff"
    machine.kernel.create(path)
    sample.outcome = Result((Interface("eth0", "", path),))
    assert b'"sandbox": "/run/netns/\xff"' in machine.call(sample.plugin, "ADD", CONFIG, netns=path).stdout


# --- the same namespace ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_the_hosts_own_namespace_is_refused_before_any_work(machine: Machine, sample: Sample, command: str) -> None:
    body = machine.error(sample.plugin, command, CONFIG, netns="/run/netns/host")
    assert body == {"code": 8, "msg": "plugin's netns and netns from CNI_NETNS should not be the same"}
    assert sample.calls == []


@pytest.mark.parametrize("command", ["CHECK", "GC", "STATUS"])
def test_other_commands_do_not_compare_namespaces(machine: Machine, sample: Sample, command: str) -> None:
    machine.succeeds(sample.plugin, command, CONFIG, netns="/run/netns/host")


@pytest.mark.parametrize("value", ["1", "true", "TRUE"])
def test_the_override_allows_the_same_namespace(machine: Machine, sample: Sample, value: str) -> None:
    machine.add(sample.plugin, CONFIG, netns="/run/netns/host", CNI_NETNS_OVERRIDE=value)
    assert sample.calls == ["add"]


@pytest.mark.parametrize("netns", ["", "/run/netns/gone"])
def test_a_namespace_that_cannot_be_opened_is_not_compared(machine: Machine, sample: Sample, netns: str) -> None:
    machine.succeeds(sample.plugin, "DEL", CONFIG, netns=netns)
    assert sample.calls == ["delete"]


# --- deferred work ----------------------------------------------------------------------------------------------------


def test_a_host_without_a_reaper_does_deferred_work_at_once(machine: Machine) -> None:
    done: list[object] = []
    host = Host(machine.host_namespace, cast(Firewall, machine.firewall), machine.kernel.open, Settings())
    host.defer(done.append)
    assert done == [machine.host_namespace]
    assert not host.deferring
