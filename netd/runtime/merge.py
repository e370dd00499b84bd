"""A container's configuration out of the request and its image's (docker's rules)."""

from __future__ import annotations

from netd.failure import InvalidParameter
from netd.runtime.images.model import ImageConfig
from netd.runtime.model import ContainerConfig, CreateRequest


def merged(request: CreateRequest, image: ImageConfig) -> ContainerConfig:
    """What was asked, and what the image says where nothing was.  An entry point of the request drops the image's
    command, `[""]` the image's entry point besides.  InvalidParameter: nothing to execute."""
    config = ContainerConfig(**{name: getattr(request, name) for name in ContainerConfig.__struct_fields__})
    if not config.entrypoint:
        config.cmd = config.cmd or image.cmd or None
        if config.entrypoint is None:
            config.entrypoint = image.entrypoint or None
    elif config.entrypoint == [""]:
        config.entrypoint = None
    config.env = _environment(image.env or [], config.env or [])
    config.exposed_ports = {**(image.exposed_ports or {}), **(config.exposed_ports or {})} or None
    config.volumes = {**(image.volumes or {}), **(config.volumes or {})} or None
    config.labels = {**(image.labels or {}), **(config.labels or {})}
    config.user = config.user or image.user
    config.working_dir = config.working_dir or image.working_dir
    config.stop_signal = config.stop_signal or image.stop_signal
    if not argv(config):
        raise InvalidParameter("no command specified")
    return config


def argv(config: ContainerConfig) -> list[str]:
    """What is executed."""
    return [*(config.entrypoint or []), *(config.cmd or [])]


def _environment(defaults: list[str], wanted: list[str]) -> list[str]:
    """The request's variables, the last of a name, then those of the image that it does not name.  A name alone stays,
    and takes away what the process would have had by that name."""
    own = {entry.partition("=")[0]: entry for entry in wanted}
    return [*own.values(), *(entry for entry in defaults if entry.partition("=")[0] not in own)]
