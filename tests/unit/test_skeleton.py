"""The dispatcher: order of checks, error objects byte for byte, gates, the same-namespace check, roll back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from fake_machine import NETNS, Machine
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pycni.firewall.firewall import Firewall
from pycni.plan import ops
from pycni.record import Record
from pycni.remembered import Memory
from pycni.settings import Settings
from pycni.skeleton import Answer, Context, Host, Plugin, about, error_text, serve
from pycni.spec import errors, version
from pycni.spec.address import Prefix
from pycni.spec.errors import CniError
from pycni.spec.result import Interface, IpConfig, Result

CONFIG: dict[str, Any] = {"name": "net", "cniVersion": "1.1.0", "cni.dev/valid-attachments": []}


class Call(Record):
    command: str
    netns: str


class Sample:
    """A plugin that notes its calls; `outcome` is its ADD's result or what any handler raises."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.outcome: Result | Exception = Result((Interface("eth0", "", NETNS),))
        self.plan: list[ops.Operation] = []
        names = ("check", "delete", "gc", "status")
        self.plugin = Plugin("sample", add=self._add, **{name: self._handler(name) for name in names})

    def _add(self, context: Context) -> Result:
        self.calls.append("add")
        context.transaction.apply(self.plan)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def _handler(self, name: str) -> Any:
        def handle(context: Context) -> None:
            self.calls.append(name)
            context.warn(f"a line from {name}")
            if isinstance(self.outcome, Exception):
                raise self.outcome

        return handle


@pytest.fixture
def sample() -> Sample:
    return Sample()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    yield Machine(tmp_path)


def serve_with(plugin: Plugin, machine: Machine, stdin: bytes = b"", **environment: str) -> Answer:
    return serve(plugin, environment, lambda: stdin, machine.host())


def never_read() -> bytes:
    raise AssertionError("standard input was read")


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


# --- errors ----------------------------------------------------------------------------------------------------------


def test_an_error_object_byte_for_byte(machine: Machine, sample: Sample) -> None:
    answer = machine.call(sample.plugin, "ADD", b'{"name":"a b"}')
    assert answer == Answer(
        1,
        b'{\n    "code": 7,\n    "msg": "invalid characters found in network name",\n    "details": "a b"\n}',
    )


def test_an_error_without_details() -> None:
    assert error_text(CniError("a <b> & c")) == ('{\n    "code": 999,\n    "msg": "a \\u003cb\\u003e \\u0026 c"\n}')


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.CniError("m"), 999),
        (errors.IncompatibleVersion("m"), 1),
        (errors.UnknownContainer("m"), 3),
        (errors.InvalidEnvironment("m"), 4),
        (errors.IoFailure("m"), 5),
        (errors.DecodingFailure("m"), 6),
        (errors.InvalidNetworkConfig("m"), 7),
        (errors.InvalidNamespace("m"), 8),
        (errors.TryAgainLater("m"), 11),
        (errors.NotAvailable("m"), 50),
        (errors.LimitedConnectivity("m"), 51),
        (errors.ConfigError("m"), 999),
        (errors.KernelError("m", 17), 999),
        (errors.AllocationError("m"), 999),
        (errors.StoreError("open", "m", OSError(2, "No such file")), 999),
        (errors.FirewallError("m"), 999),
        (errors.DelegateError(123, "m"), 123),
    ],
)
def test_each_error_keeps_its_code(machine: Machine, sample: Sample, error: CniError, code: int) -> None:
    sample.outcome = error
    for command in ("ADD", "DEL", "CHECK", "GC", "STATUS"):
        body = machine.error(sample.plugin, command, CONFIG)
        assert body == {"code": code, "msg": error.msg}


def test_details_of_an_error(machine: Machine, sample: Sample) -> None:
    sample.outcome = errors.DelegateError(0, "msg", "and details")
    answer = machine.call(sample.plugin, "ADD", CONFIG)
    assert answer.stdout == b'{\n    "code": 0,\n    "msg": "msg",\n    "details": "and details"\n}'


