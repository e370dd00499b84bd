"""tuning's keys (contract 2.8): pure."""

from __future__ import annotations

import os

from pycni.kernel.model import parse_mac
from pycni.record import Record
from pycni.spec import arguments, jsontext
from pycni.spec.errors import CniError
from pycni.spec.request import Config
from pycni.spec.section import Section, first_given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

DEFAULT_DATA_DIR = "/run/cni/tuning"


class Tuning(Record):
    """`sysctls` are (key as written, value); None or 0 or "" leaves an attribute alone.  `mac` is verbatim."""

    sysctls: tuple[tuple[str, str], ...]
    mac: str
    promiscuous: bool
    mtu: int
    txqlen: int | None
    allmulti: bool | None
    data_dir: str

    @property
    def changes_link(self) -> bool:
        return bool(self.mac or self.mtu or self.promiscuous or self.allmulti is not None or self.txqlen is not None)


def parse(config: Config, cni_args: str) -> Tuning:
    """Sources in rising order: keys, CNI_ARGS MAC, runtimeConfig.mac, args.cni; CniError names what is wrong."""
    tuning = parse_for_removal(config, cni_args)
    if tuning.mac:
        try:
            parse_mac(tuning.mac)
        except ValueError as error:
            raise CniError(f"invalid args {tuning.mac} for MAC addr: {error}") from None
    for section in (config.section, config.args):
        section.integer("mtu", unsigned=True)
        section.integer("txQLen", unsigned=True)
    return tuning


def parse_for_removal(config: Config, cni_args: str) -> Tuning:
    """As `parse`, without the rules that the reference does not have on DEL: what an ADD was refused for must not keep
    the DEL that follows it from succeeding."""
    section, args = config.section, config.args
    given = arguments.parse(cni_args, ("MAC",))
    keys = Tuning(
        tuple(_strings(section, "sysctl").items()),
        first_given(config.runtime.string("mac"), given.get("MAC", ""), section.string("mac")),
        section.boolean("promisc"),
        section.integer("mtu"),
        section.optional_integer("txQLen"),
        section.optional_boolean("allmulti"),
        section.string("dataDir") or DEFAULT_DATA_DIR,
    )
    return _overridden(keys, args) if args.raw else keys


def _overridden(keys: Tuning, args: Section) -> Tuning:
    """What args.cni says comes before all else."""
    promiscuous, allmulti = args.optional_boolean("promisc"), args.optional_boolean("allmulti")
    mtu, txqlen = args.optional_integer("mtu"), args.optional_integer("txQLen")
    return Tuning(
        tuple({**dict(keys.sysctls), **_strings(args, "sysctl")}.items()),
        args.string("mac") or keys.mac,
        keys.promiscuous if promiscuous is None else promiscuous,
        keys.mtu if mtu is None else mtu,
        keys.txqlen if txqlen is None else txqlen,
        keys.allmulti if allmulti is None else allmulti,
        keys.data_dir,
    )


def _strings(section: Section, key: str) -> dict[str, str]:
    values = section.section_or_empty(key)
    return {name: values.string(name) for name in values.raw}


def refuse_duplicates(stdin: bytes, section: Section) -> None:
    """CniError when the top-level `sysctl` object names a key twice; the decoded `section` cannot tell any more."""
    keys = section.section_or_empty("sysctl").raw
    if b"\\" not in stdin and all(stdin.count(b'"%s"' % key.encode()) == 1 for key in keys):
        return  # nearly always, and then the text need not be decoded a second time
    top = jsontext.loads(stdin, pairs_hook=tuple)
    for name, value in top:
        if name.lower() != "sysctl" or not isinstance(value, tuple):
            continue
        if len(value) != len({key for key, _ in value}):
            raise CniError("duplicated sysctl keys are not allowed")


def sysctl_path(key: str, ifname: str) -> str:
    """The path below /proc/sys; CniError unless it is one of net's, after `..` is resolved."""
    converted = key.replace(".", "/").replace("IFNAME", ifname, 1)
    path = os.path.normpath("/proc/sys/" + converted)
    if not path.startswith("/proc/sys/net/"):
        raise CniError(f'invalid net sysctl key: "{converted}"')
    return path.removeprefix("/proc/sys/")


def refuse_unlisted(sysctls: Sequence[tuple[str, Any]], allowlist: str) -> None:
    """CniError for a key that no line of the operator's list (regular expressions, one a line) matches."""
    import re  # only hosts that have such a list pay for it

    patterns = [line.strip() for line in allowlist.splitlines() if line.strip()]
    for key, _ in sysctls:
        try:
            allowed = any(re.search(pattern, key) for pattern in patterns)
        except re.error as error:
            raise CniError(f"allowlist of sysctls: bad regular expression: {error}") from None
        if not allowed:
            raise CniError(
                f"Sysctl {key} is not allowed. Only the following sysctls are allowed: [{' '.join(patterns)}]"
            )
