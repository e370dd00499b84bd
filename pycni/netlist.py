"""Network lists as files: finding, reading and checking them the way libcni does (contract 1.15).

A directory holds `*.conflist` files; a single plugin's `*.conf` or `*.json` counts as a list of one.  Further plugins
of a list may stand in files of their own, `<directory>/<network name>/*.conf`.  An invalid file hides only itself.
"""

from __future__ import annotations

import os

from pycni.record import Record
from pycni.spec import jsontext
from pycni.spec import version as spec_version
from pycni.spec.errors import CniError, ConfigError, StoreError
from pycni.spec.request import check_network_name
from pycni.spec.section import Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_TRUTH = {"true": True, "false": False}


class NoSuchNetwork(CniError):
    """No list of this name in the directory."""


class ListPlugin(Record):
    """One plugin of a list.  `body` is its object as written, `capabilities` those it marks true."""

    type: str
    name: str
    body: dict[str, Any]
    capabilities: tuple[str, ...]


class NetworkList(Record):
    """A network.  `version` is the cniVersion in force ("" when none was named), `text` what libcni caches as its
    configuration, `path` the file it came from."""

    name: str
    version: str
    plugins: tuple[ListPlugin, ...]
    disable_check: bool = False
    disable_gc: bool = False
    only_inlined: bool = False
    text: bytes = b""
    path: str = ""

    def at_least(self, version: str) -> bool:
        return spec_version.parse(self.version) >= spec_version.parse(version)


def parse_list(text: bytes, path: str = "") -> NetworkList:
    """A list's text; ConfigError names the file, where given, and the key at fault.  It may have no plugin yet."""
    with _Named(path):
        section = _object(text)
        name = section.string("name")
        check_network_name(name)
        only_inlined = _switch(section, "loadOnlyInlinedPlugins")
        written = section.items("plugins")
        if written is None and only_inlined:
            raise section.wrong("plugins", "missing, and loadOnlyInlinedPlugins is true")
        if written is not None and not written:
            raise section.wrong("plugins", "no plugins in list")
        return NetworkList(
            name,
            _choose_version(section),
            tuple(_plugin(each) for each in section.sections("plugins")),
            _switch(section, "disableCheck"),
            _switch(section, "disableGC"),
            only_inlined,
            text,
            path,
        )


def parse_single(text: bytes, path: str = "") -> NetworkList:
    """A single plugin's configuration as a list of one; ConfigError names the file and the key at fault."""
    with _Named(path):
        section = _object(text)
        plugin = _plugin(section)
        check_network_name(plugin.name)
        wrapped = {"cniVersion": section.string("cniVersion"), "name": plugin.name, "plugins": [plugin.body]}
        return parse_list(jsontext.dumps(wrapped, sort_keys=True).encode()).replace(path=path)


def read_list(path: str) -> NetworkList:
    """The list in a file, with the plugins from its directory; StoreError when unreadable, ConfigError when wrong."""
    text = _read(path)
    if not path.endswith(".conflist"):
        return parse_single(text, path)
    network = parse_list(text, path)
    if not network.only_inlined:
        extra = os.path.join(os.path.dirname(path), network.name)
        network = network.replace(plugins=network.plugins + tuple(_plugin_files(extra)))
    if not network.plugins:
        raise ConfigError(f"{path}: no plugin configs found")
    return network


def read_directory(directory: str) -> tuple[list[NetworkList], list[CniError]]:
    """All networks of a directory in the order in which they are looked up (lists before single plugins, by file
    name), and what is wrong with the files that are none.  A directory that is missing is empty."""
    networks: list[NetworkList] = []
    errors: list[CniError] = []
    for extensions in ((".conflist",), (".conf", ".json")):
        for path in _files(directory, extensions):
            try:
                networks.append(read_list(path))
            except CniError as error:
                errors.append(error)
    return networks, errors


def find_list(directory: str, name: str) -> NetworkList:
    """The first network of this name.  NoSuchNetwork when there is none; if files could not be read, it says so."""
    networks, errors = read_directory(directory)
    for each in networks:
        if each.name == name:
            return each
    if not networks and not errors:
        raise NoSuchNetwork(f"no net configurations found in {directory}")
    reasons = "".join(f"; {error.msg}" for error in errors)
    raise NoSuchNetwork(f'no net configuration with name "{name}" in {directory}{reasons}')


class _Named:
    """Puts the file's name in front of an error's text."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, CniError) and self._path:
            raise ConfigError(f"{self._path}: {error}") from None


def _object(text: bytes) -> Section:
    try:
        body = jsontext.loads(text)
    except ValueError as error:
        raise ConfigError(f"error parsing configuration: {error}") from None
    if not isinstance(body, dict):
        raise ConfigError("error parsing configuration: it is not a JSON object")
    return Section(body)


def _plugin(section: Section) -> ListPlugin:
    kind = section.string("type")
    if not kind:
        raise section.wrong("type", "missing")
    capabilities = section.section_or_empty("capabilities")
    enabled = tuple(key for key in capabilities.raw if capabilities.boolean(key))
    return ListPlugin(kind, section.string("name"), section.raw, enabled)


def _switch(section: Section, key: str) -> bool:
    """A boolean that may be written as a string."""
    value = section.get(key)
    if isinstance(value, str):
        if value.lower() not in _TRUTH:
            raise section.wrong(key, f'expected true or false, got "{value}"')
        return _TRUTH[value.lower()]
    return section.boolean(key)


def _choose_version(section: Section) -> str:
    """The highest of cniVersion and cniVersions that this library knows."""
    written = section.string("cniVersion")
    if not section.has("cniVersions"):
        return written
    limit = spec_version.parse(spec_version.CURRENT)
    offered = section.strings("cniVersions") + ([written] if written else [])
    known = [each for each in offered if spec_version.parse(each) <= limit]
    return max(known, key=spec_version.parse, default=written)


def _files(directory: str, extensions: tuple[str, ...]) -> Iterator[str]:
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError("reading networks from", directory, error) from None
    for name in names:
        path = os.path.join(directory, name)
        if name.endswith(extensions) and not os.path.isdir(path):
            yield path


def _plugin_files(directory: str) -> Iterator[ListPlugin]:
    for path in _files(directory, (".conf",)):
        with _Named(path):
            yield _plugin(_object(_read(path)))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise StoreError("reading", path, error) from None
