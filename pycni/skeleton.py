"""The one dispatcher every plugin goes through: environment and configuration in, exit status and output out.

It runs in three places with the same result: in the engine for a launcher's call, in-process when there is no engine,
and in a third-party plugin built on this library.  It may not know any plugin.
"""

from __future__ import annotations

from pycni.execute import Completed, execute
from pycni.firewall.facts import Owner
from pycni.kernel.netns import NamespaceMissing
from pycni.plan.transaction import Transaction
from pycni.record import Record
from pycni.settings import Settings
from pycni.spec import jsontext, result, version
from pycni.spec.errors import CniError, InvalidEnvironment, InvalidNamespace, IoFailure
from pycni.spec.request import Config, check_environment, check_name, parse_object, parse_version, request_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from pycni.firewall.firewall import Collects, Firewall
    from pycni.kernel.api import NamespaceApi
    from pycni.remembered import Memory
    from pycni.spec.request import Request
    from pycni.spec.result import Result

    Handler = Callable[["Context"], None]
    Loader = Callable[[str], "Plugin | None"]

    class Waits(Protocol):
        """Told where a call awaits an answer for long; an interrupted one finds the connection closed."""

        def begin(self, connection: socket) -> None: ...
        def end(self, connection: socket) -> None: ...


class Plugin(Record):
    """A plugin: its name, the spec versions it accepts, and its handlers.

    A missing handler means that the command succeeds and does nothing.  `add` returns the result to print, or its text;
    the others return nothing; any of them may raise CniError."""

    name: str
    versions: tuple[str, ...] = version.ALL
    add: Callable[[Context], Result | str] | None = None
    check: Handler | None = None
    delete: Handler | None = None
    gc: Handler | None = None
    status: Handler | None = None


class Answer(Record):
    """What the process would have left behind: exit status and the bytes on its two streams."""

    status: int
    stdout: bytes = b""
    stderr: bytes = b""


class Host:
    """The machine an execution works on.

    `namespace` is the caller's network namespace ("host side"), `firewall` its firewall; `open_container` turns a
    CNI_NETNS path into a namespace object (the engine uses the descriptor the launcher sent); `load` gives our plugin
    of a name for a call in place, None when it is not one of ours; `defer` takes work that may be done after the
    answer was sent, on another object of the same namespace (one thread at a time uses one); equal work is done once.
    `deferring` says whether somebody really does it later.  `memory` is None where one call is all there is, `waits`
    where nobody interrupts a call that waits long.  `collects` is asked before GC removes anything; see
    `Context.collects`."""

    __slots__ = (
        *("collects", "defer", "deferring", "firewall", "load", "memory", "namespace", "open_container", "settings"),
        "waits",
    )

    def __init__(
        self,
        namespace: NamespaceApi,
        firewall: Firewall,
        open_container: Callable[[str], NamespaceApi],
        settings: Settings,
        load: Loader | None = None,
        defer: Callable[[Callable[[NamespaceApi], None]], None] | None = None,
        memory: Memory | None = None,
        waits: Waits | None = None,
        collects: Collects | None = None,
    ) -> None:
        self.namespace = namespace
        self.memory = memory
        self.waits = waits
        self.collects = collects
        self.firewall = firewall
        self.open_container = open_container
        self.settings = settings
        self.load = load
        self.defer = defer or self._now
        self.deferring = defer is not None

    def _now(self, work: Callable[[NamespaceApi], None]) -> None:
        work(self.namespace)


