"""A live engine in a namespace of its own: whose calls it serves, where, and what it keeps afterwards."""

from __future__ import annotations

import _socket
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
from conftest import PrivateNetns
from engine_process import CONFIG, DEL, REAL, EngineProcess, facts, probe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from launchers import KINDS, PLAIN, call, compiled_front, install, telltale

from netd.engine import client, protocol
from netd.engine.front import Plain
from netd.engine.surroundings import Surroundings, depends_on_directory
from pycni.kernel.namespace import TRASH_GROUP

Made = Callable[[], PrivateNetns]
PROBES_TOTAL = 1000


def identity(netns: PrivateNetns) -> list[int]:
    status = os.stat(netns.path)
    return [status.st_dev, status.st_ino]


def within(netns: PrivateNetns) -> tuple[str, ...]:
    return ("/usr/bin/nsenter", f"--net={netns.path}", "--")


@pytest.fixture
def home(netns: Made) -> PrivateNetns:
    """The engine's own network namespace."""
    return netns()


@pytest.fixture(params=["compiled", "plain"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, home: PrivateNetns) -> Iterator[EngineProcess]:
    """One that receives calls in C, and one as where there was no compiler."""
    options = ["--plain-front"] if request.param == "plain" else []
    engine = EngineProcess(tmp_path / "engine", prefix=within(home), options=options)
    assert client.status(engine.socket)["front"] == request.param
    yield engine
    engine.kill()


@pytest.fixture(params=KINDS)
def launcher(request: pytest.FixtureRequest, engine: EngineProcess, tmp_path: Path) -> Path:
    """A probe launcher whose in-process path would end with status 7."""
    return launcher_of(str(request.param), engine, tmp_path)


@pytest.fixture
def quick(engine: EngineProcess, tmp_path: Path) -> Path:
    """The same, in C only."""
    return launcher_of("c", engine, tmp_path)


def launcher_of(kind: str, engine: EngineProcess, tmp_path: Path) -> Path:
    entry = telltale(tmp_path / "telltale")
    return install(kind, tmp_path / "bin", {**engine.settings, "entry": entry}) / "probe"


def counts(engine: EngineProcess) -> dict[tuple[str, str, str], int]:
    listed = client.status(engine.socket)["calls"]
    return {(each["plugin"], each["command"], each["outcome"]): each["count"] for each in listed}


# --- serving ---------------------------------------------------------------------------------------------------------


def test_a_call_sees_what_an_execution_sees(
    launcher: Path, engine: EngineProcess, home: PrivateNetns, netns: Made
) -> None:
    container = netns()
    environment = {"CNI_NETNS": container.path, "WISH": "a=b"}
    seen = facts(probe(launcher, environment, within(home)))
    assert seen["pid"] == engine.process.pid
    assert seen["host"] == seen["thread"] == identity(home)
    assert seen["container"] == identity(container)
    assert {**seen["environment"], **DEL, **environment} == seen["environment"]
    assert seen["stdin"] == len(CONFIG)


def test_a_caller_s_own_namespace_is_its_host(launcher: Path, engine: EngineProcess, netns: Made) -> None:
    caller, container = netns(), netns()
    seen = facts(probe(launcher, {"CNI_NETNS": container.path}, within(caller)))
    assert seen["pid"] == engine.process.pid
    assert seen["host"] == identity(caller)
    assert seen["container"] == identity(container)


def test_relative_names_of_the_process_mean_the_caller_s(quick: Path, netns: Made) -> None:
    """Opened by the engine, /proc/self/ns/net would be the engine's."""
    caller = netns()
    environment = {**DEL, "CNI_NETNS": "/proc/self/ns/net"}
    done = call(quick, environment, CONFIG, within(caller))
    assert (done.returncode, json.loads(done.stdout)["code"]) == (1, 8)


def test_a_previous_result_of_a_megabyte(launcher: Path, home: PrivateNetns) -> None:
    config = CONFIG + b" " * (1 << 20)
    done = call(launcher, DEL, config, within(home))
    assert facts(done)["stdin"] == len(config)


def test_add_prints_a_result(launcher: Path, home: PrivateNetns, netns: Made) -> None:
    done = call(launcher, {**DEL, "CNI_COMMAND": "ADD", "CNI_NETNS": netns().path}, CONFIG, within(home))
    assert (done.returncode, json.loads(done.stdout)) == (0, {"cniVersion": "1.1.0"})


def test_errors_and_crashes(launcher: Path, engine: EngineProcess, home: PrivateNetns) -> None:
    refused = probe(launcher, {"CNI_ARGS": "refuse"}, within(home))
    assert (refused.returncode, json.loads(refused.stdout)["details"]) == (1, "as it was told to")
    for _ in range(10):  # more often than there are workers
        crashed = probe(launcher, {"CNI_ARGS": "crash"}, within(home))
        assert crashed.returncode == 1
        assert json.loads(crashed.stdout) == {
            "code": 999,
            "msg": "probe failed unexpectedly: RuntimeError: the probe was told to crash",
        }
        assert crashed.stderr == b""
    assert "tests/probe_engine.py" in engine.log.read_text()
    assert facts(probe(launcher, prefix=within(home)))["pid"] == engine.process.pid
    assert counts(engine) == {
        ("other", "DEL", "failed"): 1,
        ("other", "DEL", "crashed"): 10,
        ("other", "DEL", "succeeded"): 1,
    }


def test_an_unknown_plugin_is_an_error(engine: EngineProcess, tmp_path: Path, home: PrivateNetns) -> None:
    path = install("c", tmp_path / "bin", engine.settings, ("nothing",)) / "nothing"
    done = call(path, DEL, CONFIG, within(home))
    assert (done.returncode, json.loads(done.stdout)["msg"]) == (1, 'no plugin is called "nothing"')


# --- not serving -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    [
        ("/usr/bin/unshare", "--mount", "--propagation=unchanged", "--"),
        ("/usr/bin/unshare", "--user", "--map-root-user", "--"),
    ],
    ids=["mount", "user"],
)
def test_callers_with_other_files_or_users_run_in_process(
    launcher: Path, engine: EngineProcess, prefix: tuple[str, ...]
) -> None:
    done = probe(launcher, prefix=prefix)
    assert done.returncode == 7, (done.stdout, done.stderr)
    assert ("other", "DEL", "succeeded") not in counts(engine)


