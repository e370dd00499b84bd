"""The two small chains per subnet that our table's verdict maps jump to, as netlink messages; pure.

The first container of a network must not pay for a run of `nft`.
"""

from __future__ import annotations

from pycni.firewall import nft_expressions as nft
from pycni.firewall.generation import INET
from pycni.firewall.nft_messages import delete_rules
from pycni.firewall.nft_static import TABLE, leave_chain
from pycni.spec.address import Address, Prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.netlink import Message

_LOCALHOST = Prefix(Address(b"\x7f\0\0\1"), 32)


def create(chain: str, subnet: Prefix) -> list[Message]:
    """Makes one of a subnet's chains with its rules; EEXIST when it is there."""
    return [nft.new_chain(INET, TABLE, chain), *_rules(chain, subnet)]


def refill(chain: str, subnet: Prefix) -> list[Message]:
    """The chain, which is there, has its rules and no others."""
    return [delete_rules(INET, TABLE, chain), *_rules(chain, subnet)]


def length(chain: str, subnet: Prefix) -> int:
    """How many rules the chain has."""
    return len(_rules(chain, subnet))


def _rules(chain: str, subnet: Prefix) -> list[Message]:
    family = subnet.family
    if chain == leave_chain(subnet):
        rules = [_match(nft.DESTINATION[family], subnet) + nft.returns(), nft.masquerades()]
    else:
        rules = [_match(nft.SOURCE[family], subnet) + nft.masquerades()]
        if family == 4 and subnet.length:
            rules.append(_match(nft.SOURCE[family], _LOCALHOST) + nft.masquerades())
    return [nft.new_rule(INET, TABLE, chain, rule) for rule in rules]


def _match(offset: int, prefix: Prefix) -> bytes:
    """The packet is of the prefix's family, and the address at this offset is in it."""
    return nft.is_family(prefix.family) + (nft.in_prefix(offset, prefix) if prefix.length else b"")
