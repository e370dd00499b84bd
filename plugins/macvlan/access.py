"""`hostAccess`, a key of ours: a device by which the host reaches this network's containers.

{"device": NAME, "addresses": [CIDR, ...], "routes": [CIDR, ...]}
"""

from __future__ import annotations

from pycni.plan.host_access import EnsureHostAccess
from pycni.spec.address import Prefix
from pycni.spec.errors import CniError
from pycni.spec.request import Config, check_ifname
from pycni.spec.section import Section


def parse(config: Config, master: str) -> EnsureHostAccess:
    """What ADD makes sure of; CniError names the key."""
    section = config.section.section_or_empty("hostAccess")
    if config.section.boolean("linkInContainer"):
        raise config.section.wrong("hostAccess", "the master is in the container, where the host cannot reach it")
    device = section.string("device")
    try:
        check_ifname(device)
    except CniError as error:
        raise section.wrong("device", error.msg) from None
    return EnsureHostAccess(device, master, _prefixes(section, "addresses"), _prefixes(section, "routes"))


def _prefixes(section: Section, key: str) -> tuple[Prefix, ...]:
    found = []
    for text in section.strings(key):
        try:
            found.append(Prefix.parse(text))
        except ValueError as error:
            raise section.wrong(key, str(error)) from None
    return tuple(found)
