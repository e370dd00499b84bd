"""One side of the comparison: a process with a root file system of its own above the machine's (/run, /var/lib and /etc
are private), in a fresh network namespace for every case, that executes plugins and tells what is there.

    python3 twin_side.py FD ours|reference DIRECTORY

serves requests from the socket FD: pickled `(method, arguments)`, answered by `(True, value)` or `(False, traceback)`.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "differential")]

from dhcp_service import DhcpService  # noqa: E402
from engine_process import REAL, EngineProcess  # noqa: E402
from firewall_state import FirewallReader  # noqa: E402
from kernel_state import MAC, Reader  # noqa: E402
from launchers import ENTRY, PLAIN, install  # noqa: E402
from rtnetlink_dump import Dumper  # noqa: E402

from pycni_plugins import NAMES  # noqa: E402

PLUGINS = "/run/plugins"
_ENGINE = Path("/run/engine")
_KEPT = {"engine", "plugins", "plugins-engine", "plugins-lone", "plugins-twin"}
_SYSFS = ("/sys/bus", "/sys/devices/virtual")
_NEWNS, _NEWNET = 0x20000, 0x40000000
_PRIVATE, _RECURSIVE, _BIND, _DETACH = 1 << 18, 0x4000, 0x1000, 2
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if each is None else each.encode() for each in (source, target, kind)]
    _checked(_libc.mount(*encoded, flags, None if data is None else data.encode()), f"mount {source} on {target}")


def _private_root() -> None:
    _checked(_libc.unshare(_NEWNS | _NEWNET), "unshare")
    _mount("none", "/", None, _RECURSIVE | _PRIVATE)
    for directory in ("/run", "/var/lib"):
        _mount("tmpfs", directory, "tmpfs", 0, "mode=755")
    # buses and devices are what a case makes there
    for directory in _SYSFS:
        _mount("tmpfs", directory, "tmpfs", 0, "mode=755")
    for name in ("upper", "work"):
        Path(f"/run/engine/etc/{name}").mkdir(parents=True)
    _mount("overlay", "/etc", "overlay", 0, "lowerdir=/etc,upperdir=/run/engine/etc/upper,workdir=/run/engine/etc/work")


class Side:
    """`kind` is ours or reference; `directory` holds the reference's binaries."""

    def __init__(self, kind: str, directory: str) -> None:
        self.kind = kind
        self.engine: EngineProcess | None = None
        self.dhcp: DhcpService | None = None
        self.namespaces: dict[str, int] = {}
        self.dumpers: dict[str, Dumper] = {}
        _private_root()
        if kind == "ours":
            # what a case removes is to stay away until the plugins have been asked
            self.engine = EngineProcess(_ENGINE, REAL, options=("--no-restore",))
            lone = {"entry": str(ENTRY), "run-dir": str(self.engine.run_dir)}
            # some calls only the in-process path can serve
            names, settings = tuple(NAMES), {**self.engine.settings, **lone}
            install("c", Path("/run/plugins-engine"), settings, names)
            install("twin", Path("/run/plugins-twin"), settings, names)
            install("c", Path("/run/plugins-lone"), lone, names)
        else:
            Path(PLUGINS).mkdir()
            _mount(directory, PLUGINS, None, _BIND)

    def stop(self) -> None:
        self._stop_dhcp()
        if self.engine is not None:
            self.engine.stop()

    # --- a case --------------------------------------------------------------------------------------------------

    def begin(self, case: dict[str, Any]) -> None:
        """Fresh namespaces and directories for a case."""
        self._end()
        self.case = case
        self.results: dict[tuple[str, str], Any] = {}
        if self.kind == "ours":
            with suppress(FileNotFoundError):
                os.unlink(PLUGINS)
            os.symlink(f"/run/plugins-{case['way']}", PLUGINS)
        _checked(_libc.unshare(_NEWNET), "unshare")
        self._adopt("host", os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        for bus in ("pci", "auxiliary"):
            os.makedirs(f"/sys/bus/{bus}/devices")
        self._shell("ip link set lo up")
        self.firewall = FirewallReader(self.dumpers["host"])
        for name in case["containers"]:
            self._make_container(name)
        self.reader = Reader({each.lower() for each in MAC.findall(json.dumps(case))})
        for path, content in case["files"].items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(content)
        for line in case["setup"]:
            self._shell(line)
        if case["dhcp"] is not None:
            self.dhcp = DhcpService(self._dhcp_daemon(), case["dhcp"])

    def _dhcp_daemon(self) -> list[str]:
        if self.engine is None:
            return [f"{PLUGINS}/dhcp", "daemon"]
        return [PLAIN, "-I", "-S", str(ROOT / "netd/dhcp/program.py"), "-run-dir", str(self.engine.run_dir)]

    def _stop_dhcp(self) -> None:
        if self.dhcp is not None:
            self.dhcp.stop()
            self.dhcp = None

    def _adopt(self, name: str, fd: int) -> None:
        """The calling thread's namespace.  Without duplicate address detection everything settles a second earlier."""
        self.namespaces[name] = fd
        self.dumpers[name] = Dumper()
        if not self.case["dad"]:
            Path("/proc/sys/net/ipv6/conf/default/dad_transmits").write_text("0")

    def _make_container(self, name: str) -> None:
        path = f"/run/netns/{name}"
        os.makedirs("/run/netns", exist_ok=True)
        Path(path).touch()
        failures: list[BaseException] = []

        def make() -> None:
            try:
                _checked(_libc.unshare(_NEWNET), "unshare")
                own = f"/proc/self/task/{threading.get_native_id()}/ns/net"
                _mount(own, path, None, _BIND)
                self._adopt(name, os.open(own, os.O_RDONLY | os.O_CLOEXEC))
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    def alter(self, line: str) -> None:
        """A command for this side alone, as in a case's setup."""
        self._shell(line)

    def _shell(self, line: str) -> None:
        """`@c1 ip link …` runs in a container's namespace; what begins with `?` may fail."""
        words = line.removeprefix("?").split()
        if words[0].startswith("@"):
            words = ["nsenter", f"--net=/run/netns/{words[0][1:]}", "--", *words[1:]]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode and not line.startswith("?"):
            raise AssertionError(f"{line}: {done.stderr}")

    def _end(self) -> None:
        self._stop_dhcp()
        for name, fd in self.namespaces.items():
            os.close(fd)
            self.dumpers[name].close()
            if name != "host":
                self._forget_path(name)
        self.namespaces, self.dumpers = {}, {}
        for top in ("/run", "/var/lib", "/etc/cni", *_SYSFS):
            for entry in os.listdir(top) if os.path.isdir(top) else []:
                if top != "/run" or entry not in _KEPT:
                    _remove(f"{top}/{entry}")
        for entry in self.own_files():
            _remove(entry)

    @staticmethod
    def _forget_path(name: str) -> None:
        path = f"/run/netns/{name}"
        _libc.umount2(path.encode(), _DETACH)
        with suppress(FileNotFoundError):
            os.unlink(path)

    def own_files(self) -> list[str]:
        """What our plugins keep about attachments, besides what the reference keeps."""
        if self.engine is None:
            return []
        return [
            f"{directory}/{name}"
            for directory, _, names in os.walk(self.engine.run_dir)
            for name in names
            if not stat.S_ISSOCK(os.lstat(f"{directory}/{name}").st_mode)
        ]

    # --- calls ---------------------------------------------------------------------------------------------------

    def step(self, step: dict[str, Any]) -> list[tuple[str, int, str, str]]:
        """One operation on the list of plugins, as a runtime does it: forwards, DEL backwards, up to the first
        error; (plugin, exit status, output, macs) of each call."""
        if step.get("vanish"):
            self._forget_path(step["container"])
        for line in step.get("setup", ()):
            self._shell(line)
        plugins = list(enumerate(self.case["plugins"]))
        if step["command"] == "DEL":
            plugins.reverse()
        calls = []
        key = step.get("id", step["container"]), step["ifname"]
        current = self.results.get(key) if step["command"] in ("CHECK", "DEL") else self.case.get("prevResult")
        if step.get("forget"):
            current = None
        for _, plugin in plugins:
            status, stdout, stderr = self._call(step, plugin, current)
            calls.append((plugin.get("type", ""), status, stdout, stderr))
            if status:
                break
            if step["command"] == "ADD":
                current = _parsed(stdout)
        if step["command"] == "ADD" and calls and not calls[-1][1]:
            self.results[key] = current
        return calls

    def _call(self, step: dict[str, Any], plugin: dict[str, Any], previous: Any) -> tuple[int, str, str]:
        config = {"cniVersion": self.case["version"], "name": self.case["name"], **plugin}
        if self.case["version"] is None:
            del config["cniVersion"]
        if previous is not None:
            config["prevResult"] = previous
        if "valid" in step:
            config["cni.dev/valid-attachments"] = step["valid"]
        text = step.get("stdin") or json.dumps(config)
        environment = {
            "CNI_COMMAND": step["command"],
            "CNI_CONTAINERID": step.get("id", step["container"]),
            "CNI_NETNS": step.get("netns", f"/run/netns/{step['container']}"),
            "CNI_IFNAME": step["ifname"],
            "CNI_ARGS": self.case["args"],
            "CNI_PATH": PLUGINS,
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            **step.get("environment", {}),
        }
        process = subprocess.Popen(
            [f"{PLUGINS}/{plugin.get('type', 'bridge')}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        try:
            stdout, stderr = process.communicate(text.encode(), timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            return -9, stdout.decode(), "did not end within a minute"
        return process.returncode, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace")

    # --- what is there -------------------------------------------------------------------------------------------

    def look(self, calls: list[tuple[str, int, str, str]]) -> tuple[list[tuple[str, int, str]], dict[str, str]]:
        """The calls' outputs with what is random replaced, and the state of everything."""
        state = self.reader.read(self.dumpers)
        state |= self.firewall.read(self.reader.text)
        state |= self._sysctls()
        state |= self._files()
        state |= {} if self.dhcp is None else self.dhcp.state()
        # an interface of a result may be changed by a plugin that comes later
        last = len(calls) - 1
        outputs = [
            (plugin, status, self._output(stdout) if number == last else self.reader.text(stdout))
            for number, (plugin, status, stdout, _) in enumerate(calls)
        ]
        return outputs, state

    def _output(self, stdout: str) -> str:
        document = _parsed(stdout)
        verdicts = []
        for each in (document.get("interfaces") or []) if isinstance(document, dict) else []:
            mac, name = each.get("mac", ""), each.get("name", "")
            namespace = each.get("sandbox", "").removeprefix("/run/netns/") or "host"
            if mac:
                verdicts.append("own" if mac == self.reader.mac_of(namespace, name) else "other")
        text = self.reader.text(stdout)
        return f"{text}\nmacs: {' '.join(verdicts)}" if verdicts else text

    def _sysctls(self) -> dict[str, str]:
        wanted = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", *self.case["sysctls"]]
        state = {}
        home = self.namespaces["host"]
        for name, fd in self.namespaces.items():
            if name != "host" and not self.case["sysctls"]:
                continue
            _checked(_libc.setns(fd, _NEWNET), "setns")
            try:
                for each in wanted:
                    try:
                        with open(f"/proc/sys/{each}", encoding="utf-8", errors="replace") as file:
                            state[f"{name}/sysctl/{each}"] = file.read().strip()
                    except OSError as error:
                        state[f"{name}/sysctl/{each}"] = str(error.strerror)
            finally:
                _checked(_libc.setns(home, _NEWNET), "setns")
        return state

    def _files(self) -> dict[str, str]:
        state = {}
        for top in ("/run", "/var/lib", "/etc/cni"):
            for directory, names, files in os.walk(top):
                if directory == "/run":
                    names[:] = [each for each in names if each not in _KEPT | {"netns"}]
                    files[:] = [each for each in files if each not in ("plugins", "xtables.lock")]
                for each in files:
                    state[f"file{directory}/{each}"] = self._file(f"{directory}/{each}")
                if directory not in ("/run", "/var/lib"):
                    state[f"file{directory}/"] = f"{os.lstat(directory).st_mode:o}"
        return state

    def _file(self, path: str) -> str:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return f"{status.st_mode:o}"
        content = Path(path).read_bytes().decode("utf-8", "replace")
        return f"{status.st_mode:o} {self._output(content)!r}"

    def left(self) -> list[str]:
        """Our own files that are about attachments; listings of rules are only remembered text."""
        return [each for each in self.own_files() if os.path.getsize(each) and not each.endswith(".listing")]

    def log(self) -> str:
        """What our engine wrote since it was asked last."""
        if self.engine is None:
            return ""
        text = self.engine.log.read_text()
        os.truncate(self.engine.log, 0)
        return text


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    os.set_inheritable(connection.fileno(), False)
    side: Side | None = None
    try:
        side = Side(*sys.argv[2:])
        connection.send((True, None))
        while True:
            method, arguments = connection.recv()
            try:
                connection.send((True, getattr(side, method)(*arguments)))
            except Exception:
                connection.send((False, traceback.format_exc()))
    except (EOFError, KeyboardInterrupt):
        return
    except BaseException:
        connection.send((False, traceback.format_exc()))
    finally:
        if side is not None:
            side.stop()


if __name__ == "__main__":
    main()
