"""What a command is given: its surroundings as values, so that tests replace any of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TextIO

from netd.networks.manage import Host
from netd.networks.places import Places, from_environment, split_path
from pycni.record import Record


class Context(Record):
    """`out` and `err` are the command's streams, `input` its standard input."""

    places: Places
    host: Host
    out: TextIO
    err: TextIO
    input: TextIO
    environ: Mapping[str, str]

    def complain(self, message: str) -> None:
        """One line on standard error."""
        self.err.write(f"pynet: {message}\n")


def places_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Places:
    """Flags first, then variables, then the defaults."""
    places = from_environment(environ)
    given = vars(arguments)
    changes: dict[str, object] = {
        name: given[name] for name in ("netconf_dir", "run_dir", "cache_dir", "lease_dir") if name in given
    }
    if "cni_path" in given:
        changes["cni_path"] = split_path(given["cni_path"])
    return places.replace(**changes)
