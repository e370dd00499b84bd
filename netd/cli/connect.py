"""`pynet connect` and `pynet disconnect`: containers of the bundled runtime through the daemon, those of other engines
by running the network's plugins here, as their own engine would."""

from __future__ import annotations

from netd.cli.network_arguments import connecting
from netd.failure import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netd.cli.context import Context
    from netd.cli.flags import Arguments
    from netd.networks.attach import Wish

_FOREIGN = ("ns:", "nerdctl:", "cri:")  # as netd.networks.foreign reads them
_FOREIGN_FLAGS = ("--publish", "--ifname", "--id", "--json")
_OUR_FLAGS = ("--ip6", "--link", "--link-local-ip", "--gw-priority", "--driver-opt", "--force")


def connect(context: Context, arguments: Arguments) -> int:
    """Ours: prints nothing, as docker.  Others: the interface and its addresses; with --json the CNI result."""
    settings = connecting(arguments)
    if not _is_foreign(arguments):
        from netd.cli.client import escaped

        body = {"Container": arguments.container, "EndpointConfig": settings}
        context.daemon.post(f"/networks/{escaped(arguments.network)}/connect", body)
        return 0
    from netd.cli import output
    from netd.networks import attach
    from pycni.spec import result

    attachment, added = attach.connect(arguments.network, _wish(context, arguments), context.places, context.environ)
    if arguments.json:
        context.out.write(output.json_text(result.to_object(added, "1.1.0")))
    else:
        context.out.write(f"{attachment.ifname} {' '.join(attach.addresses(added))}\n")
    return 0


def disconnect(context: Context, arguments: Arguments) -> int:
    """Ours: prints nothing.  Others: the interfaces that were detached."""
    if not _is_foreign(arguments):
        from netd.cli.client import escaped

        body = {"Container": arguments.container, "Force": arguments.force}
        context.daemon.post(f"/networks/{escaped(arguments.network)}/disconnect", body)
        return 0
    from netd.networks import attach, foreign

    target = foreign.find(arguments.container, *foreign.states(context.environ))
    for each in attach.disconnect(
        arguments.network, target.netns, context.places, context.environ, arguments.ifname, target.container_id
    ):
        context.out.write(f"{each.ifname}\n")
    return 0


def _is_foreign(arguments: Arguments) -> bool:
    """InvalidParameter for flags that go with the other kind."""
    foreign: bool = arguments.container.startswith(_FOREIGN)
    for flag in _OUR_FLAGS if foreign else _FOREIGN_FLAGS:
        if flag in arguments.given:
            kind = "containers of pynet run" if foreign else "ns:, nerdctl: and cri: containers"
            hint = "; pynet port add publishes" if flag == "--publish" else ""
            raise InvalidParameter(f"{flag} goes with {kind} only{hint}")
    return foreign


def _wish(context: Context, arguments: Arguments) -> Wish:
    from netd.networks import attach, foreign
    from netd.ports.grammar import PublishedPort, parse_fixed
    from pycni.spec.request import check_container_id, check_ifname

    if arguments.id:
        check_container_id(arguments.id)
    if arguments.ifname:
        check_ifname(arguments.ifname)
    ports: tuple[PublishedPort, ...] = ()
    for text in arguments.publish:
        ports += parse_fixed(text)
    target = foreign.find(arguments.container, *foreign.states(context.environ))
    return attach.Wish(
        target.netns,
        arguments.id or target.container_id,
        arguments.ifname,
        arguments.ip,
        arguments.mac_address,
        ports,
        tuple(arguments.alias),
        arguments.container,
    )