def test_a_defect_is_not_hidden(machine: Machine, sample: Sample) -> None:
    sample.outcome = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        machine.call(sample.plugin, "ADD", CONFIG)


def test_stdin_that_cannot_be_read(machine: Machine, sample: Sample) -> None:
    def fail() -> bytes:
        raise OSError(5, "Input/output error")

    environment = {"CNI_COMMAND": "GC", "CNI_PATH": "p"}
    answer = serve(sample.plugin, environment, fail, machine.host())
    assert json.loads(answer.stdout) == {"code": 5, "msg": "error reading from stdin: input/output error"}


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


# --- roll back -------------------------------------------------------------------------------------------------------


PLAN: list[ops.Operation] = [ops.EnsureBridge("br0"), ops.CreateVeth("eth0", "veth1", bridge="br0")]


def test_what_a_failing_handler_did_is_undone(machine: Machine, sample: Sample) -> None:
    before = machine.state()
    sample.plan, sample.outcome = PLAN, CniError("later")
    assert machine.error(sample.plugin, "ADD", CONFIG) == {"code": 999, "msg": "later"}
    assert machine.state() == before


def test_a_result_that_cannot_be_printed_undoes_the_add(machine: Machine, sample: Sample) -> None:
    """The reference finds out too late and leaves the interface behind (contract 1.10)."""
    before = machine.state()
    sample.plan = PLAN
    body = machine.error(sample.plugin, "ADD", {"name": "n", "cniVersion": "0.2.0"})
    assert body == {"code": 999, "msg": "cannot convert: no valid IP addresses"}
    assert machine.state() == before


def test_what_a_successful_handler_did_stays(machine: Machine, sample: Sample) -> None:
    sample.plan = PLAN
    machine.add(sample.plugin, CONFIG)
    assert machine.host_namespace.link("veth1") is not None


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


# --- any input -------------------------------------------------------------------------------------------------------


