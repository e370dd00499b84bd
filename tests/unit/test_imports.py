"""What the plugin path loads, and which way dependencies point."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from interpreter import ROOT, run_plain

from pycni_plugins import NAMES

HEAVY = frozenset(
    [
        "json",
        "re",
        "dataclasses",
        "typing",
        "ipaddress",
        "socket",
        "subprocess",
        "enum",
        "collections",
        "pathlib",
        "logging",
        "argparse",
        "threading",
    ]
)
"""docs/architecture.md, "The plugin path imports nothing heavy"."""

PLUGINS = NAMES

STANDARD_BUDGET = 43
"""Modules that are not ours in sys.modules once a plugin is loaded, those of the bare interpreter (23) included; 40
when this was written."""

OWN_BUDGET = 66
"""Modules of pycni and pycni_plugins; 51 to 59 when this was written.  Each costs 0.1 to 0.2 ms to load."""


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_loads_nothing_heavy_and_little_else(plugin: str) -> None:
    script = (
        "import pycni_plugins.inprocess\n"
        f"plugin = pycni_plugins.load({plugin!r})\n"
        "print(plugin.name)\n"
        "print(*sorted(sys.modules))\n"
    )
    done = run_plain(script)
    assert done.returncode == 0, done.stderr
    name, modules = done.stdout.splitlines()
    loaded = set(modules.split())
    own = {module for module in loaded if module.startswith("pycni")}
    assert name == plugin
    assert not HEAVY & loaded
    assert len(loaded - own) <= STANDARD_BUDGET, sorted(loaded - own)
    assert len(own) <= OWN_BUDGET, sorted(own)


def test_a_whole_call_loads_nothing_heavy_either(tmp_path: Path) -> None:
    """VERSION through the entry point's function; the environment and standard input are those of a runtime."""
    script = (
        "import os\n"
        "from pycni_plugins.inprocess import main\n"
        "os.environ['CNI_COMMAND'] = 'VERSION'\n"
        "status = main(['--run-dir', sys.argv[1], 'bridge'])\n"
        "print()\n"
        "print(status, *sorted(sys.modules))\n"
    )
    done = run_plain(script, str(tmp_path))
    assert done.returncode == 0, done.stderr
    status, *loaded = done.stdout.splitlines()[-1].split()
    assert status == "0"
    assert not HEAVY & set(loaded)


