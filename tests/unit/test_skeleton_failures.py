"""The dispatcher: error objects byte for byte, and roll back of what a failing handler did."""

from __future__ import annotations

import json

import pytest
from fake_machine import Machine
from sample_plugin import CONFIG, Sample, machine, sample

from pycni.plan import ops
from pycni.skeleton import Answer, error_text, serve
from pycni.spec import errors
from pycni.spec.errors import CniError

__all__ = ["machine", "sample"]


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
