"""One plugin execution's request: environment and configuration, checked in the reference's order
(contract 1.1-1.4).
"""

from __future__ import annotations

from pycni.record import Record
from pycni.spec import jsontext, result
from pycni.spec.errors import CniError, DecodingFailure, InvalidEnvironment, InvalidNetworkConfig
from pycni.spec.result import Dns, Result
from pycni.spec.section import Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

COMMANDS = ("ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION")
_NAME_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_NAME_REST = _NAME_FIRST | frozenset("_.-")
MAX_IFNAME = 15
"""Bytes in an interface name: the kernel's IFNAMSIZ less its final NUL."""


def is_name(text: str) -> bool:
    """The pattern container ids and network names share (contract 1.3); it keeps paths out of file names."""
    return bool(text) and text[0] in _NAME_FIRST and _NAME_REST.issuperset(text)


def check_container_id(text: str) -> None:
    """InvalidEnvironment unless the id is well-formed."""
    if not (text.isascii() and text.isalnum()) and not is_name(text):  # the first is quicker, and nearly always true
        raise InvalidEnvironment("invalid characters in containerID", text)


def check_ifname(text: str) -> None:
    """InvalidEnvironment unless the kernel and our stores can take the name (contract 1.3)."""
    if len(text) <= MAX_IFNAME and text.isascii() and text.isalnum():
        return  # nearly always
    if not text:
        raise InvalidEnvironment("interface name is empty")
    if len(text.encode("utf-8", "surrogateescape")) > MAX_IFNAME:
        raise InvalidEnvironment("interface name is too long", "interface name should be less than 16 characters")
    if text in (".", ".."):
        raise InvalidEnvironment("interface name is . or ..")
    if "/" in text or ":" in text or text.split() != [text]:
        raise InvalidEnvironment("interface name contains / or : or whitespace characters")
    if not text.isprintable():  # control characters, and bytes that are not UTF-8
        raise InvalidEnvironment("interface name contains unprintable characters")


def check_network_name(text: str) -> None:
    """InvalidNetworkConfig unless the name is present and well-formed."""
    if not text:
        raise InvalidNetworkConfig("missing network name")
    if not is_name(text):
        raise InvalidNetworkConfig("invalid characters found in network name", text)


_CONTAINER_ID = "CNI_CONTAINERID", check_container_id
_IFNAME = "CNI_IFNAME", check_ifname
_PATH = "CNI_PATH", None
_WITH_NAMESPACE = _CONTAINER_ID, ("CNI_NETNS", None), _IFNAME, _PATH
_REQUIRED: dict[str, tuple[tuple[str, Callable[[str], None] | None], ...]] = {
    "ADD": _WITH_NAMESPACE,
    "CHECK": _WITH_NAMESPACE,
    "DEL": (_CONTAINER_ID, _IFNAME, _PATH),
    "GC": (_PATH,),
    "STATUS": (_PATH,),
}
"""Of each command the variables that it needs, and what makes sure that one is well-formed."""


class Request(Record):
    """The checked environment.  `netns` is a path ("" on some DELs), `arguments` the raw CNI_ARGS, `path` the
    plugin directories; `environment` everything the process got, for delegates; `stdin` the exact bytes."""

    command: str
    container_id: str
    netns: str
    ifname: str
    arguments: str
    path: tuple[str, ...]
    netns_override: bool
    environment: Mapping[str, str]
    stdin: bytes = b""


def parse_environment(environment: Mapping[str, str]) -> Request:
    """Steps 1 and 2 of contract 1.2; InvalidEnvironment names every missing variable."""
    check_environment(environment)
    return request_of(environment, b"")


def check_environment(environment: Mapping[str, str]) -> None:
    """InvalidEnvironment names every missing variable, or the first that is malformed."""
    command = environment.get("CNI_COMMAND", "")
    missing = [] if command else ["CNI_COMMAND"]
    for name, validate in _REQUIRED.get(command, ()):
        value = environment.get(name, "")
        if not value:
            missing.append(name)
        elif validate is not None:
            validate(value)
    if missing:
        raise InvalidEnvironment(f"required env variables [{','.join(missing)}] missing")


def request_of(environment: Mapping[str, str], stdin: bytes) -> Request:
    """The request of an environment that was checked."""
    get = environment.get
    override = get("CNI_NETNS_OVERRIDE", "")
    return Request(
        get("CNI_COMMAND", ""),
        get("CNI_CONTAINERID", ""),
        get("CNI_NETNS", ""),
        get("CNI_IFNAME", ""),
        get("CNI_ARGS", ""),
        tuple(get("CNI_PATH", "").split(":")),
        override == "1" or override.upper() == "TRUE",
        environment,
        stdin,
    )


_VALID_KEYS = ("cni.dev/valid-attachments", "cni.dev/attachments")
"""The second is what the specification said before it was corrected (cni#1101); libcni sends both."""


