"""Callers that see other files, users or processes than the engine: served by its helper as they serve themselves."""

from __future__ import annotations

import _socket
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import PrivateNetns
from engine_process import REAL, EngineProcess
from launchers import ENTRY, call, install, telltale

from netd.engine import client, protocol
from netd.engine.connection import receive
from netd.engine.helper import Helper, command
from netd.engine.likeness import hierarchies

Made = Callable[[], PrivateNetns]
SECONDS = 20

OTHER_FILES = """
mount -t tmpfs none /var/lib
mount -t tmpfs none /etc
mount -t tmpfs none /mnt
echo 'nameserver 192.0.2.53' > /etc/resolv.conf
cd /mnt
exec "$@"
"""
MOUNT = ("/usr/bin/unshare", "--mount", "--", "/bin/sh", "-ec", OTHER_FILES, "-")
PID = ("/usr/bin/unshare", "--mount", "--pid", "--fork", "--mount-proc", "--", "/bin/sh", "-ec", OTHER_FILES, "-")
USER = (
    *("/usr/bin/unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--"),
    *("/bin/sh", "-ec", OTHER_FILES, "-"),
)
PLACES = {"mount": MOUNT, "pid": PID, "user": USER}

IPAM = {"type": "host-local", "subnet": "10.99.0.0/24", "resolvConf": "/etc/resolv.conf"}
HOST_LOCAL = {"cniVersion": "1.0.0", "name": "net", "type": "host-local", "ipam": IPAM}
BRIDGE = {"cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "abroad0", "isGateway": True, "ipam": IPAM}


@pytest.fixture
def engine(tmp_path: Path, netns: Made) -> Iterator[EngineProcess]:
    prefix = ("/usr/bin/nsenter", f"--net={netns().path}", "--")
    made = EngineProcess(tmp_path / "engine", REAL, prefix)
    yield made
    made.kill()


@pytest.fixture
def abroad(engine: EngineProcess, tmp_path: Path) -> Path:
    """Plugins that must be served by the engine: in-process they end with status 7."""
    settings = {**engine.settings, "entry": telltale(tmp_path / "telltale")}
    return install("c", tmp_path / "abroad", settings, ("bridge", "host-local"))


@pytest.fixture
def alone(engine: EngineProcess, tmp_path: Path) -> Path:
    """The same plugins without an engine, and so in-process."""
    settings = {**engine.settings, "socket": str(tmp_path / "nobody"), "entry": str(ENTRY)}
    return install("c", tmp_path / "alone", settings, ("bridge", "host-local"))


def environment(verb: str, path: str, namespace: str) -> dict[str, str]:
    return {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": namespace,
        "CNI_PATH": path,
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }


def served(engine: EngineProcess) -> int:
    calls = client.status(engine.socket)["calls"]
    return sum(each["count"] for each in calls if each["outcome"] == "abroad")


def await_file(path: Path) -> str:
    deadline = time.monotonic() + SECONDS
    while not path.exists() or not path.read_text().endswith("\n"):
        assert time.monotonic() < deadline, f"{path} was not written"
    return path.read_text()


# --- the same result -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["mount", "pid"])
def test_leases_and_resolvers_are_the_caller_s(
    engine: EngineProcess, abroad: Path, alone: Path, netns: Made, place: str
) -> None:
    config = json.dumps(HOST_LOCAL).encode()
    seen = []
    for plugins in (alone, abroad):
        variables = environment("ADD", str(plugins), netns().path)
        script = f'"{plugins}/host-local" < "$0" && cd /var/lib/cni/networks/net && grep . [0-9]*'
        done = subprocess.run(
            [*PLACES[place], "/bin/sh", "-c", script.replace('< "$0"', "")],
            input=config, capture_output=True, env=variables, timeout=60, check=False,
        )  # fmt: skip
        seen.append((done.returncode, done.stdout, done.stderr))
    assert seen[0] == seen[1]
    assert b"192.0.2.53" in seen[1][1]
    assert b"c1" in seen[1][1], "the lease is a file of the caller's"
    assert served(engine) == 1
    assert not os.path.exists("/var/lib/cni/networks/net/10.99.0.2")


ATTACH = """
mount -t tmpfs none /mnt
unshare --net sleep 1000 &
for turn in $(seq 1000); do [ /proc/$!/ns/net -ef /proc/self/ns/net ] || break; sleep 0.01; done
export CNI_NETNS=/proc/$!/ns/net CNI_PATH=$1
cat > /mnt/config
run() { CNI_COMMAND=$1 "$CNI_PATH/bridge" < /mnt/config; printf '\n%s-status-%s\n' "$1" $?; }
look() { ip -br link; ip -4 -o addr; nsenter --net=$CNI_NETNS ip -4 -o addr; nsenter --net=$CNI_NETNS ip route; }
run ADD; look; run DEL; look
ls /var/lib/cni/networks/net
kill $!
"""


def shape(text: str) -> list[str]:
    """What was printed, without the names and hardware addresses that are drawn by lot, and without carriers, of which
    the kernel tells up to a second later."""
    import re

    text = re.sub(r"NO-CARRIER,|,LOWER_UP|(?<=\s)(UP|DOWN|LOWERLAYERDOWN)(?=\s)", "", text)
    text = re.sub(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", "MAC", text)
    return re.sub(r"/proc/\d+/|veth[0-9a-f]+(@\w+)?|\s+", " ", re.sub(r"eth0@if\d+|@if\d+", "", text)).split()


def test_a_user_namespace_with_its_own_network(engine: EngineProcess, abroad: Path, alone: Path) -> None:
    seen = []
    for plugins in (alone, abroad):
        variables = environment("ADD", str(plugins), "")
        done = subprocess.run(
            [*USER, "/bin/sh", "-c", ATTACH, "-", str(plugins)],
            input=json.dumps(BRIDGE).encode(), capture_output=True, env=variables, timeout=60, check=False,
        )  # fmt: skip
        seen.append((shape(done.stdout.decode()), done.stderr))
    assert seen[0] == seen[1]
    words = seen[1][0]
    assert "ADD-status-0" in words and "DEL-status-0" in words, words
    assert "10.99.0.1/24" in words and "10.99.0.2/24" in words, "host side and container side"
    assert served(engine) == 2


# --- no more power than the caller -----------------------------------------------------------------------------------

TELLER = """#!/bin/sh
{
    grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Umask)' /proc/self/status
    ulimit -a; cat /proc/self/cgroup /proc/self/oom_score_adj
    for each in mnt user net pid uts ipc cgroup; do readlink /proc/self/ns/$each; done
    pwd -P; ls -id /; ls -l /proc/self/fd | grep -c -- '->'; env | grep -v -E '^(_|PWD|LC_CTYPE|CNI_PATH)='
} > "$WHERE"
exit 1
"""


LIMITED = (
    *("/usr/bin/choom", "-n", "55", "--", "/usr/bin/prlimit", "--nofile=777:999", "--core=0"),
    *("/bin/sh", "-c", 'umask 027; exec "$@"', "-"),
)
BOUNDED = ("/usr/bin/setpriv", "--bounding-set=-sys_time,-mknod,-sys_module")


CONTAINER = """
unshare --net sleep 1000 > /dev/null 2>&1 &
for turn in $(seq 1000); do [ /proc/$!/ns/net -ef /proc/self/ns/net ] || break; sleep 0.01; done
export CNI_NETNS=/proc/$!/ns/net
for each in "$@"; do CNI_PATH=$each "$each/bridge" < "$CONFIG"; done
kill $!
"""


def tellers(tmp_path: Path, *directories: Path) -> dict[str, str]:
    """An IPAM plugin in each that writes down what it is, below `told`; variables for who calls bridge with it."""
    (tmp_path / "told").mkdir()
    (tmp_path / "config").write_text(json.dumps({**BRIDGE, "ipam": {"type": "teller"}}))
    for each in directories:
        (each / "teller").write_text(TELLER.replace("$WHERE", f"{tmp_path}/told/{each.name}"))
        (each / "teller").chmod(0o755)
    return {**environment("ADD", "", ""), "CONFIG": str(tmp_path / "config")}


@pytest.mark.parametrize("prefix", [(), LIMITED, BOUNDED, (*BOUNDED, "--no-new-privs")], ids=str)
@pytest.mark.parametrize("place", list(PLACES))
def test_programs_it_executes_are_no_more_than_the_caller_s(
    engine: EngineProcess, abroad: Path, alone: Path, tmp_path: Path, prefix: Sequence[str], place: str
) -> None:
    variables = tellers(tmp_path, alone, abroad)
    inner = ["/bin/sh", "-c", CONTAINER, "-", str(alone), str(abroad)]
    # groups are given outside: who makes a user namespace of one user cannot change them any more
    outer = ("/usr/bin/setpriv", "--groups=4,27") if prefix and prefix != LIMITED else ()
    done = subprocess.run(
        [*outer, *PLACES[place], *prefix, *inner], capture_output=True, env=variables, timeout=60, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    told = [(tmp_path / "told" / each.name).read_text().splitlines() for each in (alone, abroad)]
    assert told[0] == told[1], done.stdout
    assert len(told[1]) > 30
    assert served(engine) == 1


def test_control_groups_are_the_caller_s(engine: EngineProcess, abroad: Path, alone: Path, tmp_path: Path) -> None:
    """What a group forbids its members, such as opening a device, must hold for whatever the caller has executed."""
    group = Path(hierarchies(Path("/proc/self/mountinfo").read_text()).get("", "/sys/fs/cgroup")) / "pycni-test"
    group.mkdir()
    try:
        variables = {**tellers(tmp_path, alone, abroad), "GROUP": f"{group}/cgroup.procs"}
        move = ("/bin/sh", "-ec", 'echo 0 > "$GROUP"; exec "$@"', "-")
        inner = ["/bin/sh", "-c", CONTAINER, "-", str(alone), str(abroad)]
        done = subprocess.run([*move, *MOUNT, *inner], capture_output=True, env=variables, timeout=60, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr)
        told = [(tmp_path / "told" / each.name).read_text().splitlines() for each in (alone, abroad)]
        assert told[0] == told[1]
        assert "0::/pycni-test" in told[1]
        assert served(engine) == 1
    finally:
        deadline = time.monotonic() + SECONDS
        while group.exists():  # until its last process has gone
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError):
                group.rmdir()


def test_a_root_directory_of_its_own(engine: EngineProcess, abroad: Path, tmp_path: Path) -> None:
    """A caller that was only moved to another root: the same mount namespace, and paths mean other files."""
    script = """
mount --bind / /mnt
for each in /proc /dev /tmp; do [ ! -d $each ] || mount --rbind $each /mnt$each; done
mount -t tmpfs none /mnt/media
: > /mnt/media/here
exec /usr/sbin/chroot /mnt /bin/sh -c "$0" - "$@"
"""
    teller = f"#!/bin/sh\nls /media > {tmp_path}/told/abroad; exit 1\n"
    variables = tellers(tmp_path)
    (abroad / "teller").write_text(teller)
    (abroad / "teller").chmod(0o755)
    command = ["/usr/bin/unshare", "--mount", "--", "/bin/sh", "-ec", script, CONTAINER, str(abroad)]
    done = subprocess.run(command, capture_output=True, env=variables, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert (tmp_path / "told" / "abroad").read_text() == "here\n"
    assert served(engine) == 1


NOT_ROOT = ("/usr/bin/setpriv", "--securebits=+noroot")
PARTLY = ("/usr/bin/setpriv", "--inh-caps=+net_admin", "--ambient-caps=+net_admin")


@pytest.mark.parametrize("prefix", [NOT_ROOT, PARTLY], ids=["no root", "ambient"])
def test_who_is_not_root_within_its_bounds_is_declined(
    engine: EngineProcess, abroad: Path, netns: Made, prefix: tuple[str, ...]
) -> None:
    variables = environment("DEL", str(abroad), netns().path)
    done = call(abroad / "host-local", variables, json.dumps(HOST_LOCAL).encode(), (*MOUNT, *prefix))
    assert done.returncode == 7, (done.stdout, done.stderr)
    assert served(engine) == 0
    assert "its capabilities are not those of a root user" in engine.log.read_text()


def test_relative_paths_are_the_caller_s(engine: EngineProcess, abroad: Path, tmp_path: Path, netns: Made) -> None:
    """In no other namespace, but in another directory than the engine."""
    config = {**HOST_LOCAL, "ipam": {**IPAM, "dataDir": "leases"}}
    done = subprocess.run(
        [str(abroad / "host-local")], cwd=tmp_path, input=json.dumps(config).encode(), capture_output=True,
        env=environment("ADD", str(abroad), netns().path), timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert (tmp_path / "leases/net/10.99.0.2").read_bytes() == b"c1\r\neth0"
    assert served(engine) == 1


# --- what is killed --------------------------------------------------------------------------------------------------

BLOCKER = """#!/bin/sh
cat > /dev/null
echo $PPID > "$PLACE/entered.draft" && mv "$PLACE/entered.draft" "$PLACE/entered"
read line < "$PLACE/release"
echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.99.0.7/24"}]}'
"""


class Blocked:
    """An ADD of bridge in another mount namespace, held up in its IPAM plugin."""

    def __init__(self, engine: EngineProcess, plugins: Path, tmp_path: Path, container: PrivateNetns) -> None:
        self.engine, self.tmp_path, self.container = engine, tmp_path, container
        (plugins / "blocker").write_text(BLOCKER)
        (plugins / "blocker").chmod(0o755)
        os.mkfifo(tmp_path / "release")
        variables = {**environment("ADD", str(plugins), container.path), "PLACE": str(tmp_path)}
        config = json.dumps({**BRIDGE, "isGateway": False, "ipam": {"type": "blocker"}})
        (tmp_path / "blocked").write_text(config)
        prefix = ("/usr/bin/unshare", "--mount", "--net", "--")
        with open(tmp_path / "blocked", "rb") as stdin:
            self.process = subprocess.Popen(
                [*prefix, str(plugins / "bridge")], stdin=stdin, stdout=subprocess.PIPE, env=variables
            )
        self.child = int(await_file(tmp_path / "entered"))

    def release(self) -> None:
        (self.tmp_path / "release").write_text("go\n")

    def answer(self) -> tuple[int, Any]:
        stdout, _stderr = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, json.loads(stdout)


@pytest.fixture
def blocked(engine: EngineProcess, abroad: Path, tmp_path: Path, netns: Made) -> Iterator[Blocked]:
    made = Blocked(engine, abroad, tmp_path, netns())
    yield made
    made.process.kill()
    made.process.communicate()
    with contextlib.suppress(ProcessLookupError):  # a failed test has not released it
        os.kill(made.child, signal.SIGKILL)
    with contextlib.suppress(OSError):  # nor the plugin it waits for
        os.close(os.open(tmp_path / "release", os.O_WRONLY | os.O_NONBLOCK))


def helper_of(engine: EngineProcess) -> int:
    children = Path(f"/proc/{engine.process.pid}/task").glob("*/children")
    (pid,) = {int(each) for path in children for each in path.read_text().split()}
    return pid


def test_a_helper_killed_in_the_middle_of_a_call(engine: EngineProcess, abroad: Path, blocked: Blocked) -> None:
    helper = helper_of(engine)
    os.kill(helper, signal.SIGKILL)
    blocked.release()
    status, answer = blocked.answer()
    assert (status, answer["ips"][0]["address"]) == (0, "10.99.0.7/24"), "its child goes on alone"
    again = call(abroad / "host-local", environment("DEL", str(abroad), ""), json.dumps(HOST_LOCAL).encode(), MOUNT)
    assert again.returncode == 0, (again.stdout, again.stderr)
    assert helper_of(engine) != helper
    assert served(engine) == 2


def test_what_a_child_has_of_the_host(blocked: Blocked) -> None:
    """Who is in its namespaces, with all powers there, must not get a file of the host's from it."""
    proc = Path(f"/proc/{blocked.child}")
    exe = os.open(proc / "exe", os.O_RDONLY)
    assert fcntl.fcntl(exe, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    os.close(exe)
    files = {os.readlink(each) for each in (proc / "fd").iterdir()}
    kinds = {each.partition(":")[0] for each in files if each.startswith("/") or "pidfd" in each}
    assert kinds == {"/dev/null", blocked.container.path}, "nothing but what the plugin opened itself"
    blocked.release()
    assert blocked.answer()[0] == 0


def test_an_engine_killed_in_the_middle_of_a_call(engine: EngineProcess, blocked: Blocked) -> None:
    engine.kill()
    blocked.release()
    status, answer = blocked.answer()
    assert (status, answer["ips"][0]["address"]) == (0, "10.99.0.7/24")


def test_a_child_killed_in_the_middle_of_a_call(blocked: Blocked) -> None:
    os.kill(blocked.child, signal.SIGKILL)
    status, answer = blocked.answer()
    assert (status, answer["code"]) == (1, 11), "an ADD cut in half: DEL undoes it"
    blocked.release()


# --- the process -----------------------------------------------------------------------------------------------------


def ask(helper: Helper) -> protocol.Answer:
    """One call for this process itself."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    pidfd, root = os.pidfd_open(os.getpid()), os.open("/", os.O_PATH)
    body = protocol.encode_call(protocol.Call("tuning", {"CNI_COMMAND": "VERSION"}, b""))
    try:
        assert helper.take(body, theirs, pidfd, root)
        theirs.close()
        answer = receive(ours)
        assert answer is not None
        return protocol.decode_answer(answer.body)
    finally:
        for fd in (pidfd, root):
            os.close(fd)
        ours.close()


def test_it_ends_when_there_is_nothing_to_do_and_starts_again(tmp_path: Path) -> None:
    said: list[str] = []
    helper = Helper(command(str(tmp_path), 0.05), said.append)
    pids = []
    for _ in range(2):
        assert json.loads(ask(helper).stdout)["cniVersion"] == "1.1.0"
        pids.append(helper.pid)
        deadline = time.monotonic() + SECONDS
        while os.path.exists(f"/proc/{helper.pid}"):
            assert time.monotonic() < deadline, "it does not end"
    assert pids[0] != pids[1]
    helper.close()
    assert said == []


def test_a_helper_that_cannot_start_takes_nothing() -> None:
    said: list[str] = []
    connection = _socket.socket(_socket.AF_UNIX)
    for program in ((), ("/nowhere",), ("/bin/false",)):
        assert not Helper(program, said.append).take(b"", connection, connection.fileno(), connection.fileno())
    connection.close()
    assert said == [
        "the helper for callers in other namespaces does not start: No such file or directory",
        "the helper for callers in other namespaces ends before it serves them",
    ]