_CALLER = """
import os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
os.chroot(sys.argv[2])
socket.send_fds(connection, [b"x"], [os.open("/", os.O_PATH)])
connection.recv(1)
"""


@pytest.mark.parametrize("by_path", [False, True], ids=["pidfd", "as in kernels before 6.11"])
def test_who_shares_our_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_path: bool) -> None:
    if by_path:
        monkeypatch.setattr("netd.engine.surroundings.pidfd_of", lambda _connection: None)
    surroundings = Surroundings()
    mount = ["/usr/bin/unshare", "--mount", "--propagation=unchanged"]
    user = ["/usr/bin/unshare", "--user", "--map-root-user"]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "sock"))
    listener.listen()
    listener.settimeout(20)
    callers = [
        ([], "/", True),
        ([], str(tmp_path), False),
        (mount, "/", False),
        (mount, f"/proc/{os.getpid()}/root", True),  # all that it can open are our files
        (user, "/", False),
    ]
    front = Plain() if by_path else compiled_front()
    for prefix, root, shared in callers:
        child = subprocess.Popen([*prefix, PLAIN, "-c", _CALLER, str(tmp_path / "sock"), root])
        connection, _address = listener.accept()
        plain = _socket.socket(fileno=os.dup(connection.fileno()))
        _data, (passed,) = front.first(plain, 20)
        found = surroundings.shares_users(plain, child.pid) and surroundings.is_root(passed)
        assert found is shared, (prefix, root)
        assert not by_path or not surroundings.shares_users(plain, 0), "in a pid namespace out of sight"
        connection.sendall(b"x")
        assert child.wait(20) == 0
        assert not surroundings.shares_users(plain, child.pid), "it is gone"
        for each in (connection, plain):
            each.close()
        os.close(passed.fd)
    listener.close()


