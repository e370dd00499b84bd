"""bridge's keys as the plugin reads them."""

from __future__ import annotations

import json
from typing import Any

from pycni.spec.request import parse_config
from pycni_plugins.bridge.config import Bridge, parse


def keys(cni_args: str = "", **values: Any) -> Bridge:
    return parse(parse_config(json.dumps({"name": "net", **values}).encode()), cni_args)
