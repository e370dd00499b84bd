"""A host of private namespaces and directories for tests that break things: launchers, engines that die when told to,
chains of all our plugins, and everything that can be left behind compared as text."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from launchers import ENTRY, PLAIN, install
from netns.conftest import PrivateNetns

from netd.engine import client
from pycni_plugins import NAMES

SECONDS = 30
DYING = Path(__file__).with_name("dying.py")
NETWORK = "net"
BACKENDS = ("nftables", "iptables")

Config = dict[str, Any]


class Outcome:
    """How one plugin call ended."""

    def __init__(self, plugin: str, command: str, status: int, stdout: str, stderr: str) -> None:
        self.plugin, self.command = plugin, command
        self.status, self.stdout, self.stderr = status, stdout, stderr

    @property
    def killed(self) -> bool:
        return self.status < 0

    @property
    def error(self) -> dict[str, Any]:
        """The CNI error object; AssertionError when the call did not fail in just this form."""
        assert self.status == 1, self
        body: dict[str, Any] = json.loads(self.stdout)
        assert set(body) <= {"code", "msg", "details"}, self
        assert isinstance(body["code"], int), self
        assert body["code"] > 0, self
        assert body["msg"], self
        assert "Traceback" not in self.stderr, self
        return body

    @property
    def result(self) -> dict[str, Any] | None:
        """What a successful call printed; AssertionError for any other."""
        assert self.status == 0, self
        return json.loads(self.stdout) if self.stdout else None

    def __str__(self) -> str:
        return f"{self.plugin} {self.command}: status {self.status}\n{self.stdout}\n{self.stderr}"


class Dying:
    """The process of `dying.py`, in a namespace."""

    def __init__(self, home: PrivateNetns) -> None:
        self._process = home.start([PLAIN, "-I", str(DYING)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process that forks engines has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._process.stdout.close()


class Engine:
    """One engine; step 0 never dies by itself.  Killed when the block ends."""

    def __init__(self, host: CrashHost, socket: str, **when: Any) -> None:
        self.socket = socket
        self._dying = host.dying
        self._ended = False
        wish = {"command": "", "container": "", "step": 0, "when": "", "restore": True, **when}
        self.pid = host.dying.ask("engine", run_dir=str(host.run_dir), socket=socket, **wish)["pid"]
        client.status(socket)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL, also when it has ended already."""
        if not self._ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 9)
            self._dying.ask("wait", pid=self.pid)
            self._ended = True

    def sync(self) -> None:
        client.sync(self.socket)