def modules_of(top: str) -> Iterator[Path]:
    for path in sorted((ROOT / top).rglob("*.py")):
        # host_local is a link to host-local
        if not any(parent.is_symlink() for parent in path.parents):
            yield path


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in a file, those for type checkers only left out."""

    def walk(node: ast.AST) -> Iterator[tuple[int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
                for other in child.orelse:
                    yield from walk(ast.Module([other], []))
                continue
            if isinstance(child, ast.Import):
                yield from ((child.lineno, each.name) for each in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: relative import"
                yield child.lineno, child.module or ""
                yield from ((child.lineno, f"{child.module}.{each.name}") for each in child.names)
            yield from walk(child)

    yield from walk(ast.parse(path.read_text()))


def forbidden(paths: Iterator[Path], names: frozenset[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in paths
        for line, name in imported(path)
        if any(name == each or name.startswith(each + ".") for each in names)
    ]


def test_the_reader_of_imports_sees_them(tmp_path: Path) -> None:
    """The rules below would hold for any code if this did not."""
    path = tmp_path / "sample.py"
    path.write_text(
        "import netd\n"
        "if TYPE_CHECKING:\n    import typing\nelse:\n    import pycni_plugins.bridge\n"
        "def inner():\n    from netd.engine import protocol\n"
    )
    assert [name for _, name in imported(path)] == [
        "netd",
        "pycni_plugins.bridge",
        "netd.engine",
        "netd.engine.protocol",
    ]


def test_pycni_knows_neither_plugins_nor_the_engine() -> None:
    assert forbidden(modules_of("pycni"), frozenset({"plugins", "pycni_plugins", "netd", "launcher"})) == []


def test_plugins_do_not_know_the_engine() -> None:
    assert forbidden(modules_of("plugins"), frozenset({"plugins", "netd", "launcher"})) == []


def test_the_folders_of_netd_import_one_way() -> None:
    """So each can be read with those below it alone; CycleError names a circle."""
    known: dict[str, set[str]] = {}
    for path in modules_of("netd"):
        own = path.relative_to(ROOT / "netd").parts[0].removesuffix(".py")
        names = {name.split(".")[1] for _, name in imported(path) if name.startswith("netd.")}
        known.setdefault(own, set()).update(names - {own})
    order = list(TopologicalSorter(known).static_order())
    assert order.index("runtime") < order.index("sandbox") < order.index("api")


PURE = [
    "pycni/record.py",
    "pycni/settings.py",
    "pycni/spec",
    "pycni/plan/ops.py",
    "pycni/kernel/model.py",
    "pycni/ipam/allocator.py",
    "pycni/ipam/ranges.py",
    "pycni/ipam/resolvconf.py",
    "pycni/firewall/facts.py",
    "pycni/firewall/naming.py",
    "pycni/firewall/tables.py",
    "pycni/firewall/chains.py",
    "pycni/firewall/dbus_message.py",
    "plugins/bridge/layers.py",
    "plugins/bridge/config.py",
    "plugins/dnsname/config.py",
    "plugins/dhcp/calls.py",
    "plugins/dhcp/config.py",
    "plugins/dhcp/gob.py",
    "plugins/static/config.py",
    "plugins/host-device/config.py",
    "plugins/ptp/config.py",
    "plugins/ptp/layers.py",
    "netd/dhcp/answers.py",
    "netd/dhcp/client4.py",
    "netd/dhcp/client6.py",
    "netd/dhcp/machine.py",
    "netd/dhcp/domains.py",
    "netd/dhcp/flags.py",
    "netd/dhcp/messages4.py",
    "netd/dhcp/messages6.py",
    "netd/dhcp/timing.py",
    "netd/dns/wire.py",
    "netd/dns/zone.py",
    "netd/dns/answers.py",
    "netd/dns/upstream.py",
    "netd/api/container_list.py",
    "netd/api/container_view.py",
    "netd/api/decode.py",
    "netd/api/detach.py",
    "netd/api/durations.py",
    "netd/api/filters.py",
    "netd/api/image_view.py",
    "netd/api/network_request.py",
    "netd/api/query.py",
    "netd/api/reply.py",
    "netd/api/router.py",
    "netd/ports/grammar.py",
    "netd/ports/gateways.py",
    "netd/ports/wanted.py",
    "netd/ports/strangers.py",
]
IO = frozenset(
    [
        "os",
        "io",
        "posix",
        "fcntl",
        "select",
        "time",
        "random",
        "secrets",
        "shutil",
        "tempfile",
        "glob",
        "_signal",
        "_thread",
        "_ctypes",
        "_socket.socket",
        "pycni.kernel.netlink",
        "pycni.kernel.namespace",
        "pycni.kernel.sysctl_files",
        "pycni.kernel.netns",
        "pycni.kernel.libc",
        "pycni.execute",
        "pycni.invoke",
        "pycni.ipam.store",
        "pycni.ipam.leases",
        "pycni.firewall.programs",
        "pycni.program_path",
        "pycni.firewall.firewall",
    ]
)


@pytest.mark.parametrize("place", PURE)
def test_pure_modules_do_no_io(place: str) -> None:
    path = ROOT / place
    paths = [path] if path.is_file() else list(modules_of(place))
    assert paths
    assert forbidden(iter(paths), IO) == []
    opened = [
        f"{each}:{node.lineno}"
        for each in paths
        for node in ast.walk(ast.parse(each.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "print", "input")
    ]
    assert opened == []


def test_heavy_modules_are_named_nowhere_on_the_plugin_path_at_the_top_level() -> None:
    """A function that few calls reach may import one; a module may not."""
    found = []
    for top in ("pycni", "plugins"):
        for path in modules_of(top):
            body = ast.parse(path.read_text()).body
            for node in body:
                names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                found += [f"{path}: {name}" for name in names if name.partition(".")[0] in HEAVY]
    assert found == []