class Context:
    """What a handler gets: the request, the configuration, the machine, and a transaction that is rolled back when
    the handler raises."""

    def __init__(self, plugin: Plugin, request: Request, config: Config, host: Host) -> None:
        self.plugin = plugin
        self.request = request
        self.config = config
        self.host = host
        self.warnings: list[str] = []
        self.transaction = Transaction(host.namespace, self.container, host.firewall, self.warn)
        self._container: NamespaceApi | None = None

    @property
    def owner(self) -> Owner:
        """The attachment this call is about."""
        return Owner(self.config.name, self.request.container_id, self.request.ifname)

    def container(self) -> NamespaceApi:
        """The container's namespace; NamespaceMissing or CniError with the contract's text (2.0.1)."""
        if self._container is None:
            self._container = self.host.open_container(self.request.netns)
        return self._container

    def open_container(self) -> NamespaceApi:
        """As `container`, with the words bridge puts before its text."""
        try:
            return self.container()
        except CniError as error:
            raise CniError(f'failed to open netns "{self.request.netns}": {error.msg}') from None

    def container_or_none(self) -> NamespaceApi | None:
        """The container's namespace, None when the path is empty or gone: DEL treats both as done."""
        if not self.request.netns:
            return None
        try:
            return self.container()
        except NamespaceMissing:
            return None

    def delegate(self, plugin: str, command: str) -> Result | None:
        """Another plugin serves `command` for the same request; the result of an ADD, else None (contract 1.13).

        Ours are called in place, others executed in the caller's network namespace.  DelegateError carries a failed
        plugin's own code and text; CniError when there is no such plugin in CNI_PATH.  Whoever is asked what GC removes
        sees to the addresses himself: no other plugin asks him."""
        if command == "GC" and self.host.collects is not None:
            return None
        from pycni.invoke import Invoker

        invoker = Invoker(self._pass_on, self._call_in_place, self._execute)
        return invoker.delegate(command, plugin, self.request, self.config.version)

    def allocate(self) -> Result:
        """The IPAM plugin's ADD; it is undone by its DEL when anything later fails.  CniError without an address."""
        allocated = self.delegate(self.config.ipam_type, "ADD")
        self.transaction.on_undo("addresses", lambda: self.delegate(self.config.ipam_type, "DEL"))
        if allocated is None or not allocated.ips:
            raise CniError("IPAM plugin returned missing IP config")
        return allocated

    def _pass_on(self, stderr: bytes) -> None:
        self.warn(stderr.decode("utf-8", "surrogateescape").removesuffix("\n"))

    def _call_in_place(self, name: str, environment: Mapping[str, str], stdin: bytes) -> Completed | None:
        plugin = self.host.load(name) if self.host.load is not None else None
        if plugin is None:
            return None
        answer = serve(plugin, environment, lambda: stdin, self.host)
        return Completed(f"exit status {answer.status}" if answer.status else "", answer.stdout, answer.stderr)

    def _execute(self, path: str, environment: Mapping[str, str], stdin: bytes) -> Completed:
        return execute(path, environment, stdin, self.host.namespace.entered)

    def collects(self, what: str, owner: Owner | None = None) -> bool:
        """Whether GC removes this: always, unless whoever runs it wants to be asked.  `what` names one thing, for
        people and in the next run, too; `owner` is the attachment it was of, where that can be told.  Of what has no
        name, such as a file that a killed call did not finish, `what` is ""."""
        asked = self.host.collects
        return asked is None or asked(what, owner)

    def warn(self, text: str) -> None:
        """A line for stderr; the call still succeeds."""
        self.warnings.append(text)

    def close(self) -> None:
        if self._container is not None:
            self._container.close()


def serve(plugin: Plugin, environment: Mapping[str, str], read_stdin: Callable[[], bytes], host: Host) -> Answer:
    """One execution.  Never raises CniError: errors become the error object and exit status 1 (contract 1.7)."""
    if not environment.get("CNI_COMMAND"):
        return Answer(0, b"", about(plugin, host.settings.build_version).encode())
    warnings: list[str] = []
    try:
        output = run(plugin, environment, read_stdin, host, warnings)
        return Answer(0, output.encode("utf-8", "surrogateescape"), _lines(warnings) if warnings else b"")
    except CniError as error:
        return Answer(1, error_text(error).encode("utf-8", "surrogateescape"), _lines(warnings))


