"""All attachments, and what the plugin may ask of them (contract 2.4; pycni_plugins.dhcp.calls has the names)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netd.dhcp.attachment import Attachment, Origin, key_of
from netd.dhcp.clock import Clock
from netd.dhcp.homes import Homes
from netd.dhcp.store import Store, Stored
from netd.dhcp.timing import Timing
from netd.loop import Loop
from pycni.spec.errors import CniError
from pycni.spec.request import Config, check_network_name, parse_config
from pycni.spec.result import Result
from pycni_plugins.dhcp import calls, config
from pycni_plugins.dhcp.config import Keys

Reply = Callable[[Result | CniError], None]
Cancel = Callable[[], None]


def _nothing() -> None:
    """There is nothing to cancel."""


class Service:
    """`answer` is its only way in; `is_idle` says whether it could as well not be there."""

    def __init__(
        self,
        loop: Loop,
        store: Store,
        log: Callable[[str], None],
        timing: Timing,
        broadcast: bool = False,
        prefix: str = "",
    ) -> None:
        """`prefix` stands before the paths of namespaces.  Goes on with the leases in the store."""
        self._loop = loop
        self._clock = Clock(loop)
        self._store = store
        self._log = log
        self._timing = timing
        self._broadcast = broadcast
        self._prefix = prefix
        self._homes = Homes(loop)
        self._attachments: dict[str, Attachment] = {}
        self._parting: dict[str, Attachment] = {}
        """Those whose server has not heard yet that they are over."""
        for each in list(store.read()):
            self._resume(each)

    @property
    def is_idle(self) -> bool:
        return not self._attachments

    def close(self) -> None:
        """Leaves the leases in the store."""
        self._homes.close()
        for each in (*self._attachments.values(), *self._parting.values()):
            each.close()
        self._attachments.clear()
        self._parting.clear()
        self._clock.close()

    def answer(self, method: str, arguments: dict[str, Any], reply: Reply) -> Cancel:
        """Calls `reply` once, now or later; what it returns is for who will not wait for that any longer."""
        methods = {
            calls.ALLOCATE: self._allocate,
            calls.RELEASE: self._release,
            calls.CHECK: self._check,
            calls.COLLECT: self._collect,
            calls.STATUS: self._status,
        }
        try:
            if method not in methods:
                raise CniError(f"{calls.UNKNOWN_METHOD}{method}")
            return methods[method](arguments, reply)
        except CniError as error:
            reply(error)
        except Exception as error:  # a defect is one caller's trouble, not everybody's
            from traceback import format_exception

            self._log("".join(format_exception(error)))
            reply(CniError(f"dhcp failed unexpectedly: {type(error).__name__}: {error}"))
        return _nothing

    # --- methods -----------------------------------------------------------------------------------------------------

    def _allocate(self, arguments: dict[str, Any], reply: Reply) -> Cancel:
        origin = self._origin(arguments)
        keys = _keys(origin)
        known = self._attachments.get(origin.key)
        if known is not None and known.port.sandbox == _sandbox_at(origin.netns):
            known.answer(reply)
            return lambda: known.forget(reply)
        attachment = self._made(origin, keys)
        if known is not None:
            # the container was made anew and nobody said so; its lease is the new one's, by its name
            self._drop(known)
        self._keep(attachment)
        self._log(f"{origin.key}: looking for a lease")
        try:
            attachment.begin()
        except CniError:
            self._drop(attachment)
            raise
        attachment.answer(reply)
        return lambda: attachment.forget(reply)

    def _release(self, arguments: dict[str, Any], reply: Reply) -> Cancel:
        name = _config(_text(arguments.get("StdinData", b""))).name
        check_network_name(name)
        known = self._attachments.get(key_of(arguments.get("ContainerID", ""), name, arguments.get("IfName", "")))
        if known is not None:
            self._part(known, "DEL")
        reply(Result())
        return _nothing

    def _check(self, arguments: dict[str, Any], reply: Reply) -> Cancel:
        origin = self._origin(arguments)
        _keys(origin)
        known = self._attachments.get(origin.key)
        if known is None or not known.is_bound:
            raise CniError(f"no lease for {origin.key}")
        if known.port.sandbox != _sandbox_at(origin.netns):
            raise CniError(f"the lease for {origin.key} is of another namespace")
        reply(known.result())
        return _nothing

    def _collect(self, arguments: dict[str, Any], reply: Reply) -> Cancel:
        body = _config(_text(arguments.get("StdinData", b"")))
        valid = {(each.string("containerID"), each.string("ifname")) for each in body.section.sections("valid")}
        for each in list(self._attachments.values()):
            origin = each.origin
            if origin.network == body.name and (origin.container_id, origin.ifname) not in valid:
                self._part(each, "GC")
        reply(Result())
        return _nothing

    def _status(self, _arguments: dict[str, Any], reply: Reply) -> Cancel:
        reply(Result())
        return _nothing

    # --- attachments -------------------------------------------------------------------------------------------------

    def _origin(self, arguments: dict[str, Any]) -> Origin:
        stdin = _text(arguments.get("StdinData", b""))
        return Origin(
            arguments.get("ContainerID", ""),
            _config(stdin).name,
            arguments.get("IfName", ""),
            self._prefix + arguments.get("Netns", ""),
            arguments.get("Args", ""),
            stdin,
        )

    def _made(self, origin: Origin, keys: Keys) -> Attachment:
        own = (self._timing, self._broadcast, self._save, self._over, self._log)
        return Attachment(self._loop, self._clock, origin, keys, *own)

    def _keep(self, attachment: Attachment) -> None:
        origin = attachment.origin
        before = self._parting.pop(origin.key, None)
        if before is not None:  # its lease is this one's from now on
            before.close()
        self._attachments[origin.key] = attachment
        self._homes.watch(
            attachment, origin.netns, attachment.port.identity, lambda: self._part(attachment, "its namespace is gone")
        )

    def _resume(self, stored: Stored) -> None:
        origin = stored.origin
        try:
            attachment = self._made(origin, _keys(origin))
        except CniError as error:
            self._log(f"{origin.key}: forgotten: {error}")
            self._store.remove(origin)
            return
        if (attachment.port.sandbox, attachment.port.link.index) != (stored.sandbox, stored.index):
            self._log(f"{origin.key}: forgotten: the container is another one")
            attachment.close()
            self._store.remove(origin)
            return
        self._keep(attachment)
        self._log(f"{origin.key}: goes on")
        try:
            attachment.resume(stored.four, stored.six)
        except CniError as error:
            self._log(f"{origin.key}: forgotten: {error}")
            self._drop(attachment)

    def _save(self, attachment: Attachment) -> None:
        try:
            self._store.put(attachment)
        except OSError as error:
            self._log(f"{attachment.origin.key}: writing its lease: {error.strerror}; a restart would forget it")

    def _over(self, attachment: Attachment, reason: str) -> None:
        if self._parting.get(attachment.origin.key) is attachment:
            del self._parting[attachment.origin.key]
        else:
            self._part(attachment, reason)

    def _part(self, attachment: Attachment, reason: str) -> None:
        """Gives the leases back."""
        self._log(f"{attachment.origin.key}: released: {reason}")
        self._parting[attachment.origin.key] = attachment
        attachment.release()
        self._forget(attachment)

    def _drop(self, attachment: Attachment) -> None:
        """Keeps them with the server."""
        attachment.close()
        self._forget(attachment)

    def _forget(self, attachment: Attachment) -> None:
        self._homes.forget(attachment)
        if self._attachments.get(attachment.origin.key) is attachment:
            del self._attachments[attachment.origin.key]
            self._store.remove(attachment.origin)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _config(stdin: str) -> Config:
    try:
        return parse_config(stdin.encode("utf-8", "surrogateescape"))
    except CniError as error:
        raise CniError(f"error parsing netconf: {error}") from None


def _keys(origin: Origin) -> Keys:
    return config.parse(_config(origin.stdin), origin.arguments)


def _sandbox_at(path: str) -> str:
    """The name of the namespace at a path; CniError."""
    from pycni.kernel.namespace import Namespace
    from pycni.names import sandbox_of

    with Namespace.open(path) as namespace:
        return sandbox_of(namespace)
