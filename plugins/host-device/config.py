"""host-device's keys (contract 2.14): pure."""

from __future__ import annotations

from pycni.record import Record
from pycni.spec.errors import CniError
from pycni.spec.request import Config


class Wanted(Record):
    """Which device is wanted, "" for what was not said.  The first of these that was said decides, from `device` on;
    `device_id` is the runtime's, a PCI address or the name of a device on the auxiliary bus, and `dpdk` what
    the configuration says where there is no PCI address to tell."""

    device: str
    hwaddr: str
    kernelpath: str
    pci: str
    device_id: str = ""
    dpdk: bool = False


def parse(config: Config) -> Wanted:
    """CniError when nothing says which device."""
    wanted = parse_for_removal(config)
    if not (wanted.device or wanted.hwaddr or wanted.kernelpath or wanted.pci or wanted.device_id):
        raise CniError('specify either "device", "hwaddr", "kernelpath" or "pciBusID"')
    return wanted


def parse_for_removal(config: Config) -> Wanted:
    """The keys without the rules for which an ADD is refused: the DEL that follows it must succeed."""
    section = config.section
    return Wanted(
        section.string("device"),
        section.string("hwaddr"),
        section.string("kernelpath"),
        section.string("pciBusID"),
        config.runtime.string("deviceID"),
        section.boolean("DPDKMode"),
    )