def run(
    plugin: Plugin,
    environment: Mapping[str, str],
    read_stdin: Callable[[], bytes],
    host: Host,
    warnings: list[str],
) -> str:
    """One execution's standard output; raises CniError.  Lines for stderr are added to `warnings`."""
    check_environment(environment)
    if environment["CNI_COMMAND"] == "VERSION":
        supported = {"cniVersion": version.CURRENT, "supportedVersions": list(plugin.versions)}
        return jsontext.dumps(supported) + "\n"
    try:
        request = request_of(environment, read_stdin())
    except OSError as error:
        raise IoFailure(f"error reading from stdin: {(error.strerror or str(error)).lower()}") from None
    memory = host.memory
    config = None if memory is None else memory.recall_text(plugin.name, request.command, request.stdin)
    if config is None:
        config = _configuration(plugin, request, memory)
    if config is None:
        return ""
    if request.command == "GC" and not config.says_what_is_valid:
        # its caller has sent DEL for what it knew; without the list, everything else would look stale
        warnings.append("GC without a list of valid attachments: nothing removed")
        return ""
    context = Context(plugin, request, config, host)
    try:
        if request.command in ("ADD", "DEL") and not request.netns_override:
            _refuse_own_namespace(context)
        with context.transaction:
            added = getattr(plugin, _HANDLERS[request.command])(context)
            # printed inside the transaction: a result that 0.2.0 cannot express undoes the ADD (contract 1.10)
            return "" if added is None else added if type(added) is str else result.render(added, config.version)
    finally:
        context.close()
        warnings += context.warnings


def _configuration(plugin: Plugin, request: Request, memory: Memory | None) -> Config | None:
    """Steps 4 to 6 of contract 1.2; None when the plugin has nothing to do for the command."""
    raw = parse_object(request.stdin)
    previous = raw.pop("prevResult") if raw.get("prevResult") is not None else None
    known = memory.recall(plugin.name, raw) if memory is not None else None
    section = check_name(raw) if known is None else known.section
    handler = _handler(plugin, request.command)
    version.require(request.command, parse_version(section), plugin.versions)
    if handler is None:
        return None
    config = (known or Config(section)).for_call(previous, {})
    if memory is not None:
        if known is None:
            memory.keep(plugin.name, raw, config)
        else:
            memory.keep_text(plugin.name, request.command, request.stdin, raw, config)
    return config


_HANDLERS = {"ADD": "add", "CHECK": "check", "DEL": "delete", "GC": "gc", "STATUS": "status"}


def _handler(plugin: Plugin, command: str) -> Callable[[Context], Result | str | None] | None:
    if command not in _HANDLERS:
        raise InvalidEnvironment(f"unknown CNI_COMMAND: {command}")
    handler: Callable[[Context], Result | str | None] | None = getattr(plugin, _HANDLERS[command])
    return handler


def _refuse_own_namespace(context: Context) -> None:
    """Contract 1.6, done before the work: the reference does it afterwards and leaks what it made."""
    if not context.request.netns:
        return
    try:
        container = context.container()
    except CniError:
        return
    if container.identity == context.host.namespace.identity:
        raise InvalidNamespace("plugin's netns and netns from CNI_NETNS should not be the same")


def about(plugin: Plugin, build_version: str) -> str:
    """The two lines for stderr when no command is given (contract 1.8)."""
    supported = ", ".join(plugin.versions)
    return f"CNI {plugin.name} plugin {build_version}\nCNI protocol versions supported: {supported}\n"


def error_text(error: CniError) -> str:
    """The error object as printed (contract 1.7)."""
    body: dict[str, object] = {"code": error.code, "msg": error.msg}
    if error.details:
        body["details"] = error.details
    return jsontext.dumps(body, indent=4)


def _lines(warnings: list[str]) -> bytes:
    return "\n".join([*warnings, ""]).encode("utf-8", "surrogateescape") if warnings else b""
