"""Giving, checking and taking back a container's addresses: host-local's verbs on the lease store (contract 3.3-3.6).

One lock covers a whole call, so that a call that needs several addresses gets all of them or none.
"""

from __future__ import annotations

from pycni.ipam import allocator
from pycni.ipam.store import LeaseStore
from pycni.spec.errors import AllocationError, CniError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycni.ipam.allocator import Assignment
    from pycni.ipam.ranges import RangeSet
    from pycni.ipam.store import Freed, LockedNetwork
    from pycni.spec.address import Address


class LeaseBook:
    """The leases of one network in `data_dir`.  `store` may be shared by many books, and outlive them: it is what
    makes the second call in a resident process cheap."""

    def __init__(self, data_dir: str, network: str, store: LeaseStore | None = None) -> None:
        self._data_dir = data_dir
        self._network = network
        self._store = store if store is not None else LeaseStore()

    def allocate(
        self,
        container_id: str,
        ifname: str,
        sets: Sequence[RangeSet],
        requested: Sequence[Address] = (),
        reuse: bool = False,
    ) -> tuple[Assignment, ...]:
        """One address of each set, in their order.

        An owner that already holds an address of a set is refused, as the reference does, unless `reuse`: then he
        gets that address again.  AllocationError or StoreError; this call's reservations are then given back, older
        ones of the same owner stay (the reference drops those too)."""
        wishes = allocator.match_requests(sets, requested)
        with self._store.open(self._data_dir, self._network) as locked:
            given: list[Assignment] = []
            fresh: list[Assignment] = []
            try:
                for number, (each, wish) in enumerate(zip(sets, wishes, strict=True)):
                    held = _held(locked, container_id, ifname, each, wish) if reuse else None
                    if held is None:
                        held = _reserve(locked, container_id, ifname, number, each, wish)
                        fresh.append(held)
                    given.append(held)
            except CniError:
                _give_back(locked, fresh)
                raise
            return tuple(given)

    def give_back(self, assignments: Sequence[Assignment]) -> None:
        """Undo one `allocate`: exactly these addresses, and no others of their owner."""
        locked = self._store.open_existing(self._data_dir, self._network)
        if locked is not None:
            with locked:
                _give_back(locked, assignments)

    def release(self, container_id: str, ifname: str) -> bool:
        """Give back everything this owner holds; whether there was anything.  StoreError after all were tried."""
        locked = self._store.open_existing(self._data_dir, self._network)
        if locked is None:
            return False
        with locked:
            return locked.release(container_id, ifname)

    def holds(self, container_id: str, ifname: str) -> bool:
        """Whether this owner holds any address."""
        locked = self._store.open_existing(self._data_dir, self._network)
        if locked is None:
            return False
        with locked:
            return locked.holds(container_id, ifname)

    def illegible(self, before: float) -> tuple[Freed, ...]:
        """What `sweep` would give back."""
        locked = self._store.open_existing(self._data_dir, self._network)
        if locked is None:
            return ()
        with locked:
            return tuple(locked.illegible(before).values())

    def sweep(self, before: float) -> tuple[Freed, ...]:
        """Give back the leases that name no attachment: empty ones, and illegible ones written before this moment (unix
        seconds; who has booted since knows that their writer is gone).  StoreError after all were tried."""
        locked = self._store.open_existing(self._data_dir, self._network)
        if locked is None:
            return ()
        with locked:
            return locked.sweep(before)

    def collect(self, keep: frozenset[tuple[str, str]]) -> tuple[Freed, ...]:
        """Give back the leases of all owners (container id, interface name) but these, and say which they were."""
        locked = self._store.open_existing(self._data_dir, self._network)
        if locked is None:
            return ()
        with locked:
            return locked.collect(keep)

    def exhausted(self, sets: Sequence[RangeSet]) -> tuple[RangeSet, ...]:
        """The sets without a free address."""
        locked = self._store.open_existing(self._data_dir, self._network)
        if locked is None:
            return tuple(each for each in sets if allocator.next_free(each, (), None) is None)
        with locked:
            return tuple(each for each in sets if allocator.next_free(each, locked.taken(each.family), None) is None)


def _held(
    locked: LockedNetwork, container_id: str, ifname: str, range_set: RangeSet, wish: Address | None
) -> Assignment | None:
    for address in locked.addresses_of(container_id, ifname):
        if range_set.contains(address) and wish in (None, address):
            return allocator.assignment(address, allocator.range_of(range_set, address))
    return None


def _reserve(
    locked: LockedNetwork, container_id: str, ifname: str, number: int, range_set: RangeSet, wish: Address | None
) -> Assignment:
    try:
        if wish is None:
            return _reserve_next(locked, container_id, ifname, number, range_set)
        chosen = allocator.check_request(range_set, wish)
        if not locked.reserve(wish, container_id, ifname, number):
            raise AllocationError(f"requested IP address {wish} is not available in range set {range_set}")
        return chosen
    except AllocationError as error:
        raise AllocationError(f"failed to allocate for range {number}: {error.msg}") from None


def _reserve_next(
    locked: LockedNetwork, container_id: str, ifname: str, number: int, range_set: RangeSet
) -> Assignment:
    for address in locked.addresses_of(container_id, ifname):
        if range_set.contains(address):
            raise AllocationError(
                f"{address} has been allocated to {container_id}, duplicate allocation is not allowed"
            )
    last = locked.last_reserved(number)
    while True:
        chosen = allocator.next_free(range_set, locked.taken(range_set.family), last)
        if chosen is None:
            raise AllocationError(f"no IP addresses available in range set: {range_set}")
        # False: somebody who does not take the lock was faster.  The address counts as taken from now on.
        if locked.reserve(chosen.address.address, container_id, ifname, number):
            return chosen


def _give_back(locked: LockedNetwork, assignments: Sequence[Assignment]) -> None:
    for each in assignments:
        try:
            locked.remove(str(each.address.address))
        except StoreError:
            # the error that brought us here says more; garbage collection finds what stays
            continue
