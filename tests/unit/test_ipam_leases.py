"""Allocation on the lease files: all or none, duplicates, requests, what is given back (contract 3.3 to 3.5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycni.ipam.leases import LeaseBook
from pycni.ipam.ranges import RangeSet, RangeSpec, complete_set
from pycni.ipam.store import LeaseStore
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import AllocationError, StoreError


def sets(*subnets: str) -> tuple[RangeSet, ...]:
    return tuple(complete_set([RangeSpec(Prefix.parse(each))]) for each in subnets)


@pytest.fixture
def book(tmp_path: Path) -> LeaseBook:
    return LeaseBook(str(tmp_path), "mynet")


def files(tmp_path: Path) -> set[str]:
    return {each.name for each in (tmp_path / "mynet").iterdir() if each.name[0].isdigit() or ":" in each.name}


def give(book: LeaseBook, container: str, of: tuple[RangeSet, ...], *requested: str, reuse: bool = False) -> list[str]:
    given = book.allocate(container, "eth0", of, [Address.parse(each) for each in requested], reuse)
    return [str(each.address) for each in given]


def refused(book: LeaseBook, container: str, of: tuple[RangeSet, ...], *requested: str) -> str:
    with pytest.raises(AllocationError) as caught:
        give(book, container, of, *requested)
    return caught.value.msg


def test_addresses_come_in_turn_and_end_before_the_broadcast(book: LeaseBook) -> None:
    of = sets("192.168.1.0/29")
    assert [give(book, f"c{number}", of) for number in range(5)] == [[f"192.168.1.{last}/29"] for last in range(2, 7)]
    text = "failed to allocate for range 0: no IP addresses available in range set: 192.168.1.1-192.168.1.6"
    assert refused(book, "c6", of) == text


def test_a_released_address_is_not_given_again_at_once(book: LeaseBook) -> None:
    of = sets("192.168.1.0/29")
    assert give(book, "c1", of) == ["192.168.1.2/29"]
    assert book.release("c1", "eth0")
    assert give(book, "c1", of) == ["192.168.1.3/29"]


def test_one_address_of_each_set_in_their_order(book: LeaseBook, tmp_path: Path) -> None:
    of = sets("10.1.2.0/24", "fd00::/64", "10.1.3.0/24")
    assert give(book, "c1", of, "10.1.3.77") == ["10.1.2.2/24", "fd00::2/64", "10.1.3.77/24"]
    assert (tmp_path / "mynet" / "last_reserved_ip.2").read_text() == "10.1.3.77"


def test_a_second_address_for_the_same_owner_is_refused(book: LeaseBook, tmp_path: Path) -> None:
    of = sets("10.1.2.0/24")
    give(book, "c1", of)
    text = "failed to allocate for range 0: 10.1.2.2 has been allocated to c1, duplicate allocation is not allowed"
    assert refused(book, "c1", of) == text
    assert files(tmp_path) == {"10.1.2.2"}
    assert give(book, "c1", sets("10.1.9.0/24")) == ["10.1.9.2/24"]


def test_an_address_in_a_sub_directory_is_its_owners_and_free_for_others(book: LeaseBook, tmp_path: Path) -> None:
    inner = tmp_path / "mynet" / "sub"
    inner.mkdir(parents=True)
    (inner / "10.1.2.2").write_text("c1\r\neth0")
    text = "failed to allocate for range 0: 10.1.2.2 has been allocated to c1, duplicate allocation is not allowed"
    assert refused(book, "c1", sets("10.1.2.0/24")) == text
    assert give(book, "c2", sets("10.1.2.0/24")) == ["10.1.2.2/24"]


def test_with_reuse_the_same_owner_gets_the_same_addresses(book: LeaseBook, tmp_path: Path) -> None:
    of = sets("10.1.2.0/24", "fd00::/64")
    first = give(book, "c1", of, reuse=True)
    assert give(book, "c1", of, reuse=True) == first
    assert give(book, "c1", of, "10.1.2.2", reuse=True) == first
    assert files(tmp_path) == {"10.1.2.2", "fd00::2"}
    assert give(book, "c1", (*of, *sets("10.5.0.0/24")), reuse=True) == [*first, "10.5.0.2/24"]


def test_requests_are_refused_with_their_reason(book: LeaseBook, tmp_path: Path) -> None:
    of = sets("10.1.2.0/24")
    assert give(book, "c1", of, "10.1.2.88") == ["10.1.2.88/24"]
    taken = "failed to allocate for range 0: requested IP address 10.1.2.88 is not available in range set "
    assert refused(book, "c2", of, "10.1.2.88") == taken + "10.1.2.1-10.1.2.254"
    assert refused(book, "c1", of, "10.1.2.88") == taken + "10.1.2.1-10.1.2.254"
    gateway = "failed to allocate for range 0: requested ip 10.1.2.1 is subnet's gateway"
    assert refused(book, "c2", of, "10.1.2.1") == gateway
    both = "failed to allocate all requested IPs: 10.1.2.77"
    assert refused(book, "c2", of, "10.1.2.99", "10.1.2.77") == both
    assert files(tmp_path) == {"10.1.2.88"}


def test_a_failure_gives_back_this_calls_addresses_and_no_older_ones(book: LeaseBook, tmp_path: Path) -> None:
    give(book, "c1", sets("10.7.0.0/24"))
    give(book, "full", sets("10.1.3.0/30"))
    assert refused(book, "c1", sets("10.1.2.0/24", "fd00::/64", "10.1.3.0/30")).startswith(
        "failed to allocate for range 2: no IP addresses available"
    )
    assert files(tmp_path) == {"10.7.0.2", "10.1.3.2"}


def test_a_store_failure_gives_back_this_calls_addresses(book: LeaseBook, tmp_path: Path) -> None:
    (tmp_path / "mynet" / "last_reserved_ip.1").mkdir(parents=True)
    with pytest.raises(StoreError):
        give(book, "c1", sets("10.1.2.0/24", "10.1.3.0/24"))
    assert files(tmp_path) == set()


def test_giving_back_spares_what_the_owner_had_before(book: LeaseBook, tmp_path: Path) -> None:
    give(book, "c1", sets("10.7.0.0/24"))
    given = book.allocate("c1", "eth0", sets("10.1.2.0/24", "fd00::/64"))
    book.give_back(given)
    book.give_back(given)
    assert files(tmp_path) == {"10.7.0.2"}


def test_an_address_that_appears_between_looking_and_taking_is_passed_over(
    book: LeaseBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who does not take the lock.  The exclusive create is what counts."""
    from pycni.ipam import allocator, leases

    real = allocator.next_free
    rivals = iter(["10.1.2.2", "10.1.2.3"])

    def racing(*arguments: object) -> object:
        chosen = real(*arguments)  # type: ignore[arg-type]
        rival = next(rivals, None)
        if rival is not None:
            (tmp_path / "mynet" / rival).write_bytes(b"rival\r\neth0")
        return chosen

    monkeypatch.setattr(leases.allocator, "next_free", racing)
    assert give(book, "c1", sets("10.1.2.0/24")) == ["10.1.2.4/24"]


