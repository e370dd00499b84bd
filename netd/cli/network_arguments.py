"""`--network` and the flags that go with it, as docker's wire form; pure.

    --network NET
    --network name=NET,ip=ADDRESS,ip6=ADDRESS,alias=NAME,link=CONTAINER:ALIAS,mac-address=MAC,gw-priority=N,
              link-local-ip=ADDRESS,driver-opt=KEY=VALUE

Flags without a network (`--ip`, `--network-alias`, …) are about the first one, as with docker.
"""

from __future__ import annotations

from netd.failure import InvalidParameter
from pycni.kernel.model import parse_mac
from pycni.spec.address import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netd.cli.flags import Arguments

DEFAULT = "default"
_SINGLE = {"ip": "IPv4Address", "ip6": "IPv6Address"}
_LISTS = ("alias", "link", "link-local-ip", "driver-opt")
_KEYS = ("name", *_SINGLE, "mac-address", "gw-priority", *_LISTS)


def networks(arguments: Arguments) -> tuple[str, dict[str, object]]:
    """(NetworkMode, EndpointsConfig) of `run`; InvalidParameter names the flag."""
    wishes = [_read(text) for text in arguments.network]
    flags = _of_flags(arguments)
    if not (wishes and _is_network(str(wishes[0]["name"]))):
        # on the default bridge links are the container's own
        flags.pop("link", None)
    if not wishes:
        return DEFAULT, ({DEFAULT: endpoint(flags)} if flags else {})
    first = wishes[0]
    for key, value in flags.items():
        if key in first:
            raise InvalidParameter(f"--network {arguments.network[0]}: --{_flag_of(key)} says {key} a second time")
        first[key] = value
    named = [str(wish["name"]) for wish in wishes]
    for name in named:
        if len(named) > 1 and (name in ("host", "none") or name.startswith("container:")):
            raise InvalidParameter(f"--network {name}: cannot be combined with other networks")
        if named.count(name) > 1:
            raise InvalidParameter(f"--network {name}: given twice")
    # docker's names for the default network stay unsaid where nothing is asked of it, and there is no other
    asked: dict[str, object] = {
        name: endpoint(wish)
        for name, wish in zip(named, wishes, strict=True)
        if len(wish) > 1 or len(wishes) > 1 or _is_network(name)
    }
    return named[0], asked


def endpoint(wish: dict[str, object]) -> dict[str, object]:
    """An EndpointSettings of the API."""
    addresses: dict[str, object] = {wire: wish[key] for key, wire in _SINGLE.items() if key in wish}
    if "link-local-ip" in wish:
        addresses["LinkLocalIPs"] = wish["link-local-ip"]
    settings: dict[str, object] = {"IPAMConfig": addresses} if addresses else {}
    for key, wire in (("alias", "Aliases"), ("link", "Links"), ("mac-address", "MacAddress")):
        if key in wish:
            settings[wire] = wish[key]
    if "gw-priority" in wish:
        settings["GwPriority"] = wish["gw-priority"]
    options = wish.get("driver-opt", [])
    assert isinstance(options, list)
    if options:
        settings["DriverOpts"] = dict(option.split("=", 1) for option in options)
    return settings


def connecting(arguments: Arguments) -> dict[str, object]:
    """The EndpointConfig of `pynet connect`; InvalidParameter names the flag."""
    return endpoint(_of_flags(arguments, "alias", "driver_opt"))


def _of_flags(arguments: Arguments, alias: str = "network_alias", options: str = "") -> dict[str, object]:
    wish: dict[str, object] = {}
    for key, flag in (("ip", "--ip"), ("ip6", "--ip6"), ("mac-address", "--mac-address")):
        if value := getattr(arguments, key.replace("-", "_")):
            wish[key] = _checked(flag, key, value)
    lists = (("alias", alias), ("link", "link"), ("link-local-ip", "link_local_ip"), ("driver-opt", options))
    for key, attribute in lists:
        if attribute and (values := getattr(arguments, attribute)):
            flag = "--" + attribute.replace("_", "-")
            wish[key] = [_checked(flag, key, value) for value in values]
    if arguments.gw_priority is not None:
        wish["gw-priority"] = arguments.gw_priority
    return wish


def _flag_of(key: str) -> str:
    return "network-alias" if key == "alias" else key


def _read(text: str) -> dict[str, object]:
    """The parts of one `--network`."""
    if "=" not in text:
        if not text or "," in text:
            raise InvalidParameter(f"--network {text!r}: expected a network, or name=NETWORK,ip=ADDRESS,…")
        return {"name": text}
    wish: dict[str, object] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        key = key.strip().lower()
        if key not in _KEYS or not equals:
            raise InvalidParameter(f"--network {text}: {key!r} is not one of {', '.join(_KEYS)}")
        value = value.strip()
        flag = f"--network {text}: {key}"
        if key in _LISTS:
            held = wish.setdefault(key, [])
            assert isinstance(held, list)
            held.append(_checked(flag, key, value))
        elif key in wish:
            raise InvalidParameter(f"{flag} given twice")
        else:
            wish[key] = _priority(flag, value) if key == "gw-priority" else _checked(flag, key, value)
    if not wish.get("name"):
        raise InvalidParameter(f"--network {text}: name=NETWORK is missing")
    return wish


def _priority(flag: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InvalidParameter(f"{flag} {value!r}: must be a whole number") from None


def _checked(flag: str, key: str, value: str) -> str:
    """The value, when it is one of its kind."""
    try:
        if key in ("ip", "ip6", "link-local-ip"):
            family = Address.parse(value).family
            if key != "link-local-ip" and family != (4 if key == "ip" else 6):
                raise ValueError(f"an IPv{4 if key == 'ip' else 6} address is needed")
        elif key == "mac-address":
            parse_mac(value)
        elif key == "driver-opt" and not value.partition("=")[1]:
            raise ValueError("expected KEY=VALUE")
        elif not value:
            raise ValueError("a value is missing")
    except ValueError as error:
        raise InvalidParameter(f"{flag} {value}: {error}") from None
    return value


def _is_network(name: str) -> bool:
    return name not in (DEFAULT, "bridge", "host", "none") and not name.startswith("container:")
