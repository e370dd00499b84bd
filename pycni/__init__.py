"""Host networking for container engines: the library under the plugins, and for plugins of your own.

    import pycni

    def add(context: pycni.Context) -> pycni.Result:
        ...

    PLUGIN = pycni.Plugin("mine", add=add)
    if __name__ == "__main__":
        raise SystemExit(pycni.main(PLUGIN))

docs/writing-plugins.md has the whole example.  Names are loaded when they are first used, because every module of the
plugin path imports this one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.model import Link, Route
    from pycni.plan import ops
    from pycni.process import main
    from pycni.skeleton import Answer, Context, Host, Plugin, serve
    from pycni.spec.address import Address, Prefix
    from pycni.spec.errors import (
        CniError,
        ConfigError,
        KernelError,
        LimitedConnectivity,
        NotAvailable,
        TryAgainLater,
    )
    from pycni.spec.result import Dns, Interface, IpConfig, Result

_HOMES = {
    "pycni.kernel.model": ("Link", "Route"),
    "pycni.process": ("main",),
    "pycni.skeleton": ("Answer", "Context", "Host", "Plugin", "serve"),
    "pycni.spec.address": ("Address", "Prefix"),
    "pycni.spec.errors": (
        "CniError",
        "ConfigError",
        "KernelError",
        "LimitedConnectivity",
        "NotAvailable",
        "TryAgainLater",
    ),
    "pycni.spec.result": ("Dns", "Interface", "IpConfig", "Result"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Address",
    "Answer",
    "CniError",
    "ConfigError",
    "Context",
    "Dns",
    "Host",
    "Interface",
    "IpConfig",
    "KernelError",
    "LimitedConnectivity",
    "Link",
    "NotAvailable",
    "Plugin",
    "Prefix",
    "Result",
    "Route",
    "TryAgainLater",
    "main",
    "ops",
    "serve",
]


def __getattr__(name: str) -> object:
    if name == "ops":
        return __import__("pycni.plan.ops", fromlist=("ops",))
    if name not in _HOME:
        raise AttributeError(f"module 'pycni' has no attribute {name!r}")
    value = getattr(__import__(_HOME[name], fromlist=(name,)), name)
    globals()[name] = value
    return value
