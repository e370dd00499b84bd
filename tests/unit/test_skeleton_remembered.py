"""The dispatcher: configurations that a host remembers change no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_machine import NETNS, Machine
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sample_plugin import CONFIG, Sample, machine, sample

from pycni.remembered import Memory
from pycni.skeleton import Context, Plugin, serve
from pycni.spec.result import Interface, Result

__all__ = ["machine", "sample"]


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
