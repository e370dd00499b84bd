"""Attaching a namespace that somebody else made to a network, and detaching it: `pynet connect` and `disconnect`.

The plugins are run as any runtime runs them, so the attachment is in libcni's cache and other tools can undo it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from netd.networks import directory
from netd.networks.errors import AlreadyConnected, InvalidRequest, NetworkError, NotFound
from netd.networks.places import Places
from netd.networks.usage import LONE, attachments
from netd.ports.grammar import PublishedPort
from pycni.cache import Attachment, ResultCache
from pycni.invoke import Invoker, find_in_path
from pycni.kernel.namespace import Namespace
from pycni.netlist import NetworkList, read_list
from pycni.record import Record
from pycni.runtime import Runtime
from pycni.spec.errors import CniError
from pycni.spec.result import Result


class AttachFailed(NetworkError):
    """A plugin failed; nothing of the attachment is left."""

    status = 500


class Wish(Record):
    """What to attach, and how.  `netns` is a path; "" for `address`, `mac` and `ifname`: the network decides.
    `aliases` are more names for it, answered by plugins that have the capability; `name` is what
    errors call it."""

    netns: str
    container_id: str
    ifname: str = ""
    address: str = ""
    mac: str = ""
    ports: tuple[PublishedPort, ...] = ()
    aliases: tuple[str, ...] = ()
    name: str = ""


def container_id(netns: str) -> str:
    """The id under which a namespace is attached unless the caller gives one; the same for the same path."""
    return f"{LONE}{hashlib.sha256(os.path.realpath(netns).encode()).hexdigest()[:12]}"


def connect(wanted: str, wish: Wish, places: Places, environ: Mapping[str, str]) -> tuple[Attachment, Result]:
    """Attaches; AttachFailed, with nothing left, when a plugin fails; NotFound; InvalidRequest names what is wrong;
    AlreadyConnected, in docker's words."""
    network = _list(wanted, places)
    with Namespace.open(wish.netns) as namespace, Namespace.current() as own:
        if namespace.identity == own.identity:
            raise InvalidRequest(f"namespace {wish.netns}: is the host's own")
        with _alone(namespace, places):
            present = {link.name for link in namespace.links()}
            _refuse_second(wanted, wish, places, present)
            return _add(network, wish, present, places, environ)


@contextmanager
def _alone(namespace: Namespace, places: Places) -> Iterator[None]:
    """Meanwhile nobody else connects this namespace: two would choose one name for their interfaces, and who fails for
    that would take the other's away.  A lock of bytes, as there are namespaces.  OSError."""
    os.makedirs(places.run_dir, 0o755, exist_ok=True)
    descriptor = os.open(f"{places.run_dir}/connect.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, namespace.identity[1])
        yield
    finally:
        os.close(descriptor)


def _add(
    network: NetworkList, wish: Wish, present: set[str], places: Places, environ: Mapping[str, str]
) -> tuple[Attachment, Result]:
    ifname = wish.ifname or next(name for name in (f"eth{number}" for number in range(1000)) if name not in present)
    if ifname in present:
        raise InvalidRequest(f"--ifname {ifname}: the namespace {wish.netns} has an interface of this name")
    attachment = Attachment(wish.container_id, wish.netns, ifname, _args(wish), _capabilities(network, wish))
    _refuse_missing(network, places)
    runtime = _runtime(places, environ)
    try:
        return attachment, runtime.add(network, attachment)
    except CniError as error:
        try:
            runtime.delete(network, attachment)
        except CniError as second:
            raise AttachFailed(f"{error}; cleaning up after it failed too: {second}") from None
        raise AttachFailed(str(error)) from None


def _refuse_missing(network: NetworkList, places: Places) -> None:
    """A plugin that is not there: told before anything is done that would have to be undone."""
    for plugin in network.plugins:
        try:
            find_in_path(plugin.type, places.cni_path)
        except CniError as error:
            raise AttachFailed(f"network {network.name}: {error}; `pynet install` puts ours there") from None


def _refuse_second(wanted: str, wish: Wish, places: Places, present: set[str]) -> None:
    """A record of an interface that is not there is of a container that ended without its engine's notice."""
    network = directory.load(places.netconf_dir).find(wanted)
    mine = (container_id(wish.netns), wish.container_id)
    for each in attachments(network, places.cache_dir, places.lease_dir):
        if (each.netns == wish.netns or each.container_id in mine) and not each.is_gone and each.ifname in present:
            raise AlreadyConnected(
                f"endpoint with name {wish.name or wish.netns} already exists in network {network.name}: {each.ifname}"
            )


def disconnect(
    wanted: str, netns: str, places: Places, environ: Mapping[str, str], ifname: str = "", own_id: str = ""
) -> tuple[Attachment, ...]:
    """Detaches every interface of this namespace from the network, or just `ifname`; what was detached.  `own_id` is
    the container's id where it is not made of the path.
    NotFound when the network is unknown or the namespace is not attached to it."""
    inventory = directory.load(places.netconf_dir)
    network = _list(wanted, places)
    mine = (container_id(netns), own_id)
    detached = []
    for each in attachments(inventory.find(wanted), places.cache_dir, places.lease_dir):
        if (each.netns == netns or each.container_id in mine) and ifname in ("", each.ifname):
            attachment = Attachment(each.container_id, netns if os.path.exists(netns) else "", each.ifname)
            _runtime(places, environ).delete(network, attachment)
            detached.append(attachment)
    if not detached:
        what = f"interface {ifname} of namespace {netns}" if ifname else f"namespace {netns}"
        raise NotFound(f"{what} is not connected to network {network.name}")
    return tuple(detached)


def _list(wanted: str, places: Places) -> NetworkList:
    return read_list(directory.load(places.netconf_dir).find(wanted).file)


def _args(wish: Wish) -> tuple[tuple[str, str], ...]:
    args = [("IgnoreUnknown", "1")]
    if wish.address:
        args.append(("IP", wish.address))
    if wish.mac:
        args.append(("MAC", wish.mac))
    return tuple(args)


def _capabilities(network: NetworkList, wish: Wish) -> dict[str, object]:
    wanted: dict[str, object] = {}
    if wish.ports:
        wanted["portMappings"] = [port.as_mapping() for port in wish.ports]
    if wish.aliases:
        wanted["aliases"] = {network.name: list(wish.aliases)}
    for capability, flag, what in (("portMappings", "-p", "publish ports"), ("aliases", "--alias", "answer names")):
        if capability in wanted and not any(capability in plugin.capabilities for plugin in network.plugins):
            raise InvalidRequest(f"{flag}: network {network.name} cannot {what}: no plugin of it takes {capability}")
    return wanted


def _runtime(places: Places, environ: Mapping[str, str]) -> Runtime:
    def pass_on(text: bytes) -> None:
        os.write(2, text)

    inherited = {name: value for name, value in environ.items() if not name.startswith("CNI_")}
    return Runtime(places.cni_path, Invoker(pass_on), inherited, ResultCache(places.cache_dir))


def addresses(result: Result) -> Sequence[str]:
    """For people: the addresses an attachment got."""
    return [str(ip.address) for ip in result.ips]
