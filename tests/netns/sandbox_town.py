"""A host of private namespaces with sandboxes on it.  A plain process in a namespace stands for a container's."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dns_city import Asking, City
from engine_process import EngineProcess

from netd.failure import Failure, NotFound
from netd.networks import manage
from netd.networks.host import LiveHost
from netd.networks.places import Places
from netd.networks.request import parse_request
from netd.ports.gateways import Endpoint as Shielded
from netd.ports.gateways import Gateways
from netd.ports.publish import Ports
from netd.runtime.bus import Events
from netd.runtime.model import Container, ContainerConfig, Endpoint, EndpointAddresses, HostConfig, PortBinding
from netd.runtime.opened import Opened
from netd.runtime.places import RuntimePlaces
from netd.sandbox import namespaces
from netd.sandbox.sandboxes import Sandboxes
from netd.sandbox.settings import Settings
from pycni.kernel.libc import CLONE_NEWNET, setns
from pycni.kernel.namespace import Namespace

DNS = ("-m", "netd.daemon", "dns")
SECONDS = 3.0


class AtHome:
    """An object all of whose methods run in a thread that lives in a namespace, as a daemon's threads do."""

    def __init__(self, pool: ThreadPoolExecutor, make: Callable[[], Any]) -> None:
        self._pool = pool
        self._inner = pool.submit(make).result()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found
        return lambda *args, **named: self._pool.submit(found, *args, **named).result()


class Ledger:
    """In place of published ports: what was asked, and where it leads."""

    def __init__(self) -> None:
        self.published: dict[str, Gateways] = {}
        self.shields: dict[str, list[Shielded]] = {}
        self.moves: list[str] = []
        self.fails = ""

    def publish(self, container: Container, gateways: Gateways) -> dict[str, list[PortBinding]]:
        if self.fails:
            raise Failure(self.fails)
        assert container.id not in self.published
        return self.move(container, gateways)

    def move(self, container: Container, gateways: Gateways) -> dict[str, list[PortBinding]]:
        self.published[container.id] = gateways
        self.moves.append(container.name)
        wanted = container.host_config.port_bindings or {}
        return {port: list(bindings or ()) for port, bindings in wanted.items() if gateways.ipv4 or gateways.ipv6}

    def unpublish(self, container: Container) -> None:
        self.published.pop(container.id, None)
        self.shields.pop(container.id, None)

    def restore(self, container: Container, gateways: Gateways) -> list[str]:
        self.published[container.id] = gateways
        return []

    def shield(self, container: Container, endpoints: Iterable[Shielded]) -> None:
        self.shields[container.id] = list(endpoints)


class Box(Asking):
    """A container of the town, and the process that stands for it."""

    def __init__(self, town: Town, container: Container) -> None:
        self.town, self.container = town, container
        self.opened: Opened | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def netns(self) -> str:
        assert self.opened is not None
        return self.opened.netns

    @property
    def space(self) -> Any:
        return self

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        with Namespace.open(self.netns) as namespace, namespace.entered():
            yield

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            ["/usr/bin/nsenter", f"--net={self.netns}", "--", *command], capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stderr}{done.stdout}"
        return done.stdout if done.returncode == 0 else ""

    def serve(self, port: int = 80, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        """A listening TCP socket inside, on every address."""
        with self.inside():
            made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("", port))
        made.listen(8)
        made.settimeout(SECONDS)
        self.town.sockets.append(made)
        return made

    def reaches(self, address: str, port: int = 80, seconds: float = SECONDS) -> bool:
        """Whether a connection from inside is accepted there."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.inside():
            made = socket.socket(family, socket.SOCK_STREAM)
        with made:
            made.settimeout(seconds)
            return made.connect_ex((address, port)) == 0

    def address(self, network: str) -> str:
        return self.container.networks[network].ip_address

    def text(self, name: str) -> str:
        """hosts, resolv.conf or hostname as the container sees it."""
        assert self.opened is not None
        paths = {
            "hosts": self.opened.hosts,
            "resolv.conf": self.opened.resolv_conf,
            "hostname": self.opened.hostname_file,
        }
        return Path(paths[name]).read_text()

    def interfaces(self) -> dict[str, list[str]]:
        """Interfaces but the loopback, with their global addresses."""
        found: dict[str, list[str]] = {}
        for line in self.run("ip", "-o", "link", "show").splitlines():
            name = line.split(": ")[1].partition("@")[0]
            found[name] = []
        for line in self.run("ip", "-o", "addr", "show", "scope", "global").splitlines():
            words = line.split()
            found[words[1]].append(words[3])
        found.pop("lo")
        return found

    def default_route(self, family: int = 4) -> str:
        """`GATEWAY dev IFNAME`, "" for none."""
        lines = self.run("ip", f"-{family}", "route", "show", "default").splitlines()
        assert len(lines) <= 1, lines
        words = lines[0].split() if lines else []
        return f"{words[2]} dev {words[4]}" if words else ""

    # the container's life

    def start(self) -> Box:
        self.opened = self.town.sandboxes.open(self.container)
        with self.inside() if self.opened.netns else contextlib.nullcontext():
            self.process = subprocess.Popen(["sleep", "infinity"])
        self.container.state.status = "running"
        self.container.state.pid = self.process.pid
        return self

    def kill(self) -> None:
        """The process ends, and nobody takes notice."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> Box:
        self.kill()
        self.container.state.status = "exited"
        self.container.state.pid = 0
        self.town.sandboxes.close(self.container)
        return self

    def restart(self) -> Box:
        return self.stop().start()

    def remove(self) -> None:
        self.stop()
        self.town.boxes.pop(self.container.id)


