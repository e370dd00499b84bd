"""Which containers a new daemon starts before which: those that others need come first.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from netd.runtime.model import Container

_JOINS = "container:"
_DEFAULT_NETWORK = ("", "default", "bridge")


def waves(containers: Iterable[Container]) -> list[list[Container]]:
    """Each wave may start at once when all before it have.  A container needs the one whose network it joins, and
    those that `--link` on the default network leads to; who is not among `containers` is not waited for, and who needs
    himself in the end comes last."""
    left = {container.id: container for container in containers}
    names = {container.name: container.id for container in left.values()}
    found = []
    while left:
        ready = [each for each in left.values() if not left.keys() & _needs(each, names)] or list(left.values())
        found.append(ready)
        for each in ready:
            del left[each.id]
    return found


def _needs(container: Container, names: dict[str, str]) -> set[str]:
    host_config = container.host_config
    if host_config.network_mode.startswith(_JOINS):
        donor = host_config.network_mode.removeprefix(_JOINS)
        return {names.get(donor, donor)}
    if host_config.network_mode not in _DEFAULT_NETWORK:
        return set()
    named = (text.partition(":")[0].removeprefix("/") for text in host_config.links or ())
    return {*container.linked.values(), *(names.get(name, name) for name in named)}
