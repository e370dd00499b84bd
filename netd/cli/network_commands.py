"""The command line of networks."""

from __future__ import annotations

from netd.cli.flags import Argument, Command, many, number, switch, text
from netd.cli.view import FILTERS
from netd.networks.drivers import DRIVERS, HOST_LOCAL, IPAM_DRIVERS
from netd.networks.options import KNOWN
from netd.networks.request import FIREWALLS, ISOLATIONS

_JSON = switch("--json", help="one array of objects")
_TEMPLATE = ("TEMPLATE", "'{{.Name}} {{.Subnet}}', '{{json .}}', json")
FORMATS = (_JSON, text("-f --format", *_TEMPLATE, default=None))
_ONE_FORM = (("--json", "--format"),)
_NETWORKS = (Argument("networks", "NETWORK", "some", completes="network"),)
_KEYS = ("K=V", f"keys: {', '.join(FILTERS)}")
_FILTER = many("--filter", *_KEYS)

CREATE = Command(
    "create",
    "make a network",
    "create:create",
    (
        many("--subnet", "CIDR", "one IPv4, one IPv6; 0.0.0.0/26 means any /26"),
        many("--gateway", "IP", "default: the subnet's first address"),
        many("--ip-range", "CIDR", "give out addresses of this part only"),
        switch("--ipv6", help="both families; a subnet not given is chosen"),
        number("--mtu", "N"),
        switch("--internal", help="no way out, no published ports"),
        switch("--no-dns", help="names are not answered for containers of other engines", default=True, store="dns"),
        switch("--dns", default=True, store="dns"),  # the default; older scripts say it
        text(
            "--isolation",
            "POLICY",
            f"{', '.join(ISOLATIONS)}; default {ISOLATIONS[0]}",
            default=None,
            choices=ISOLATIONS,
        ),
        text("--bridge", "DEVICE", "default: pn- and the name", default=None),
        many("--label", "K=V"),
        text(
            "--firewall", "BACKEND", f"{', '.join(FIREWALLS)}; auto follows the host", default="auto", choices=FIREWALLS
        ),
        text("-d --driver", "DRIVER", ", ".join(DRIVERS), default=DRIVERS[0], choices=DRIVERS),
        many("-o --opt", "K=V", f"of a bridge: {', '.join(KNOWN)}; of others: mtu, parent, mode, vlan, ip-masq"),
        text(
            "--ipam-driver",
            "IPAM",
            "host-local or, for macvlan and vlan, dhcp",
            default=HOST_LOCAL,
            choices=IPAM_DRIVERS,
        ),
        switch("--host-access", help="of macvlan: a device by which the host reaches the containers"),
        switch("--dry-run", help="print the list that would be written"),
        switch("--json", help="print what inspect prints, not the id"),
    ),
    (Argument("name", "NAME"),),
)
LS = Command(
    "ls",
    "list networks",
    "show:ls",
    (
        switch("-q", "--quiet", help="ids only"),
        switch("--no-trunc", help="whole ids"),
        _JSON,
        text("--format", *_TEMPLATE, default=None),
        many("-f --filter", *_KEYS),  # as docker's lists have it
    ),
    exclusive=_ONE_FORM,
)
INSPECT = Command("inspect", "show networks as JSON", "show:inspect", FORMATS, _NETWORKS, exclusive=_ONE_FORM)
RM = Command(
    "rm",
    "remove networks and everything of them",
    "remove:rm",
    (
        switch("-f", "--force", help="also in use, also made by others; absent is fine"),
        switch("--json", help="an array of the names removed"),
    ),
    _NETWORKS,
)
PRUNE = Command(
    "prune",
    "remove networks that no container is attached to",
    "remove:prune",
    (
        switch("-f", "--force", help="do not ask"),
        switch("--dry-run", help="only name them"),
        _FILTER,
        switch("--json", help="an array of the names; implies --force"),
    ),
)

GC = Command(
    "gc",
    "show what is attached to networks and provably used by nobody, and give it back",
    "gc:gc",
    (
        switch("-f", "--force", help="give it back; without, only show it"),
        switch("-a", "--all", help="show what stays, too"),
        switch("--json", help="an array"),
    ),
    (Argument("networks", "NETWORK", "any", completes="network"),),
)

_TARGET = """\
CONTAINER is one of
  NAME or ID       a container of pynet run; asks pynetd
  nerdctl:NAME     a running container of nerdctl, by name or id
  cri:ID           a pod or container that the kubelet or crictl started
  ns:PATH          any network namespace
"""
_ENGINES = "nerdctl:, cri: and ns: only"
_OURS = "containers of pynet run only"

CONNECT = Command(
    "connect",
    "attach a running container to a network",
    "connect:connect",
    (
        text("--ip", "ADDRESS", "this address instead of the next free one"),
        text("--ip6", "ADDRESS", "this IPv6 address; " + _OURS),
        text("--mac-address", "MAC"),
        many("--alias", "NAME", "one more name for it on this network"),
        many("--link", "CONTAINER:ALIAS", "a name for another container that only this one knows; " + _OURS),
        many("--link-local-ip", "ADDRESS", _OURS),
        number("--gw-priority", "N", "the network with the highest has the default route; " + _OURS),
        many("--driver-opt", "K=V", _OURS),
        many("-p --publish", "[IP:]HOST:CONTAINER[/PROTO]", "publish a port; " + _ENGINES),
        text("--ifname", "NAME", "default: the first free of eth0, eth1, …; " + _ENGINES),
        text("--id", "ID", "container id for the lease; default: from the path; ns: only"),
        switch("--json", help="print the CNI result; " + _ENGINES),
    ),
    (Argument("network", "NETWORK", completes="network"), Argument("container", "CONTAINER", completes="container")),
    _TARGET,
)
DISCONNECT = Command(
    "disconnect",
    "detach a container from a network",
    "connect:disconnect",
    (
        switch("-f", "--force", help="also where network or container are gone; " + _OURS),
        text("--ifname", "NAME", "only this interface; " + _ENGINES),
    ),
    (Argument("network", "NETWORK", completes="network"), Argument("container", "CONTAINER", completes="container")),
    _TARGET,
)
