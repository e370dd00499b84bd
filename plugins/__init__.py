"""Our plugins, by the names runtimes know them by.  A plugin's module is imported when it is asked for."""

from __future__ import annotations

from pycni.spec.errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.skeleton import Plugin

NAMES = (
    "bridge", "host-local", "loopback", "portmap", "firewall", "tuning", "static", "dhcp", "ptp", "bandwidth", "sbr",
    "vrf", "macvlan", "dummy", "tap", "ipvlan", "vlan", "host-device", "dnsname",
)  # fmt: skip


_loaded: dict[str, Plugin] = {}


class UnknownPlugin(CniError):
    """This installation has no plugin of that name."""


def load(name: str) -> Plugin:
    """The plugin called `name`; UnknownPlugin for any other than those in NAMES."""
    if name in _loaded:
        return _loaded[name]
    if name not in NAMES:
        raise UnknownPlugin(f'no plugin is called "{name}"')
    module = f"pycni_plugins.{name.replace('-', '_')}.plugin"
    plugin: Plugin = __import__(module, fromlist=("PLUGIN",)).PLUGIN
    _loaded[name] = plugin
    return plugin


def find(name: str) -> Plugin | None:
    """The plugin called `name` for a call in place, None when it is somebody else's and has to be executed."""
    known = _loaded.get(name)
    return known if known is not None or name not in NAMES else load(name)
