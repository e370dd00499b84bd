"""One execution of one of our plugins, whatever happens in it; the engine and the in-process path both end here."""

from __future__ import annotations

from pycni.skeleton import Answer, error_text, serve
from pycni.spec.errors import CniError
from pycni_plugins import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycni.skeleton import Host


def execute(name: str, environment: Mapping[str, str], read_stdin: Callable[[], bytes], host: Host) -> Answer:
    """The answer of the plugin that `host` knows by this name.  Never raises CniError; any other exception is a defect
    and passes through."""
    try:
        plugin = host.load(name) if host.load is not None else None
        return serve(load(name) if plugin is None else plugin, environment, read_stdin, host)
    except CniError as error:
        return Answer(1, error_text(error).encode("utf-8", "surrogateescape"))