keys = st.sampled_from(
    [
        "name",
        "cniVersion",
        "type",
        "ipam",
        "prevResult",
        "runtimeConfig",
        "args",
        "dns",
        "bridge",
        "mtu",
        "vlan",
        "isGateway",
        "ipMasq",
        "sysctl",
        "mac",
        "promisc",
        "backend",
        "snat",
        "markMasqBit",
        "conditionsV4",
        "ingressPolicy",
        "cni.dev/valid-attachments",
        "routes",
        "ips",
        "interfaces",
        "address",
        "portMappings",
        "hostPort",
        "containerPort",
        "protocol",
        "hostIP",
        "subnet",
        "ranges",
        "cni",
        "dst",
        "gw",
        "scope",
        "txQLen",
        "dataDir",
    ]
)
scalars = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1,
        2**33,
        10**30,
        1.5,
        "",
        "x",
        "host-local",
        "10.1.2.3/24",
        "10.1.2.3",
        "::/0",
        "\x00",
        "\ud800",
        "nftables",
    ]
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5), max_leaves=20
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plugin=st.sampled_from(["bridge", "host-local", "loopback", "portmap", "firewall", "tuning"]),
    command=st.sampled_from(["ADD", "DEL", "CHECK", "GC", "STATUS"]),
    config=st.dictionaries(keys, values, max_size=10),
)
def test_whatever_the_configuration_the_answer_is_a_result_or_an_error_object(
    plugin: str, command: str, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A traceback, or a changed machine after a failure, would be a defect."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    before = machine.state()
    data = str(machine.directory / "data")
    whole = {**config, "name": "n", "cniVersion": "1.1.0", "dataDir": data}
    if isinstance(whole.get("ipam"), dict):
        whole["ipam"] = {**whole["ipam"], "dataDir": data}
    answer = machine.call(plugin, command, whole)
    if answer.status:
        body = json.loads(answer.stdout)
        assert body["code"]
        assert body["msg"]
        if command == "ADD":
            assert machine.state() == before
    elif answer.stdout:
        assert command == "ADD"
        assert json.loads(answer.stdout)["cniVersion"] == "1.1.0"


def test_a_host_without_a_reaper_does_deferred_work_at_once(machine: Machine) -> None:
    done: list[object] = []
    host = Host(machine.host_namespace, cast(Firewall, machine.firewall), machine.kernel.open, Settings())
    host.defer(done.append)
    assert done == [machine.host_namespace]
    assert not host.deferring


# --- remembered configurations ---------------------------------------------------------------------------------------


def remembering(machine: Machine, plugin: Plugin) -> Any:
    """A way to call the plugin on one host that remembers."""
    host = machine.host()
    host.memory = Memory()
    variables = {"CNI_CONTAINERID": "c", "CNI_NETNS": NETNS, "CNI_IFNAME": "eth0", "CNI_PATH": "/x"}

    def call(config: dict[str, Any], command: str = "ADD") -> dict[str, Any]:
        stdin = json.dumps({**CONFIG, **config}).encode()
        answer = serve(plugin, {**variables, "CNI_COMMAND": command}, lambda: stdin, host)
        found: dict[str, Any] = json.loads(answer.stdout or b"{}")
        return found

    return call


def test_a_remembered_configuration_has_the_call_s_own_previous_result(machine: Machine) -> None:
    seen: list[Any] = []

    def add(context: Context) -> Result:
        previous = context.config.prev_result()
        seen.append((context.config.name, context.config.section, context.config.section.boolean("flag"), previous))
        return previous or Result()

    call = remembering(machine, Plugin("sample", add=add))
    for name in ("a", "b"):
        printed = call({"flag": True, "prevResult": {"cniVersion": "1.1.0", "interfaces": [{"name": name}]}})
        assert printed["interfaces"] == [{"name": name}]
    assert call({"flag": True}) == {"cniVersion": "1.1.0"}, "it is not the last one's"
    assert call({"flag": True, "prevResult": 1})["code"] == 999
    assert [each[0] for each in seen] == ["net"] * 3
    assert seen[0][1] is seen[1][1] is seen[2][1], "taken apart once"


@pytest.mark.parametrize("other", [1, 1.0, "true", None])
def test_only_an_equal_configuration_is_the_remembered_one(machine: Machine, other: object) -> None:
    """1 and true are equal in Python, and not the same in JSON."""

    def add(context: Context) -> Result:
        return Result((Interface(str(context.config.section.boolean("flag"))),))

    call = remembering(machine, Plugin("sample", add=add))
    assert call({"flag": True})["interfaces"] == [{"name": "True"}]
    answer = call({"flag": other})
    assert answer.get("code") == 999 if other is not None else answer["interfaces"] == [{"name": "False"}]
    assert call({"flag": True})["interfaces"] == [{"name": "True"}]


def test_a_remembered_configuration_passes_each_command_s_gate(machine: Machine, sample: Sample) -> None:
    call = remembering(machine, sample.plugin)
    old = {"cniVersion": "0.3.1"}
    assert "code" not in call(old)
    assert call(old, "CHECK")["msg"] == "config version does not allow CHECK"
    assert call({"name": "../x"})["code"] == 7
    assert call({"name": "../x"})["code"] == 7
    assert sample.calls == ["add"]


@given(st.dictionaries(st.sampled_from(("prevResult", "PrevResult", "flag", "args")), st.one_of(
    st.none(), st.booleans(), st.integers(0, 2), st.just({}), st.just({"cniVersion": "1.1.0"}),
)))  # fmt: skip
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_remembering_changes_no_answer(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> None:
    def add(context: Context) -> Result:
        context.config.section.boolean("flag")
        return context.config.prev_result() or Result()

    plugin = Plugin("sample", add=add)
    machine = Machine(tmp_path_factory.mktemp("machine"))
    stdin = json.dumps({**CONFIG, **config}).encode()
    variables = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c",
        "CNI_NETNS": NETNS,
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/",
    }
    host = machine.host()
    forgetful = serve(plugin, variables, lambda: stdin, host)
    host.memory = Memory()
    assert [serve(plugin, variables, lambda: stdin, host) for _ in range(2)] == [forgetful] * 2
