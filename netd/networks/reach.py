"""The device by which a host reaches a network's containers, made before the first of them comes."""

from __future__ import annotations

import sys
from typing import Any

from netd.networks.places import Places
from pycni.firewall.firewall import Firewall
from pycni.kernel.namespace import Namespace
from pycni.plan.transaction import Transaction
from pycni.spec.request import Config
from pycni.spec.section import Section
from pycni_plugins.macvlan.access import parse


def make(plugin: dict[str, Any], places: Places) -> None:
    """`plugin` is a macvlan plugin's configuration with `hostAccess`.  CniError when it cannot be; what was made of it
    is gone then."""
    wanted = parse(Config(Section(plugin)), plugin["master"])
    with Namespace.current() as host:
        firewall = Firewall(host, places.run_dir)
        try:
            with Transaction(host, lambda: host, firewall, _warn) as transaction:
                transaction.apply([wanted])
        finally:
            firewall.close()


def _warn(text: str) -> None:
    sys.stderr.write(f"pynet: {text}\n")
