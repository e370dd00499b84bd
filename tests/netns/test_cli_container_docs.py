"""docs/containers.md is what really happens, as docs/pynet.md is."""

from __future__ import annotations

import re

from console_pages import Steady, check
from pynet_runtime import RuntimeSandbox
from pynet_sandbox import ROOT

_VARYING = (
    (re.compile(r"sha256:[0-9a-f]{64}"), "sha256:…"),
    (re.compile(r"(Less than a second|About a minute|\d+ seconds?)( ago)?"), r"2 seconds\2"),
    (re.compile(r"eth(\d)@if\d+"), r"eth\1@if7"),
    (re.compile(r"\b\d\.\d+MB"), "1.98MB"),
)


def test_the_page_shows_what_happens() -> None:
    steady = Steady(_VARYING)
    with RuntimeSandbox() as host:
        host.ok("pynet install --no-systemd")
        host.ok("mkdir -p /run/rootfs/bin && cp /bin/busybox /run/rootfs/bin/sh")
        page = ROOT / "docs" / "containers.md"
        check(page, lambda _, command: steady(host.run(f"cd /run; {{ {command}; }} 2>&1").stdout))
