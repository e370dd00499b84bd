"""What CHECK asks of an interface, and tear-down that goes on (contract 2.0.6, 2.0.7)."""

from __future__ import annotations

import pytest

from pycni.kernel.memory import MemoryKernel, MemoryNamespace
from pycni.kernel.model import Link, Route
from pycni.plan.teardown import Failures
from pycni.plan.verify import verify_addresses, verify_routes
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, KernelError
from pycni.spec.result import Interface, IpConfig, Result


@pytest.fixture
def container() -> MemoryNamespace:
    kernel = MemoryKernel()
    made = kernel.create()
    kernel.create().create_veth("veth1", "eth0", made)
    route = Route(Prefix.parse("9.0.0.0/8"), Address.parse("10.0.0.1"), table=100)
    default = Route(Prefix.parse("0.0.0.0/0"), Address.parse("10.0.0.1"))
    made.configure(link(made).index, (Prefix.parse("10.0.0.2/24"),), (route, default))
    return made


def link(container: MemoryNamespace) -> Link:
    found = container.link("eth0")
    assert found is not None
    return found


def ip(address: str, interface: int | None = None) -> IpConfig:
    return IpConfig(Prefix.parse(address), None, interface)


@pytest.mark.parametrize(
    "ips",
    [
        (),
        (ip("10.0.0.2/24", 1),),
        (ip("10.0.0.2/24"),),
        (ip("10.9.9.9/24", 0), ip("10.0.0.2/24", 1)),
        (ip("10.0.0.2/24", 7),),
    ],
)
def test_addresses_that_are_there_or_anothers(container: MemoryNamespace, ips: tuple[IpConfig, ...]) -> None:
    verify_addresses(container, link(container), Result((Interface("br0"), Interface("eth0")), ips))


@pytest.mark.parametrize("address", ["10.0.0.3/24", "10.0.0.2/25", "fd00::2/64"])
def test_an_address_that_is_not_there(container: MemoryNamespace, address: str) -> None:
    with pytest.raises(CniError) as caught:
        verify_addresses(container, link(container), Result((), (ip(address),)))
    assert caught.value.msg == f"Failed to match addr {address} on interface eth0"


def test_an_address_without_a_route_of_its_own(container: MemoryNamespace) -> None:
    """The reference's CHECK fails here (appendix A.6)."""
    container.add_address(link(container).index, Prefix.parse("10.7.7.7/32"))
    verify_addresses(container, link(container), Result((), (ip("10.7.7.7/32"),)))


@pytest.mark.parametrize("table", [None, 100])
def test_the_subnet_of_an_address_has_a_route_in_some_table(container: MemoryNamespace, table: int | None) -> None:
    device = link(container).index
    container.state.routes.drop_device(device)
    result = Result((), (ip("10.0.0.2/24"),))
    with pytest.raises(CniError) as caught:
        verify_addresses(container, link(container), result)
    assert caught.value.msg == "Failed to find Gateway <nil> for interface eth0"
    container.configure(device, (), (Route(Prefix.parse("10.0.0.0/24"), table=table),))
    verify_addresses(container, link(container), result)


def route(destination: str, gateway: str = "", table: int | None = None) -> Route:
    return Route(Prefix.parse(destination), Address.parse(gateway) if gateway else None, table=table)


@pytest.mark.parametrize(
    "wanted",
    [
        route("0.0.0.0/0", "10.0.0.1"),
        route("0.0.0.0/0", "10.0.0.77"),  # a default route's gateway is not compared
        route("10.0.0.0/24"),
        route("10.0.0.99/24"),
        route("9.0.0.0/8", "10.0.0.1", 100),
        route("9.1.2.3/8", "", 100),
        route("9.0.0.0/8", "10.0.0.1"),  # sbr and vrf move routes out of the main table
    ],
)
def test_routes_that_are_there(container: MemoryNamespace, wanted: Route) -> None:
    verify_routes(container, Result(routes=(wanted,)))


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (route("8.0.0.0/8"), "Expected Route 8.0.0.0/8 not found in routing table"),
        (route("9.0.0.0/8", "", 254), "Expected Route 9.0.0.0/8 not found in routing table"),
        (route("9.0.0.0/8", "10.0.0.9"), "Expected Route 9.0.0.0/8 via 10.0.0.9 not found in routing table"),
        (
            route("9.0.0.0/8", "10.0.0.9", 100),
            "Expected Route 9.0.0.0/8 via 10.0.0.9 not found in routing table",
        ),
        (route("::/0"), "Expected Route ::/0 not found in routing table"),
    ],
)
def test_a_route_that_is_not_there(container: MemoryNamespace, wanted: Route, text: str) -> None:
    with pytest.raises(CniError) as caught:
        verify_routes(container, Result(routes=(wanted,)))
    assert caught.value.msg == text


def failing(error: Exception) -> object:
    raise error


def test_failures_are_collected() -> None:
    failures = Failures()
    assert failures.attempt(lambda: 5) == 5
    failures.raise_first()
    first = KernelError("first", 5, "details")
    assert failures.attempt(lambda: failing(first)) is None
    with pytest.raises(KernelError) as alone:
        failures.raise_first()
    assert alone.value is first
    failures.attempt(lambda: failing(OSError(2, "No such file", "/x")))
    with pytest.raises(CniError) as both:
        failures.raise_first()
    assert both.value.msg == "first; details; [Errno 2] No such file: '/x'"


def test_a_defect_is_not_collected() -> None:
    with pytest.raises(ZeroDivisionError):
        Failures().attempt(lambda: failing(ZeroDivisionError()))
