"""What processes that go on while their files change import at their start."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netd.whole import Files

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = {
    "netd.engine.main": ("pycni", "plugins", "netd/engine"),
    "netd.api.main": (
        *("pycni", "plugins", "netd/api", "netd/runtime", "netd/sandbox", "netd/ports", "netd/networks", "netd/files"),
    ),
}
"""Their modules, and where to look for imports that are not at the beginning of a module."""

APART = ("pycni.kernel.memory", "pycni.process", "pycni_plugins.inprocess", "pycni_plugins.oneshot")


def later(folder: str) -> set[str]:
    """Modules of ours that functions in this folder import."""
    found: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        if "-" in str(path.relative_to(ROOT)) or path.name == "__main__.py":
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.ImportFrom) and node.module:
                        found.add(node.module)
                        found |= {f"{node.module}.{each.name}" for each in node.names}
                    elif isinstance(node, ast.Import):
                        found |= {each.name for each in node.names}
    return {name for name in found if name.startswith(("pycni.", "pycni_plugins.", "netd."))}


@pytest.mark.parametrize("module", PROCESSES)
def test_nothing_is_left_to_be_imported_later(module: str) -> None:
    """`load` stops the process at the point where it would begin to serve."""
    script = f"""
import json, sys
import {module} as main, netd.whole
whole = netd.whole.import_all
def stop(*packages):
    whole(*packages)
    print(json.dumps(sorted(sys.modules)))
    sys.stdout.flush()
    import os
    os._exit(0)
main.import_all = stop
main.run(main.Options())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = set(json.loads(done.stdout))
    wanted = set().union(*(later(folder) for folder in PROCESSES[module]))
    modules = {name for name in wanted if (ROOT / name.replace("pycni_plugins", "plugins").replace(".", "/")).is_dir()}
    modules |= {
        name for name in wanted if (ROOT / f"{name.replace('pycni_plugins', 'plugins').replace('.', '/')}.py").is_file()
    }
    assert modules, "the search for imports finds none"
    assert {name for name in modules - loaded if not name.startswith(APART)} == set()
    assert not [name for name in loaded if name.startswith("pycni.kernel.memory")]


def test_changed_files_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "upgraded").mkdir()
    one, two = tmp_path / "upgraded/one.py", tmp_path / "upgraded/two.py"
    for path in (tmp_path / "upgraded/__init__.py", one, two):
        path.write_text("")
    sys.path.insert(0, str(tmp_path))
    try:
        __import__("upgraded.one")
        files = Files(("upgraded",))
        assert files.changed() == ""
        two.write_text("not loaded")
        assert files.changed() == ""
        new = tmp_path / "new"
        new.write_text("")
        os.utime(new, ns=(one.stat().st_atime_ns, one.stat().st_mtime_ns))
        new.rename(one)
        assert files.changed() == str(one)
        assert Files(("upgraded",)).changed() == ""
        one.unlink()
        assert Files(("upgraded",)).changed() == "" and files.changed() == str(one)
    finally:
        sys.path.remove(str(tmp_path))
        for name in ("upgraded", "upgraded.one"):
            sys.modules.pop(name)
