"""Go's gob, against what Go itself sent and against laws."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.kernel.model import Route
from pycni.spec.address import Address, Prefix
from pycni.spec.result import Dns, IpConfig, Result
from pycni_plugins.dhcp import calls
from pycni_plugins.dhcp.gob import BOOL, BYTES, INT, MAX_MESSAGE, STRING, UINT, GobError, Reader, Slice, Struct, Writer

# recorded between the reference's plugin and daemon (v1.9.1)
STDIN = (
    b'{"cniVersion":"1.1.0","name":"net","type":"macvlan","ipam":{"type":"dhcp","daemonSocketPath":"/tmp/dh/p.sock"}}\n'
)
REQUEST = (
    b".\x7f\x03\x01\x01\x07Request\x01\xff\x80\x00\x01\x02\x01\rServiceMethod\x01\x0c\x00\x01\x03Seq\x01\x06\x00\x00\x00"
    b"\x11\xff\x80\x01\x0cDHCP.Release\x00"
    b"l\xff\x81\x03\x01\x01\x07CmdArgs\x01\xff\x82\x00\x01\x07\x01\x0bContainerID\x01\x0c\x00\x01\x05Netns\x01\x0c\x00"
    b"\x01\x06IfName\x01\x0c\x00\x01\x04Args\x01\x0c\x00\x01\x04Path\x01\x0c\x00\x01\rNetnsOverride\x01\x0c\x00"
    b"\x01\tStdinData\x01\n\x00\x00\x00"
    b"\xff\x99\xff\x82\x01\x02c1\x01\x12/var/run/netns/dhc\x01\x04eth0\x02\x04/opt\x02p" + STDIN + b"\x00"
)
ARGUMENTS = {
    "ContainerID": "c1",
    "Netns": "/var/run/netns/dhc",
    "IfName": "eth0",
    "Path": "/opt",
    "StdinData": STDIN,
}
RESPONSE = bytes.fromhex(
    "397f03010108526573706f6e736501ff80000103010d536572766963654d6574686f64010c00010353657101060001054572726f72"
    "010c00000012ff80010d444843502e416c6c6f636174650051ff8103010106526573756c7401ff82000105010a434e495665727369"
    "6f6e010c00010a496e746572666163657301ff8600010349507301ff8c000106526f7574657301ff90000103444e5301ff92000000"
    "24ff85020101155b5d2a74797065733130302e496e7465726661636501ff860001ff8400004aff83030102ff8400010601044e616d"
    "65010c0001034d6163010c0001034d7475010400010753616e64626f78010c00010a536f636b657450617468010c00010550636949"
    "44010c00000023ff8b020101145b5d2a74797065733130302e4950436f6e66696701ff8c0001ff88000033ff87030102ff88000103"
    "0109496e7465726661636501040001074164647265737301ff8a00010747617465776179010a00000023ff890301010549504e6574"
    "01ff8a00010201024950010a0001044d61736b010a0000001dff8f0201010e5b5d2a74797065732e526f75746501ff900001ff8e00"
    "0050ff8d030102ff8e000107010344737401ff8a0001024757010a0001034d545501040001064164764d53530104000108"
    "5072696f72697479010400010554"
    "61626c65010400010553636f7065010400000046ff9103010103444e5301ff92000104010b4e616d657365727665727301ff940001"
    "06446f6d61696e010c00010653656172636801ff940001074f7074696f6e7301ff9400000016ff93020101085b5d737472696e6701"
    "ff9400010c000048ff8203010201040a4d002f0104ffffff000001040a4d00010001020101040a0200000104ff0000000001040a4d"
    "000300010104000000000104000000000001040a4d000100010000"
)


def read_all(data: bytes) -> list[Any]:
    reader = Reader()
    reader.feed(data)
    found = []
    while (value := reader.read()) is not None:
        found.append(value[0])
    return found


def test_a_request_of_the_reference() -> None:
    head, arguments = read_all(REQUEST)
    assert head == {"ServiceMethod": "DHCP.Release"}
    assert arguments == ARGUMENTS


def test_what_we_write_is_what_the_reference_writes() -> None:
    writer = Writer()
    ours = writer.write(calls.REQUEST, {"ServiceMethod": "DHCP.Release"}) + writer.write(calls.ARGUMENTS, ARGUMENTS)
    assert ours == REQUEST


def test_a_result_of_the_reference() -> None:
    _, body = read_all(RESPONSE)
    router = Address.parse("10.77.0.1")
    assert calls.from_wire(body) == Result(
        ips=(IpConfig(Prefix.parse("10.77.0.47/24"), router),),
        routes=(
            Route(Prefix.parse("10.2.0.0/8"), Address.parse("10.77.0.3")),
            Route(Prefix.parse("0.0.0.0/0"), router),
        ),
    )


def test_bytes_may_come_one_by_one() -> None:
    reader = Reader()
    found = []
    for number in REQUEST:
        reader.feed(bytes((number,)))
        while (value := reader.read()) is not None:
            found.append(value[0])
    assert found == read_all(REQUEST)


# --- laws ------------------------------------------------------------------------------------------------------------

scalars = {
    STRING: st.text(),
    BYTES: st.binary(),
    INT: st.integers(-(1 << 63), (1 << 63) - 1),
    UINT: st.integers(0, (1 << 64) - 1),
    BOOL: st.booleans(),
}


@st.composite
def typed(draw: st.DrawFn, depth: int = 0) -> tuple[Any, Any]:
    kind = draw(st.sampled_from(["scalar", "slice", "struct"] if depth < 3 else ["scalar"]))
    if kind == "scalar":
        scalar = draw(st.sampled_from(list(scalars)))
        return scalar, draw(scalars[scalar])
    if kind == "slice":
        element, first = draw(typed(depth + 1))
        # values of one type: the drawn one, several times over
        return Slice(f"[]{depth}", element), [first] * draw(st.integers(0, 3))
    fields = draw(st.lists(typed(depth + 1), max_size=4))
    kinds = tuple((f"F{number}", each) for number, (each, _) in enumerate(fields))
    return Struct(f"S{depth}", kinds), {f"F{number}": value for number, (_, value) in enumerate(fields)}


def canonical(kind: Any, value: Any) -> Any:
    """As a reader sees it: fields with zero values are not sent."""
    if isinstance(kind, Slice):
        return [canonical(kind.element, each) for each in value]
    if isinstance(kind, Struct):
        inner = {name: (each, canonical(each, value[name])) for name, each in kind.fields}
        return {name: found for name, (each, found) in inner.items() if found or isinstance(each, Struct)}
    return value


@given(st.lists(typed(), min_size=1, max_size=3))
def test_what_is_written_is_read(values: list[tuple[Any, Any]]) -> None:
    writer = Writer()
    data = b"".join(writer.write(kind, value) for kind, value in values)
    assert read_all(data) == [canonical(kind, value) for kind, value in values]


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for(data: bytes) -> None:
    try:
        read_all(data)
    except GobError:
        return


@given(st.integers(0, len(RESPONSE) - 1), st.integers(0, 255))
def test_a_damaged_answer_is_refused_or_read(at: int, byte: int) -> None:
    damaged = RESPONSE[:at] + bytes((byte,)) + RESPONSE[at + 1 :]
    try:
        for each in read_all(damaged):
            calls.from_wire(each)
    except GobError:
        return


def test_a_message_beyond_the_limit_is_refused() -> None:
    reader = Reader()
    reader.feed(b"\xfc" + (MAX_MESSAGE + 1).to_bytes(4, "big"))
    with pytest.raises(GobError, match="a message of"):
        reader.read()


addresses = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)).filter(
    lambda packed: not packed.startswith(bytes(10) + b"\xff\xff")
)
prefixes = addresses.flatmap(
    lambda packed: st.builds(Prefix, st.just(Address(packed)), st.integers(0, len(packed) * 8))
)
texts = st.lists(st.text(min_size=1), max_size=2).map(tuple)


@given(
    st.lists(st.builds(IpConfig, prefixes, st.none() | addresses.map(Address)), max_size=3),
    st.lists(
        st.builds(
            Route,
            prefixes,
            st.none() | addresses.map(Address),
            st.integers(0, 1 << 31),
            scope=st.none() | st.just(253),
        ),
        max_size=3,
    ),
    st.builds(Dns, texts, st.text(), texts, texts),
)
def test_results_survive_the_way(ips: list[IpConfig], routes: list[Route], dns: Dns) -> None:
    result = Result(ips=tuple(ips), routes=tuple(routes), dns=dns)
    (body,) = read_all(Writer().write(calls.RESULT, calls.to_wire(result)))
    assert calls.from_wire(body) == result