class Town:
    """The host with the name server; `gone` lists what would be left of the containers."""

    def __init__(
        self, netns: Callable[[], Any], directory: Path, *, dns: bool = True, settings: Settings | None = None
    ) -> None:
        self.host, self.directory = netns(), directory
        self.settings = settings
        self.resolv_conf = directory / "resolv.conf"
        self.resolv_conf.write_text("nameserver 192.0.2.2\nsearch example.org\n")
        self.outside = netns()
        self.sockets: list[socket.socket] = []
        self.host.run(["ip", "link", "set", "lo", "up"])
        self.host.run(["ip", "link", "add", "wan", "type", "veth", "peer", "name", "lan", "netns", self.outside.path])
        for space, device, last in ((self.host, "wan", 1), (self.outside, "lan", 2)):
            space.run(["ip", "addr", "add", f"192.0.2.{last}/24", "dev", device])
            space.run(["ip", "link", "set", device, "up"])
        self.process: EngineProcess | None = None
        run_dir = directory / "dns" / "run"
        if dns:
            self.process = self.start_dns()
            run_dir = Path(self.process.run_dir)
        self.run_dir = str(run_dir)
        self.places = Places(
            netconf_dir=f"{directory}/net.d",
            cni_path=(),
            run_dir=self.run_dir,
            cache_dir=f"{directory}/cache",
            lease_dir=f"{directory}/leases",
            resolv_confs=(str(self.resolv_conf),),
        )
        self.runtime = RuntimePlaces(root=f"{directory}/root", run=f"{directory}/runtime")
        self.threads = ThreadPoolExecutor(initializer=lambda: setns(self.host.fd, CLONE_NEWNET))
        self.boxes: dict[str, Box] = {}
        self.ports = Ledger()
        self.real_ports: Any = None
        self.events = Events()
        self.log: list[str] = []
        self.sandboxes = self.make_sandboxes()
        self.sandboxes.prepare_default_bridge()

    def serve_outside(self, port: int = 80) -> socket.socket:
        """A listening TCP socket at 192.0.2.2, that turns nobody away while the test is slow to accept."""
        with self.outside.inside():
            opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        opened.bind(("192.0.2.2", port))
        opened.listen(socket.SOMAXCONN)
        opened.settimeout(SECONDS)
        self.sockets.append(opened)
        return opened

    def start_dns(self) -> EngineProcess:
        enter = ("/usr/bin/nsenter", f"--net={self.host.path}", "--")
        return EngineProcess(self.directory / "dns", DNS, enter, ("--resolv-conf", str(self.resolv_conf)))

    def make_sandboxes(self, ports: Any = None) -> Any:
        """What a new daemon would make: Sandboxes, called in threads of the host."""

        def make() -> Sandboxes:
            return Sandboxes(
                self.places,
                self.runtime,
                ports or self.ports,
                self.lookup,
                lambda: [box.container for box in self.boxes.values()],
                self.events,
                self.settings,
                self.log.append,
                {"PATH": os.environ["PATH"]},
            )

        return AtHome(self.threads, make)

    def publish_for_real(self) -> None:
        """Ports are held, and led to containers, by the product from now on."""
        self.real_ports = AtHome(self.threads, lambda: Ports(self.runtime, self.log.append))
        self.sandboxes.shut_down()
        self.sandboxes = self.make_sandboxes(self.real_ports)

    def lookup(self, wanted: str) -> Container:
        for box in self.boxes.values():
            if wanted in (box.container.id, box.container.name) or box.container.id.startswith(wanted):
                return box.container
        raise NotFound(f"No such container: {wanted}")

    def network(self, name: str, *, subnet: str, **more: Any) -> str:
        """A user-defined network."""
        subnets = [subnet, *more.pop("subnets", ())]
        with self.host.inside():
            request = parse_request(name, subnets=subnets, firewall="nftables", **more)
            manage.create(request, self.places, LiveHost(self.places), "2026-01-01T00:00:00Z")
        return name

    def remove_network(self, name: str) -> None:
        with self.host.inside():
            manage.remove(name, self.places, LiveHost(self.places), force=True)

    def create(
        self,
        name: str,
        mode: str = "",
        *,
        networks: Mapping[str, Endpoint] | None = None,
        config: Mapping[str, Any] | None = None,
        **host_config: Any,
    ) -> Box:
        """A container that was checked; Failure as of `Sandboxes.check`, and then nobody knows it."""
        container = Container(
            id=os.urandom(32).hex(),
            name=name,
            created="2026-01-01T00:00:00Z",
            config=ContainerConfig(**(config or {})),
            host_config=HostConfig(network_mode=mode, **host_config),
            networks=dict(networks or {}),
        )
        self.sandboxes.check(container)
        box = self.boxes[container.id] = Box(self, container)
        return box

    def started(self, name: str, mode: str = "", **more: Any) -> Box:
        return self.create(name, mode, **more).start()

    def control(self, line: str) -> dict[str, Any]:
        return City.control(self, line)  # type: ignore[arg-type]

    def left(self) -> dict[str, list[str]]:
        """What running containers leave on the host; all empty when none runs and nothing leaked."""

        def files(folder: str) -> list[str]:
            with contextlib.suppress(FileNotFoundError):
                return sorted(name for name in os.listdir(folder) if name not in ("lock", ".lock"))
            return []

        leases = [
            f"{network}/{name}"
            for network in files(self.places.lease_dir)
            for name in files(f"{self.places.lease_dir}/{network}")
            if not name.startswith("last_reserved_ip")
        ]
        links = [
            line.split(": ")[1].partition("@")[0]
            for line in self.host.run(["ip", "-o", "link", "show", "type", "veth"]).stdout.splitlines()
        ]
        namespaces_left = files(self.runtime.namespaces)
        return {
            "leases": leases,
            "links": [name for name in links if name.startswith("veth")],
            "results": files(f"{self.places.cache_dir}/results"),
            "names": files(f"{self.run_dir}/dns"),
            "namespaces": namespaces_left,
            "ports": sorted(self.ports.published),
        }

    def settle(self) -> None:
        """What was put off is done."""
        self.sandboxes.shut_down()
        self.sandboxes = self.make_sandboxes()

    def close(self) -> None:
        for each in self.sockets:
            each.close()
        for box in self.boxes.values():
            box.kill()
        self.sandboxes.shut_down()
        if self.real_ports is not None:
            self.real_ports.close()
        self.threads.shutdown()
        if self.process is not None:
            self.process.kill()
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.runtime.namespaces):
                namespaces.remove(f"{self.runtime.namespaces}/{name}")


NOTHING: dict[str, list[str]] = {"leases": [], "links": [], "results": [], "names": [], "namespaces": [], "ports": []}


def static(ipv4: str = "", ipv6: str = "", **more: Any) -> Endpoint:
    """An endpoint with wishes."""
    link_local = more.pop("link_local_ips", None)
    return Endpoint(ipam_config=EndpointAddresses(ipv4, ipv6, link_local), **more)


def accepted(server: socket.socket) -> str:
    """The address of the next client."""
    connection, peer = server.accept()
    connection.close()
    return str(peer[0])