def test_empty_leases_of_a_full_disk_do_not_exhaust_a_network(book: LeaseBook, tmp_path: Path) -> None:
    (tmp_path / "mynet").mkdir()
    for last in range(2, 7):
        (tmp_path / "mynet" / f"192.168.1.{last}").touch()
    of = sets("192.168.1.0/29")
    assert book.exhausted(of) == ()
    assert give(book, "c1", of) == ["192.168.1.2/29"]


def test_what_is_exhausted_is_named(book: LeaseBook) -> None:
    of = sets("10.0.0.0/30", "10.0.1.0/24", "fd00::/126")
    assert book.exhausted(of) == ()
    give(book, "c1", of)
    give(book, "c2", sets("fd00::/126"))
    assert book.exhausted(of) == (of[0], of[2])


def test_nothing_there_is_nothing_to_do(book: LeaseBook, tmp_path: Path) -> None:
    assert not book.release("c1", "eth0")
    assert not book.holds("c1", "eth0")
    assert book.collect(frozenset()) == ()
    book.give_back(())
    assert list(tmp_path.iterdir()) == []


def test_books_share_a_store_without_mixing_networks(tmp_path: Path) -> None:
    store = LeaseStore()
    one, two = LeaseBook(str(tmp_path), "one", store), LeaseBook(str(tmp_path), "two", store)
    of = sets("10.0.0.0/30")
    assert give(one, "c1", of) == give(two, "c1", of) == ["10.0.0.2/30"]
    assert [str(each.address) for each in one.collect(frozenset())] == ["10.0.0.2"]
    assert two.holds("c1", "eth0")
