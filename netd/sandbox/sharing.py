"""Host mode: no namespace, no endpoint, the host's files with what was asked for on top (contract docker 1.7)."""

from __future__ import annotations

from netd.runtime.model import Container
from netd.runtime.opened import Opened
from netd.sandbox import files, resolv, surroundings
from netd.sandbox.parts import Parts, host_hosts


def open_shared(parts: Parts, container: Container) -> Opened:
    """Writes the container's copies; Failure."""
    wanted = container.host_config
    extra = surroundings.extra_lines(parts, container)
    hosts = files.hosts(extra, ()) if extra else host_hosts()
    wishes = resolv.wishes(wanted.dns, wanted.dns_search, wanted.dns_options)
    etc = parts.etc(container.id)
    etc.write(hosts, resolv.shared(parts.host_file(for_inside=False), wishes), container.config.hostname)
    return Opened("", etc.hosts, etc.resolv_conf, etc.hostname, container.config.hostname)
