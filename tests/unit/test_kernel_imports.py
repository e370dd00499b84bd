"""The kernel part imports nothing that costs a plugin run without the engine (docs/architecture.md)."""

from __future__ import annotations

import subprocess

import pytest

from pycni import record

ROOT = record.__file__.removesuffix("/pycni/record.py")

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
bare = set(sys.modules)
__import__(sys.argv[2])
print(*(set(sys.modules) - bare))
"""

FREE = {
    "__future__",
    "_collections_abc",
    "_ctypes",
    "_socket",
    "_stat",
    "_struct",
    "errno",
    "fcntl",
    "genericpath",
    "os",
    "os.path",
    "posixpath",
    "stat",
    "struct",
}
"""What `import os, struct, _socket, _ctypes, fcntl` brings along; Debian's interpreter has the last built in."""


@pytest.mark.parametrize(
    "module", ["pycni.kernel.namespace", "pycni.kernel.conntrack", "pycni.kernel.memory", "pycni.kernel.port_vlans"]
)
def test_only_free_modules_are_imported(module: str) -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", "-c", PROGRAM, ROOT, module],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    loaded = set(done.stdout.split())
    assert module in loaded
    assert {name for name in loaded - FREE if name.partition(".")[0] != "pycni"} == set()
    assert not any(name.startswith("pycni.firewall") for name in loaded)
