"""Attaching containers to networks the way libcni does: running a list's plugins in order (contract 1.15).

This is the caller's side of CNI.  What a plugin is and how it is run is `pycni.invoke`'s business.
"""

from __future__ import annotations

from pycni.cache import Attachment, CacheEntry, ResultCache
from pycni.invoke import Invoker, parse_result, read_result
from pycni.spec import jsontext, result
from pycni.spec.errors import CniError, DelegateError, IncompatibleVersion, UnknownContainer
from pycni.spec.request import check_container_id, check_ifname

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from pycni.netlist import ListPlugin, NetworkList
    from pycni.spec.result import Result


class Runtime:
    """Runs lists with the plugins found in `path`.  `environment` is what plugins inherit besides the CNI variables."""

    def __init__(
        self, path: Sequence[str], invoker: Invoker, environment: Mapping[str, str], cache: ResultCache
    ) -> None:
        self._path = tuple(path)
        self._invoker = invoker
        self._environment = environment
        self._cache = cache

    def add(self, network: NetworkList, attachment: Attachment) -> Result:
        """Attach; the last plugin's result, which is cached too.

        DelegateError with the failing plugin's code.  What the plugins before it made stays until `delete`, as with
        libcni: the caller decides."""
        if not attachment.container_id:
            raise UnknownContainer("missing containerID")
        check_container_id(attachment.container_id)
        check_ifname(attachment.ifname)
        added: dict[str, Any] | None = None
        for plugin in network.plugins:
            config = _config(network, plugin, added, attachment)
            try:
                stdout = self._call("ADD", plugin, config, attachment)
                added = read_result(stdout, network.version)
                parsed = parse_result(added)
            except CniError as error:
                raise _failed(plugin, "add", error) from None
        if added is None:
            raise CniError(f'network "{network.name}" has no plugins')
        self._cache.write(CacheEntry(network.name, attachment, network.text, added))
        return parsed

    def delete(self, network: NetworkList, attachment: Attachment) -> None:
        """Detach, in reverse order; repeating it, or doing it for what was never attached, succeeds.

        All plugins are run even if one fails (libcni stops there, and leaks what the others hold); then DelegateError,
        and the cached result stays for the next try."""
        previous = None
        if network.at_least("0.4.0"):
            try:
                previous = self._cached_result(network, attachment)
            except (CniError, ValueError):
                # an illegible result must not keep anybody from cleaning up
                self._cache.remove(network.name, attachment)
        errors: list[CniError] = []
        for plugin in reversed(network.plugins):
            try:
                self._call("DEL", plugin, _config(network, plugin, previous, attachment), attachment)
            except CniError as error:
                errors.append(_failed(plugin, "delete", error))
        _raise(errors)
        self._cache.remove(network.name, attachment)

    def check(self, network: NetworkList, attachment: Attachment) -> None:
        """Verify an attachment against its cached result; the first plugin's error, as it is.

        IncompatibleVersion for a list older than 0.4.0; nothing is done where the list disables CHECK."""
        if not network.at_least("0.4.0"):
            raise IncompatibleVersion(f'configuration version "{network.version}" does not support the CHECK command')
        if network.disable_check:
            return
        try:
            previous = self._cached_result(network, attachment)
        except (CniError, ValueError) as error:
            raise CniError(f'failed to get network "{network.name}" cached result: {error}') from None
        for plugin in network.plugins:
            self._call("CHECK", plugin, _config(network, plugin, previous, attachment), attachment)

    def gc(self, network: NetworkList, valid: Iterable[tuple[str, str]]) -> None:
        """Remove everything of attachments other than `valid` (container id, interface): those in the cache by DEL,
        then, from version 1.1.0 on, whatever the plugins find themselves.  Errors are raised together at the end."""
        if network.disable_gc:
            return
        keep = sorted(set(valid))
        errors: list[CniError] = []
        for entry in self._cache.entries():
            stale = entry.attachment
            if entry.network != network.name or (stale.container_id, stale.ifname) in keep:
                continue
            try:
                self.delete(network, stale)
            except CniError as error:
                text = f"failed to delete stale attachment {stale.container_id} {stale.ifname}: {error}"
                errors.append(DelegateError(error.code, text))
        try:
            self.collect(network, keep)
        except CniError as error:
            errors.append(error)
        _raise(errors)

    def collect(self, network: NetworkList, valid: Iterable[tuple[str, str]]) -> None:
        """The second half of `gc` alone: what is in the cache and not valid stays attached."""
        errors: list[CniError] = []
        if network.at_least("1.1.0") and not network.disable_gc:
            keep = sorted(set(valid))
            attachments = [{"containerID": container_id, "ifname": ifname} for container_id, ifname in keep]
            # the second key is what the specification called it before it was corrected (cni#1101)
            extra = {"cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments}
            for plugin in network.plugins:
                try:
                    self._call("GC", plugin, {**_config(network, plugin), **extra})
                except CniError as error:
                    errors.append(DelegateError(error.code, f"failed to GC plugin {plugin.type}: {error}"))
        _raise(errors)

    def status(self, network: NetworkList) -> None:
        """Whether ADD would work now: the first plugin's error, as it is.  Lists older than 1.1.0 cannot be asked."""
        if network.at_least("1.1.0"):
            for plugin in network.plugins:
                self._call("STATUS", plugin, _config(network, plugin))

    def _cached_result(self, network: NetworkList, attachment: Attachment) -> dict[str, Any] | None:
        """In the list's version, which may have changed since."""
        entry = self._cache.read(network.name, attachment)
        if entry is None or not entry.result:
            return None
        if entry.result.get("cniVersion") == network.version:
            return entry.result
        return result.to_object(parse_result(entry.result), network.version)

    def _call(
        self, command: str, plugin: ListPlugin, config: dict[str, Any], attachment: Attachment | None = None
    ) -> bytes:
        about = attachment or Attachment("", "", "")
        environment = {
            **self._environment,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": about.container_id,
            "CNI_NETNS": about.netns,
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in about.args),
            "CNI_IFNAME": about.ifname,
            "CNI_PATH": ":".join(self._path),
        }
        stdin = jsontext.dumps(config, sort_keys=True).encode("utf-8", "replace")
        return self._invoker.call(plugin.type, self._path, environment, stdin)


def _config(
    network: NetworkList,
    plugin: ListPlugin,
    previous: dict[str, Any] | None = None,
    attachment: Attachment | None = None,
) -> dict[str, Any]:
    """What one plugin gets on its standard input."""
    config = {**plugin.body, "name": network.name, "cniVersion": network.version}
    if previous is not None:
        config["prevResult"] = previous
    if attachment is not None:
        wanted = {
            key: attachment.capability_args[key] for key in plugin.capabilities if key in attachment.capability_args
        }
        if wanted:
            config["runtimeConfig"] = wanted
    return config


def _failed(plugin: ListPlugin, verb: str, error: CniError) -> DelegateError:
    name = f' name="{plugin.name}"' if plugin.name else ""
    return DelegateError(error.code, f'plugin type="{plugin.type}"{name} failed ({verb}): {error}')


def _raise(errors: list[CniError]) -> None:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DelegateError(errors[0].code, "\n".join(str(each) for each in errors))
