"""Names and comments under which an owner's rules are found again; pure.

The iptables names are the reference's (contract 2.0.5, 4.3, 5), so that each implementation removes the other's rules.
"""

from __future__ import annotations

from pycni.firewall.facts import Owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha512
else:
    try:
        from _sha512 import sha512
    except ImportError:  # CPython 3.12 merged it
        from _sha2 import sha512

MASQUERADE = "masquerade"
PORTMAP = "portmap"
FIREWALL = "firewall"
SPOOFCHECK = "macspoofchk"

CHAIN_LIMIT = 28
"""Bytes in a chain's name: XT_EXTENSION_MAXNAMELEN without its closing zero."""

COMMENT_LIMIT = 255
"""What xt_comment carries, without its closing zero."""


def _digest(text: str) -> str:
    return sha512(text.encode()).hexdigest()


def h16(text: str) -> str:
    """The first 16 hex digits of SHA-512, as in the reference's nftables comments."""
    return _digest(text)[:16]


def network_hash(network: str) -> str:
    return h16(network)


def attachment_hash(owner: Owner) -> str:
    """`<h16(network)>-<h16(ifname:container id)>`: the stable head of an owner's comment."""
    return f"{h16(owner.network)}-{h16(f'{owner.ifname}:{owner.container_id}')}"


def host_end(owner: Owner) -> str:
    """The name on the host of an attachment's veth pair.  The reference draws a random one; ours is found again from
    the attachment, so that DEL without a namespace can remove it."""
    return "veth" + attachment_hash(owner)[-8:]


def newborn_group(network: str) -> int:
    """The group of a host end of this network that is no port of a bridge, or of an ifb, as long as it has no alias.
    The highest bit keeps it apart from the groups of all networks."""
    return 1 << 31 | int(network_hash(network)[:8], 16)


def owner_comment(owner: Owner) -> str:
    """The reference's nftables comment of an attachment (contract 2.0.5): hashes first, then readable text, cut at
    the 128 bytes nft allows; double quotes are dropped because nft's text form cannot carry them."""
    text = f"net: {owner.network}, if: {owner.ifname}, id: {owner.container_id}".replace('"', "")
    return f"{attachment_hash(owner)}, {text}".encode()[:128].decode(errors="ignore")


def owner_of(comment: str) -> Owner | None:
    """Whom `owner_comment` was made for; None where that cannot be told for certain."""
    tag, _, text = comment.partition(", net: ")
    network, _, rest = text.partition(", if: ")
    ifname, _, container_id = rest.partition(", id: ")
    owner = Owner(network, container_id, ifname)
    return owner if attachment_hash(owner) == tag else None


def masquerade_chain(network: str, container_id: str) -> str:
    """`CNI-` and 24 hex digits; shared by all interfaces of one container on one network (contract 2.0.5)."""
    return f"CNI-{_digest(network + container_id)[:24]}"


def port_chain(network: str, container_id: str) -> str:
    """`CNI-DN-` and 21 hex digits (contract 4.3)."""
    return f"CNI-DN-{_digest(network + container_id)[:21]}"


def old_snat_chain(network: str, container_id: str) -> str:
    """The chain that portmap before 0.7 made; removed when found."""
    return f"CNI-SN-{_digest(network + container_id)[:21]}"


def ifb_name(network: str, container_id: str) -> str:
    """`bwp` and 12 hex digits: bandwidth's device (contract 2.9), the same for all interfaces of a container on a
    network."""
    return f"bwp{_digest(network + container_id)[:12]}"


def second_ifb_name(owner: Owner) -> str:
    """For an interface whose container has another one on the network, that took `ifb_name`."""
    return "bwp" + _digest("\0".join([owner.network, owner.container_id, owner.ifname]))[:12]


def _go_quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def network_comment(network: str) -> str:
    """The head of every masquerade comment of a network."""
    return f"name: {_go_quoted(network)} id: "


def masquerade_comment(network: str, container_id: str) -> str:
    """The reference passes any length on and iptables keeps 255 bytes."""
    return _cut(network_comment(network) + _go_quoted(container_id))


def port_comment(network: str, container_id: str) -> str:
    """Beyond 255 bytes the reference keeps 253 and adds three dots, of which iptables keeps two."""
    comment = "dnat " + network_comment(network) + _go_quoted(container_id)
    raw = comment.encode()
    return comment if len(raw) <= COMMENT_LIMIT else _cut(raw[:253].decode(errors="ignore") + "...")


def _cut(comment: str) -> str:
    return comment.encode()[:COMMENT_LIMIT].decode(errors="ignore")