class CrashHost:
    """`host` is the host's namespace; `outside` (192.0.2.2, fd99::2) reaches it over a wire at 192.0.2.1 and fd99::1.

    Three ways to call: `via` = "engine" (the launcher, with its own in-process path as the fallback), "process" (a
    process of its own without any engine), "dying" (the same, forked by dying.py and killed at the armed step)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stack = contextlib.ExitStack()
        self._spaces = 0
        directory.mkdir(parents=True, exist_ok=True)
        self.run_dir, self.leases, self.tuning = (directory / name for name in ("run", "leases", "tuning"))
        self.socket = f"{self.run_dir}/cni.sock"
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self.host, self.outside = self.space(), self.space()
            self._wire()
            self.dying = Dying(self.host)
            self._stack.callback(self.dying.close)
            undo.pop_all()
        common = {"entry": str(ENTRY), "run-dir": str(self.run_dir)}
        self.launchers = {
            "engine": install("c", directory / "bin", {**common, "socket": self.socket}, NAMES),
            "process": install("c", directory / "alone", common, NAMES),
        }
        self.launchers["dying"] = self.launchers["process"]

    def _wire(self) -> None:
        self.host.run(["ip", "link", "set", "lo", "up"])
        self.host.run(["ip", "link", "add", "wan", "type", "veth", "peer", "name", "lan", "netns", self.outside.path])
        for space, device, last in ((self.host, "wan", 1), (self.outside, "lan", 2)):
            space.run(["ip", "addr", "add", f"192.0.2.{last}/24", "dev", device])
            space.run(["ip", "addr", "add", f"fd99::{last}/64", "dev", device, "nodad"])
            space.run(["ip", "link", "set", device, "up"])
        self.outside.run(["ip", "link", "set", "lo", "up"])

    def __enter__(self) -> CrashHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def space(self) -> PrivateNetns:
        """A namespace of the test's own, such as a container's."""
        self._spaces += 1
        made = PrivateNetns(self.directory / f"netns-{self._spaces}")
        self._stack.callback(made.close)
        return made

    def engine(self, socket: str = "", **when: Any) -> Engine:
        return Engine(self, socket or self.socket, **when)

    @staticmethod
    def sync(socket: str) -> None:
        """Returns when that engine has done all it had deferred."""
        client.sync(socket)

    # --- calls -----------------------------------------------------------------------------------------------------

    def environment(self, command: str, container: str, netns: str, via: str) -> dict[str, str]:
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": netns,
            "CNI_IFNAME": "eth0" if container else "",
            "CNI_PATH": str(self.launchers[via]),
            "PATH": os.environ["PATH"],
        }

    def start(
        self, plugin: str, environment: Mapping[str, str], via: str, prefix: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """The launcher, started on the host; its input is still to be given."""
        with self.host.inside():
            return subprocess.Popen(
                [*prefix, str(self.launchers[via] / plugin)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                text=True,
            )

    def call(
        self, config: Config, command: str, container: str, netns: str, via: str, prefix: Sequence[str] = ()
    ) -> Outcome:
        plugin = config["type"]
        environment = self.environment(command, container, netns, via)
        stdin = json.dumps({"cniVersion": "1.1.0", "name": NETWORK, **config})
        if via == "dying":
            told = self.dying.ask(
                "call", run_dir=str(self.run_dir), plugin=plugin, environment=environment, stdin=stdin
            )
            return Outcome(plugin, command, told["status"], told["stdout"], told["stderr"])
        process = self.start(plugin, environment, via, prefix)
        with process:
            stdout, stderr = process.communicate(stdin, timeout=2 * SECONDS)
        return Outcome(plugin, command, process.returncode, stdout, stderr)

    # --- what is there ---------------------------------------------------------------------------------------------

    def ruleset(self) -> str:
        """Everything nf_tables has, iptables' rules included, without counters."""
        return re.sub(r"packets \d+ bytes \d+", "", self.host.run(["nft", "list", "ruleset"]).stdout)

    def snapshot(self) -> dict[str, Any]:
        """Devices with their addresses, rules, and files; comparable."""
        script = "ip -j -d addr && echo && nft list ruleset"
        links, _, rules = self.host.run(["sh", "-ec", script]).stdout.partition("\n")
        devices = {
            each["ifname"]: (
                sorted(set(each["flags"]) & {"UP", "PROMISC", "ALLMULTI"}),
                each["mtu"],
                each.get("address"),
                each.get("ifalias"),
                sorted(f"{one['local']}/{one['prefixlen']}" for one in each["addr_info"] if one["scope"] != "link"),
            )
            for each in json.loads(links)
        }
        return {"devices": devices, "rules": re.sub(r"packets \d+ bytes \d+", "", rules), "files": self.files()}

    def files(self) -> dict[str, str]:
        """What attachments leave in files, links and empty directories; not what stays by contract (3.6), nor locks,
        listings and sockets."""
        found = {}
        for top in (self.run_dir, self.leases, self.tuning):
            for directory, directories, names in os.walk(top):
                for name in names:
                    path = f"{directory}/{name}"
                    if name.startswith(
                        ("last_reserved_ip.", "lock", "firewall-", "iptables-", "cni.sock", "other.sock")
                    ):
                        continue
                    found[path] = os.readlink(path) if os.path.islink(path) else Path(path).read_text()
                if not directories and not names:
                    found[directory] = "an empty directory"
        standing = {str(each) for each in (self.run_dir / "tuning", self.run_dir / "ledger", self.tuning, self.leases)}
        kept = ("*", "*/.addresses", "*/.bridges")
        ledgers = {str(each) for name in kept for each in (self.run_dir / "ledger").glob(name)}
        return {path: text for path, text in found.items() if path not in standing | ledgers}

    @staticmethod
    def devices_in(space: PrivateNetns) -> list[str]:
        """Names of the devices, lo left out."""
        with space.inside():
            return sorted(name for _, name in socket.if_nameindex() if name != "lo")


