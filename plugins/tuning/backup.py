"""The file in which tuning keeps an interface's old attributes until DEL, in the reference's form (contract 2.8).

The reference's files do not say which network they belong to, so garbage collection could not tell a stale one from
another network's; a link beside our other run-time state, named after the attachment, makes up for that.
"""

from __future__ import annotations

import os

from pycni.firewall.facts import Owner
from pycni.firewall.naming import attachment_hash, network_hash
from pycni.kernel.model import IFF_ALLMULTI, IFF_PROMISC, Link, format_mac, parse_mac
from pycni.plan import ops
from pycni.spec import jsontext
from pycni.spec.errors import CniError
from pycni.spec.section import Section
from pycni_plugins.tuning.config import Tuning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def path_of(data_dir: str, owner: Owner) -> str:
    return f"{data_dir}/{owner.container_id}_{owner.ifname}.json"


def render(tuning: Tuning, link: Link) -> str:
    """The current values of exactly the attributes that are about to change."""
    body: dict[str, object] = {}
    if tuning.mac:
        body["mac"] = format_mac(link.mac)
    if tuning.promiscuous:
        body["promisc"] = bool(link.flags & IFF_PROMISC)
    if tuning.mtu:
        body["mtu"] = link.mtu
    if tuning.allmulti is not None:
        body["allmulti"] = bool(link.flags & IFF_ALLMULTI)
    if tuning.txqlen is not None:
        body["txQLen"] = link.txqlen
    return jsontext.dumps(body, indent=1)


def parse(text: str, ifname: str) -> ops.SetLink:
    """The operation that restores what a file holds; ValueError or CniError when it is not one of ours."""
    body = jsontext.loads(text)
    if not isinstance(body, dict):
        raise ValueError("the backup is not a JSON object")
    section = Section(body)
    mac = section.string("mac")
    return ops.SetLink(
        ops.CONTAINER,
        ifname,
        mac=parse_mac(mac) if mac else None,
        mtu=section.optional_integer("mtu", unsigned=True),
        promiscuous=section.optional_boolean("promisc"),
        allmulti=section.optional_boolean("allmulti"),
        txqlen=section.optional_integer("txQLen", unsigned=True),
    )


def save(data_dir: str, run_dir: str, owner: Owner, text: str) -> None:
    """CniError naming the file when it cannot be written."""
    path = path_of(data_dir, owner)
    try:
        # first the mark, so that garbage collection finds a file that was made just before a crash
        os.makedirs(f"{run_dir}/tuning", 0o700, exist_ok=True)
        _unlink(_marker(run_dir, owner))
        os.symlink(os.path.abspath(path), _marker(run_dir, owner))
        # root may enter a directory without the search bit, and 0600 is what the reference makes
        os.makedirs(data_dir, 0o600, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        where = error.filename2 or error.filename or path
        raise CniError(f"failed to write backup data {where}: {(error.strerror or '').lower()}") from None


class Missing(Exception):
    """There is no such file."""


def load(data_dir: str, owner: Owner) -> str | None:
    """The file's text, None when it cannot be read; Missing."""
    try:
        # not open(): its layers cost more than all else that is done where there is no file, which is nearly everywhere
        descriptor = os.open(path_of(data_dir, owner), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Missing from None
    except OSError:
        return None
    try:
        with open(descriptor, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def remove(data_dir: str, run_dir: str, owner: Owner) -> None:
    _unlink(path_of(data_dir, owner))
    _unlink(_marker(run_dir, owner))


def collect(run_dir: str, network: str, keep: Iterable[tuple[str, str]], wanted: Callable[[str], bool]) -> None:
    """Removes the files of this network's attachments that are not in `keep`, pairs of container id and ifname, as far
    as they are `wanted`."""
    valid = {attachment_hash(Owner(network, container_id, ifname)) for container_id, ifname in keep}
    try:
        names = os.listdir(f"{run_dir}/tuning")
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith(network_hash(network) + "-") and name not in valid:
            marker = f"{run_dir}/tuning/{name}"
            path = os.readlink(marker)
            if wanted(f"backup {path}"):
                _unlink(path)
                _unlink(marker)


def _marker(run_dir: str, owner: Owner) -> str:
    return f"{run_dir}/tuning/{attachment_hash(owner)}"


def _unlink(path: str) -> None:
    """The file is absent; CniError naming it when it cannot be removed."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if os.path.lexists(path):  # a read-only directory refuses also for what is not there
            raise CniError(f"failed to remove {path}: {(error.strerror or '').lower()}") from None