@pytest.mark.parametrize("variable", [{"CNI_NETNS": "netns-0"}, {"CNI_PATH": "/opt/cni/bin:bin"}])
def test_relative_paths_run_in_process(launcher: Path, engine: EngineProcess, variable: dict[str, str]) -> None:
    assert probe(launcher, variable).returncode == 7
    assert counts(engine) == {("other", "DEL", "not mine"): 1}


@pytest.mark.parametrize(
    ("text", "relative"),
    [
        (b'{"ipam": {"dataDir": "leases"}}', True),
        (b'{"ipam": {"DATADIR" :\n"./leases"}}', True),
        (b'{"ipam": {"resolvConf": "resolv.conf"}}', True),
        (b'{"ipam": {"dataDir": "/leases", "resolvConf": ""}}', False),
        (b'{"name": "dataDir"}', False),
    ],
)
def test_relative_paths_of_the_configuration(text: bytes, relative: bool) -> None:
    assert depends_on_directory({"CNI_PATH": "/opt/cni/bin"}, text) is relative


def test_other_users_are_refused(home: PrivateNetns) -> None:
    with tempfile.TemporaryDirectory() as public:  # pytest's own directories are closed to others
        Path(public).chmod(0o755)
        engine = EngineProcess(Path(public) / "engine", prefix=within(home))
        try:
            Path(engine.socket).chmod(0o777)  # even if somebody opened it up
            path = install("c", Path(public) / "bin", engine.settings) / "probe"
            done = probe(path, prefix=("/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"))
            assert json.loads(done.stdout)["msg"].startswith("no engine answers")
            assert "refused a caller with uid 65534" in engine.log.read_text()
        finally:
            engine.kill()


# --- namespaces ------------------------------------------------------------------------------------------------------


def settle(engine: EngineProcess) -> None:
    """Waits until the engine has let go of foreign namespaces, which must be soon."""
    deadline = time.monotonic() + 3
    while client.status(engine.socket)["foreign_namespaces"]:
        assert time.monotonic() < deadline
    client.sync(engine.socket)


def assert_idle(engine: EngineProcess) -> None:
    """No worker is at work, once they have hung up on their last callers."""
    deadline = time.monotonic() + 3
    while client.status(engine.socket)["busy"]:
        assert time.monotonic() < deadline


def assert_descriptors(engine: EngineProcess, before: int) -> None:
    """No more than before, once the workers have hung up on their last callers."""
    deadline = time.monotonic() + 3
    while engine.descriptors() > before:
        assert time.monotonic() < deadline, (engine.descriptors(), before)


def test_a_foreign_namespace_ends_soon_after_its_last_call(quick: Path, engine: EngineProcess, netns: Made) -> None:
    caller = netns()
    seen = facts(probe(quick, prefix=within(caller)))
    assert seen["host"] == identity(caller)
    assert client.status(engine.socket)["foreign_namespaces"] == 1
    settle(engine)
    before = engine.descriptors()
    facts(probe(quick, prefix=within(netns())))
    settle(engine)
    assert_descriptors(engine, before)


def test_what_was_retired_is_deleted_after_the_answer(quick: Path, engine: EngineProcess, netns: Made) -> None:
    for caller in (netns(), netns()):
        caller.run(["ip", "link", "add", "gone0", "type", "bridge"])
        facts(probe(quick, {"CNI_ARGS": "retire=gone0"}, within(caller)))
        client.sync(engine.socket)
        assert [link.name for link in caller.namespace().links()] == ["lo"]
        assert client.status(engine.socket)["deferred"] == 0


def test_what_a_crash_left_retired_is_deleted(
    quick: Path, engine: EngineProcess, home: PrivateNetns, netns: Made, tmp_path: Path
) -> None:
    """In its own namespace at the engine's start, in another one on its first call."""
    engine.kill()
    caller = netns()
    for space in (home, caller):
        space.run(["ip", "link", "add", "gone0", "group", str(TRASH_GROUP), "type", "bridge"])
        space.run(["ip", "link", "add", "kept0", "type", "bridge"])
    again = EngineProcess(tmp_path / "engine", prefix=within(home))
    try:
        facts(probe(quick, prefix=within(caller)))
        client.sync(again.socket)
        for space in (home, caller):
            assert [link.name for link in space.namespace().links()] == ["lo", "kept0"]
    finally:
        again.kill()


