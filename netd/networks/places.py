"""Where the files of networks are on this machine.  Every path is a setting, so that tests run isolated."""

from __future__ import annotations

from collections.abc import Mapping

from netd.networks.usage import CACHE, LEASES
from pycni.record import Record

RUN_DIR = "/run/pynet"


class Places(Record):
    """`cni_path` lists plugin directories in search order; `resolv_confs` the files whose name servers no subnet may
    cover (systemd-resolved keeps the real ones in its own file)."""

    netconf_dir: str = "/etc/cni/net.d"
    cni_path: tuple[str, ...] = ("/opt/cni/bin",)
    run_dir: str = RUN_DIR
    cache_dir: str = CACHE
    lease_dir: str = LEASES
    resolv_confs: tuple[str, ...] = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")


def from_environment(environ: Mapping[str, str]) -> Places:
    """PYNET_NETCONF_DIR, PYNET_CNI_PATH, PYNET_RUN_DIR, PYNET_CACHE_DIR and PYNET_LEASE_DIR; for the first two also
    NETCONFPATH and CNI_PATH, which nerdctl and cnitool read.  Empty variables count as unset."""
    base = Places()
    cni_path = environ.get("PYNET_CNI_PATH") or environ.get("CNI_PATH")
    return Places(
        netconf_dir=environ.get("PYNET_NETCONF_DIR") or environ.get("NETCONFPATH") or base.netconf_dir,
        cni_path=split_path(cni_path) if cni_path else base.cni_path,
        run_dir=environ.get("PYNET_RUN_DIR") or base.run_dir,
        cache_dir=environ.get("PYNET_CACHE_DIR") or base.cache_dir,
        lease_dir=environ.get("PYNET_LEASE_DIR") or base.lease_dir,
    )


def split_path(text: str) -> tuple[str, ...]:
    """`a:b` as a search path, empty parts dropped."""
    return tuple(part for part in text.split(":") if part)