class Config:
    """The configuration of one plugin.  `section` gives typed access to every key; the shared keys are read here.

    `version` is the cniVersion as written ("" when missing); `ipam` is None when absent; `runtime` is runtimeConfig,
    `args` is args.cni, both empty sections when absent."""

    __slots__ = (
        *("args", "ipam", "memo", "name", "previous_memo", "raw_previous", "runtime", "section", "text_memo", "type"),
        "version",
    )

    def __init__(self, section: Section) -> None:
        self.section = section
        self.raw_previous: Any = None
        """prevResult as decoded, of a call whose section is without it."""
        self.previous_memo: dict[object, Any] = {}
        """What is made of that alone; the plugins of a chain mostly get the same."""
        self.memo: dict[object, Any] = {}
        """What plugins make of the configuration alone, for those who remember configurations to keep with it."""
        self.text_memo: dict[object, Any] = {}
        """The same, of the configuration's exact text: another one may say the same in other words."""
        self.version = section.string("cniVersion")
        self.name = section.string("name")
        self.type = section.string("type")
        self.ipam = section.section("ipam")
        self.runtime = section.section_or_empty("runtimeConfig")
        self.args = section.section_or_empty("args").section_or_empty("cni")

    def for_call(
        self, previous: Any, text_memo: dict[object, Any], previous_memo: dict[object, Any] | None = None
    ) -> Config:
        """The same configuration with this prevResult, which was taken out of the object the section is of."""
        copy = object.__new__(Config)
        copy.section, copy.raw_previous, copy.memo, copy.text_memo = self.section, previous, self.memo, text_memo
        copy.previous_memo = {} if previous_memo is None else previous_memo
        copy.version, copy.name, copy.type = self.version, self.name, self.type
        copy.ipam, copy.runtime, copy.args = self.ipam, self.runtime, self.args
        return copy

    @property
    def ipam_type(self) -> str:
        return self.ipam.string("type") if self.ipam is not None else ""

    @property
    def frees_addresses_first(self) -> bool:
        """Whether the IPAM plugin's DEL comes before the device is removed, as always in the reference: dhcp gives an
        address back through the device.  Those who only keep books hear of it after, so that nobody is given an
        address that is still in use."""
        return self.ipam_type not in ("host-local", "static")

    def dns_override(self) -> Dns | None:
        """The configuration's dns when it says anything, even only an empty list (contract 2.1 step 10)."""
        section = self.section.section("dns")
        if section is None:
            return None
        says_something = bool(section.string("domain")) or any(
            section.has(key) for key in ("nameservers", "search", "options")
        )
        return result.parse_dns(section) if says_something else None

    def prev_result(self) -> Result | None:
        """The previous plugin's result, None when absent; CniError when it cannot be read as this cniVersion."""
        memo, key = self.previous_memo, (result.parse, self.version)
        if key not in memo:
            memo[key] = self._previous_parsed()
        found: Result | None = memo[key]
        return found

    def _previous_parsed(self) -> Result | None:
        holder = self.section if self.raw_previous is None else Section({"prevResult": self.raw_previous})
        section = holder.section("prevResult")
        if section is None:
            return None
        try:
            return result.parse(section, self.version, named=section.has("cniVersion"))
        except CniError as error:
            raise CniError(f"could not parse prevResult: {error.msg}") from None

    @property
    def says_what_is_valid(self) -> bool:
        """Whether a GC carries its list at all.  cnitool's does not (libcni 1.3.0 called without arguments)."""
        return any(key in self.section.raw for key in _VALID_KEYS)

    def valid_attachments(self) -> frozenset[tuple[str, str]]:
        """GC's list of (container id, interface name) to keep (spec 1.1.0, cni.dev/valid-attachments).

        ConfigError when the key is missing: garbage collection without the list would free everything."""
        for key in _VALID_KEYS:
            # libcni writes null when nothing is attached; only a key that is absent means that nobody said
            if key in self.section.raw:
                attachments = self.section.sections(key)
                return frozenset((each.string("containerID"), each.string("ifname")) for each in attachments)
        raise self.section.wrong(_VALID_KEYS[0], "GC needs the list of valid attachments")


def parse_section(stdin: bytes) -> Section:
    """Step 4 of contract 1.2: DecodingFailure for what is not a JSON object, InvalidNetworkConfig for the name."""
    return check_name(parse_object(stdin))


def parse_object(stdin: bytes) -> dict[str, Any]:
    """DecodingFailure for what is not a JSON object."""
    try:
        raw = jsontext.loads(stdin)
    except ValueError as error:
        raise DecodingFailure(f"error unmarshall network config: {error}") from None
    if raw is None:
        raw = {}  # for Go's decoder null leaves everything as it is
    if not isinstance(raw, dict):
        raise DecodingFailure("error unmarshall network config: the configuration is not a JSON object")
    return raw


def check_name(raw: dict[str, Any]) -> Section:
    """InvalidNetworkConfig for the network's name, DecodingFailure when it is no string."""
    section = Section(raw)
    try:
        name = section.string("name")
    except CniError as error:
        raise DecodingFailure(f"error unmarshall network config: {error.msg}") from None
    check_network_name(name)
    return section


def parse_version(section: Section) -> str:
    """The configuration's cniVersion as written, "" when missing; DecodingFailure when it is not a string."""
    try:
        return section.string("cniVersion")
    except CniError as error:
        raise DecodingFailure(f"error decoding version from network config: {error.msg}") from None


def parse_config(stdin: bytes) -> Config:
    """The whole of it: as `parse_section`, and ConfigError for a shared key of a wrong type."""
    return Config(parse_section(stdin))