# --- endurance -------------------------------------------------------------------------------------------------------


def test_parallel_callers_from_several_namespaces(quick: Path, engine: EngineProcess, netns: Made) -> None:
    callers = [netns() for _ in range(4)]
    wrong: list[object] = []

    def hammer(caller: PrivateNetns) -> None:
        for _ in range(10):
            seen = facts(probe(quick, prefix=within(caller)))
            if seen["host"] != identity(caller) or seen["thread"] == identity(caller):
                wrong.append(seen)

    threads = [Thread(target=hammer, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert counts(engine) == {("other", "DEL", "succeeded"): 40}


def talk(engine: EngineProcess, data: bytes, descriptors: int = 0) -> None:
    """Sends bytes with descriptors, hangs up its sending half, and reads what comes."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(20)
    connection.connect(engine.socket)
    fds = [os.open("/proc/self/ns/net" if number else "/", os.O_RDONLY) for number in range(descriptors)]
    rights = b"".join(fd.to_bytes(4, "little") for fd in fds)
    try:
        connection.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if fds else [])
        connection.shutdown(_socket.SHUT_WR)
        while connection.recv(65536):
            pass
    except ConnectionError:
        return
    finally:
        connection.close()
        for fd in fds:
            os.close(fd)


def test_no_descriptor_is_lost_over_a_thousand_calls(quick: Path, engine: EngineProcess, home: PrivateNetns) -> None:
    facts(probe(quick, prefix=within(home)))
    settle(engine)
    before = engine.descriptors()
    body = protocol.encode_call(protocol.Call("probe", {**DEL, "CNI_NETNS": home.path}, CONFIG))
    for number in range(PROBES_TOTAL):
        talk(engine, protocol.frame(protocol.CALL, body, number % 4), number % 5)
    settle(engine)
    assert_descriptors(engine, before)
    assert_idle(engine)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda kind, body, fds, cut: protocol.frame(kind, body, fds)[cut:],
            st.integers(0, 255), st.binary(max_size=100), st.integers(0, 3), st.integers(0, 3),
        ),
    ),
    st.integers(0, 4),
)  # fmt: skip
def test_hostile_bytes_do_no_harm(engine: EngineProcess, data: bytes, descriptors: int) -> None:
    talk(engine, data, descriptors)
    status = client.status(engine.socket)
    assert (status["pid"], status["workers"]) == (engine.process.pid, 4)
    assert_idle(engine)


# --- rest ------------------------------------------------------------------------------------------------------------


def statuses(engine: EngineProcess) -> list[dict[str, str]]:
    """/proc's status of every thread, the process first."""
    directory = Path(f"/proc/{engine.process.pid}/task")
    texts = [(directory / task / "status").read_text() for task in sorted(os.listdir(directory), key=int)]
    return [dict(line.split(":", 1) for line in text.splitlines()) for text in texts]


def switches(engine: EngineProcess) -> int:
    return sum(int(each["voluntary_ctxt_switches"]) for each in statuses(engine))


def test_the_real_engine_is_small_quick_and_still_when_idle(tmp_path: Path, home: PrivateNetns) -> None:
    started = time.monotonic()
    engine = EngineProcess(tmp_path / "real", REAL, prefix=within(home))
    ready = time.monotonic() - started
    try:
        assert ready < 1.0
        client.sync(engine.socket)
        assert int(statuses(engine)[0]["VmRSS"].split()[0]) < 40_000
        deadline = time.monotonic() + 10
        while any("sleeping" not in each["State"] for each in statuses(engine)):
            assert time.monotonic() < deadline
        before = switches(engine)
        moment = time.monotonic() + 1.5  # there is no event to wait for: that none comes is the point
        while time.monotonic() < moment:
            os.sched_yield()
        assert switches(engine) == before
    finally:
        engine.kill()