class Container:
    """One container on the host, on a network list of all our plugins."""

    def __init__(
        self, host: CrashHost, name: str, plugins: Sequence[Config], netns: PrivateNetns | None = None
    ) -> None:
        self.host, self.name, self.plugins = host, name, plugins
        self.netns = netns or host.space()
        self.result: dict[str, Any] | None = None

    def add(self, via: str = "engine") -> list[Outcome]:
        """As a runtime does it: plugin by plugin, until one fails."""
        outcomes: list[Outcome] = []
        self.result = None
        previous: dict[str, Any] | None = None
        for config in self.plugins:
            given = config if previous is None else {**config, "prevResult": previous}
            outcomes.append(self.host.call(given, "ADD", self.name, self.netns.path, via))
            if outcomes[-1].status:
                return outcomes
            previous = outcomes[-1].result
        self.result = previous
        return outcomes

    def added(self, via: str = "engine") -> Container:
        for each in self.add(via):
            assert each.result
        return self

    def delete(self, via: str = "engine", with_result: bool = True) -> list[Outcome]:
        """Every plugin, last first, also after one that was killed; with the result that the runtime kept, if any."""
        outcomes = []
        for config in reversed(self.plugins):
            given = {**config, "prevResult": self.result} if self.result and with_result else config
            outcomes.append(self.host.call(given, "DEL", self.name, self.netns.path, via))
        return outcomes

    def deleted(self, via: str = "engine", with_result: bool = True) -> None:
        for each in self.delete(via, with_result):
            assert each.result is None
        self.result = None

    def check(self, via: str = "engine") -> list[str]:
        """The errors' texts; none when all is as it was."""
        errors = []
        for config in self.plugins:
            outcome = self.host.call({**config, "prevResult": self.result}, "CHECK", self.name, self.netns.path, via)
            if outcome.status:
                errors.append(f"{config['type']}: {outcome.error['msg']}")
        return errors

    def collect(self, valid: Iterable[str], via: str = "engine") -> None:
        """GC of the network; the valid containers by name."""
        listed = [{"containerID": name, "ifname": "eth0"} for name in valid]
        for config in self.plugins:
            given = {**config, "cni.dev/valid-attachments": listed}
            assert self.host.call(given, "GC", "", "", via).result is None


def chain(host: CrashHost, backend: str, policy: str = "same-bridge", first_port: int = 8080) -> list[Config]:
    """bridge, portmap, firewall and tuning, IPv4 and IPv6.  Ports, one after the other from `first_port`: TCP to 80,
    UDP to 53, and TCP to 81 on the host's address 192.0.2.1 only."""
    ranges = [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00:1::/64"}]]
    ports = [
        {"hostPort": first_port, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": first_port + 1, "containerPort": 53, "protocol": "udp"},
        {"hostPort": first_port + 2, "containerPort": 81, "protocol": "tcp", "hostIP": "192.0.2.1"},
    ]
    return [
        {
            "type": "bridge",
            "bridge": "br0",
            "isDefaultGateway": True,
            "ipMasq": True,
            "ipMasqBackend": backend,
            "ipam": {"type": "host-local", "ranges": ranges, "dataDir": str(host.leases)},
        },
        {"type": "portmap", "backend": backend, "runtimeConfig": {"portMappings": ports}},
        {"type": "firewall", "backend": backend, "ingressPolicy": policy},
        {
            "type": "tuning",
            "dataDir": str(host.tuning),
            "sysctl": {"net.core.somaxconn": "500"},
            "mac": f"0a:00:00:00:{first_port >> 8:02x}:{first_port & 0xFF:02x}",
        },
    ]


class Flow:
    """A TCP connection from outside to a container's published port that must survive, and new ones that must work."""

    def __init__(self, container: Container, port: int, inside: int = 80) -> None:
        self.host = container.host
        self.port = port
        self._stack = contextlib.ExitStack()
        with container.netns.inside():
            self._server = self._stack.enter_context(socket.create_server(("", inside)))
        self._server.settimeout(SECONDS)
        self._client, self._accepted = self._connect()
        self._stack.enter_context(self._client)
        self._stack.enter_context(self._accepted)

    def _connect(self) -> tuple[socket.socket, socket.socket]:
        with self.host.outside.inside():
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(SECONDS)
        made.connect(("192.0.2.1", self.port))
        return made, self._server.accept()[0]

    def assert_alive(self) -> None:
        """A byte each way over the old connection, and over a new one."""
        client, accepted = self._connect()
        with client, accepted:
            for one, other in ((self._client, self._accepted), (client, accepted)):
                one.sendall(b"a")
                assert other.recv(1) == b"a"
                other.sendall(b"b")
                assert one.recv(1) == b"b"

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Flow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def seeded(name: str) -> Iterator[int]:
    """The seed of a test's random choices: FAULT_SEED, or a new one; printed with the test's name for replay."""
    seed = int(os.environ.get("FAULT_SEED", "") or int.from_bytes(os.urandom(4), "big"))
    sys.stdout.write(json.dumps({"test": name, "seed": seed}) + "\n")
    yield seed
