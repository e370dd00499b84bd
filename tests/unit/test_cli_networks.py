"""The commands about networks, on a host of their own: output, errors, exit status."""

from __future__ import annotations

import io
import json
import os
import shlex
from pathlib import Path

import pytest
from network_host import FakeHost

from netd.cli import status
from netd.cli.main import main
from netd.engine.client import NoEngine
from netd.networks.names import network_id
from pycni.firewall.facts import Owner
from pycni.names import Attachment, Attachments


class Shell:
    """`pynet` as a user of one small host types it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = FakeHost()
        self.environ = {
            "PYNET_NETCONF_DIR": str(root / "net.d"),
            "PYNET_RUN_DIR": str(root / "run"),
            "PYNET_CACHE_DIR": str(root / "cni"),
            "PYNET_LEASE_DIR": str(root / "leases"),
        }

    def run(self, line: str, stdin: str = "") -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        status = main(
            shlex.split(line), environ=self.environ, out=out, err=err, stdin=io.StringIO(stdin), host=self.host
        )
        return status, out.getvalue(), err.getvalue()

    def ok(self, line: str, stdin: str = "") -> str:
        status, out, err = self.run(line, stdin)
        assert (status, err) == (0, ""), err
        return out

    def lease(self, network: str, address: str) -> None:
        path = self.root / "leases" / network / address
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"c1\r\neth0")


@pytest.fixture
def pynet(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_create_prints_the_id_that_every_command_takes(pynet: Shell) -> None:
    printed = pynet.ok("create mynet").strip()
    assert printed == network_id("mynet")
    for wanted in ("mynet", printed, printed[:12]):
        assert pynet.ok(f"inspect -f {{{{.Name}}}} {wanted}") == "mynet\n"
    assert pynet.ok(f"rm {printed[:12]}") == "mynet\n"


def test_ls(pynet: Shell) -> None:
    pynet.ok("create web --label team=a --ipv6 --subnet 10.9.0.0/16 --subnet fd00:9::/64")
    pynet.ok("create db --label team=b --internal")
    pynet.lease("web", "10.9.0.2")
    db, web = network_id("db")[:12], network_id("web")[:12]
    assert pynet.ok("ls") == (
        "NETWORK ID     NAME   DRIVER   SUBNETS                    CONTAINERS   MADE BY\n"
        f"{db}   db     bridge   10.208.0.0/24              0            pynet\n"
        f"{web}   web    bridge   10.9.0.0/16, fd00:9::/64   1            pynet\n"
    )
    assert pynet.ok("ls -q") == f"{db}\n{web}\n"
    assert pynet.ok("ls --format '{{.Name}} {{.Subnet}}' --filter name=we") == "web 10.9.0.0/16, fd00:9::/64\n"
    for filters, names in (
        ("label=team", ["db", "web"]),
        ("label=team=a", ["web"]),
        ("dangling=true", ["db"]),
        ("dangling=0", ["web"]),
        ("name=db --filter name=web", ["db", "web"]),
        ("name=db --filter label=team=a", []),
        ("owner=podman", []),
        ("driver=bridge", ["db", "web"]),
    ):
        assert pynet.ok(f"ls --format '{{{{.Name}}}}' --filter {filters}").split() == names
    rows = json.loads(pynet.ok("ls --json"))
    assert [(row["Name"], row["Internal"], row["IPv6"]) for row in rows] == [("db", True, False), ("web", False, True)]
    assert len(pynet.ok("ls -q --no-trunc").split()[0]) == 64


def test_inspect_has_dockers_shape(pynet: Shell) -> None:
    pynet.ok("create web --subnet 10.9.0.0/16 --ip-range 10.9.1.0/24 -o mtu=1400 --label a=b")
    pynet.lease("web", "10.9.0.2")
    (item,) = json.loads(pynet.ok("inspect web"))
    assert item["IPAM"]["Config"] == [{"Subnet": "10.9.0.0/16", "IPRange": "10.9.1.0/24", "Gateway": "10.9.0.1"}]
    assert item["Containers"] == {
        "c1": {
            "Name": "c1",
            "Interface": "eth0",
            "MacAddress": "",
            "IPv4Address": "10.9.0.2/16",
            "IPv6Address": "",
        }
    }
    assert (item["Labels"], item["Options"], item["MTU"]) == ({"a": "b"}, {"mtu": "1400"}, 1400)
    assert pynet.ok("inspect -f '{{range .IPAM.Config}}{{.Gateway}}{{end}}' web") == "10.9.0.1\n"


def test_containers_go_by_their_own_names_where_the_name_server_has_them(pynet: Shell) -> None:
    pynet.ok("create web --subnet 10.9.0.0/16")
    pynet.lease("web", "10.9.0.2")
    records = Attachments(str(pynet.root / "run"))
    records.put(Attachment(Owner("web", "c1", "eth0"), "n1", names=("shop", "www")))
    records.put(Attachment(Owner("db", "c2", "eth0"), "n2", names=("other",)))
    assert pynet.ok("inspect -f '{{range .Containers}}{{.Name}}{{end}}' web") == "shop\n"
    assert pynet.run("rm web")[2] == "pynet: network web is in use by shop: remove the containers, or use --force\n"


def test_inspect_shows_what_exists_and_names_what_does_not(pynet: Shell) -> None:
    pynet.ok("create web")
    status, out, err = pynet.run("inspect nope web")
    assert (status, err) == (1, "pynet: network nope not found\n")
    assert [item["Name"] for item in json.loads(out)] == ["web"]


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("create", 2, "create: missing NAME (see pynet create --help)"),
        ("create a --nope", 2, "create: unknown flag --nope"),
        ("create a --mtu x", 2, "create: --mtu 'x': must be a whole number"),
        ("frobnicate", 2, "'frobnicate' is no command"),
        ("install --dest ''", 1, "--dest: the directory's name is empty"),
        ("uninstall --dest ''", 1, "--dest: the directory's name is empty"),
        ("completion fish", 2, "completion: SHELL 'fish': one of bash, zsh"),
        ("ls --json --format x", 2, "ls: --json and --format exclude each other"),
        ("create ../x", 1, "network name '../x'"),
        ("create host", 1, "network name 'host' is reserved"),
        ("create a --subnet 10.1.2.3/24", 1, "--subnet 10.1.2.3/24: host bits are set"),
        ("create a --firewall x", 2, "--firewall 'x': one of auto, iptables, nftables"),
        ("create a -o x=1", 1, "option 'x' is unknown"),
        ("create a -d overlay", 2, "-d 'overlay': one of bridge, macvlan"),
        ("ls --filter x=1", 1, "--filter 'x=1': must be KEY=VALUE with KEY one of dangling"),
        ("ls --filter dangling=x", 1, "dangling=true or dangling=false"),
        ("rm nope", 1, "network nope not found"),
        ("inspect nope", 1, "network nope not found"),
    ],
)
def test_mistakes_take_one_line_and_change_nothing(pynet: Shell, line: str, status: int, message: str) -> None:
    seen, _out, err = pynet.run(line)
    assert (seen, err.count("\n")) == (status, 1), err
    assert err.startswith("pynet: ") and message in err
    assert not list(pynet.root.rglob("*.conflist"))


def test_a_bad_field_in_a_template_is_named(pynet: Shell) -> None:
    pynet.ok("create web")
    status, out, err = pynet.run("ls --format '{{.Nmae}}'")
    assert (status, out) == (1, "")
    assert err.startswith("pynet: --format: no field 'Nmae' in .Nmae; known are ID, Name, Driver")


def test_an_unreadable_list_is_a_warning(pynet: Shell) -> None:
    pynet.ok("create web")
    (pynet.root / "net.d" / "bad.conflist").write_text("{")
    status, out, err = pynet.run("ls -q")
    assert (status, out.count("\n"), err.count("\n")) == (0, 1, 1)
    assert "bad.conflist: not JSON" in err
    status, _out, err = pynet.run("create db")
    assert status == 0 and "bad.conflist: not JSON" in err


@pytest.mark.parametrize("line", ["rm web", "rm --force web", "inspect web"])
def test_a_network_whose_list_is_damaged_is_not_just_absent(pynet: Shell, line: str) -> None:
    pynet.ok("create web")
    path = pynet.root / "net.d" / "web.conflist"
    path.write_text(path.read_text()[:-20])
    status, out, err = pynet.run(line)
    assert status == 1 and "web" not in out.split()
    assert f"pynet: network web not found: {path}: not JSON" in err and err.endswith("; mend or remove that file\n")
    assert pynet.run("create web")[0] == 1 and path.exists()


def test_an_unwritable_directory_is_one_line(pynet: Shell) -> None:
    (pynet.root / "net.d").write_text("a file")
    status, _out, err = pynet.run("create web")
    assert (status, err) == (1, f"pynet: create: {pynet.root}/net.d: not a directory\n")


def test_rm_goes_on_after_a_failure(pynet: Shell) -> None:
    pynet.ok("create web")
    pynet.ok("create db")
    pynet.lease("web", "10.208.0.2")
    status, out, err = pynet.run("rm web nope db")
    assert (status, out) == (1, "db\n")
    assert err.splitlines() == [
        "pynet: network web is in use by c1: remove the containers, or use --force",
        "pynet: network nope not found",
    ]
    assert pynet.ok("rm -f web nope") == "web\n"
    assert pynet.ok("rm -f --json web") == "[]\n"


def test_prune_asks(pynet: Shell) -> None:
    for name in ("web", "db", "idle"):
        pynet.ok(f"create {name} --label name={name}")
    pynet.lease("web", "10.208.0.2")
    assert pynet.ok("prune --dry-run") == "Would delete:\ndb\nidle\n"
    for answer in ("", "n\n", "what\n"):
        assert "Deleted" not in pynet.ok("prune", answer)
    assert pynet.ok("prune -f --filter label=name=db") == "Deleted Networks:\ndb\n"
    assert pynet.ok("prune", "y\n").endswith("[y/N] Deleted Networks:\nidle\n")
    assert pynet.ok("ls --format '{{.Name}}'") == "web\n"


def test_prune_passes_over_what_others_removed_or_use_since(pynet: Shell) -> None:
    for name in ("web", "db", "idle"):
        pynet.ok(f"create {name}")

    class Thoughtful(io.StringIO):
        def readline(self, _size: int | None = -1) -> str:
            pynet.ok("rm db")
            pynet.lease("web", "10.208.0.2")
            return "y\n"

    out, err = io.StringIO(), io.StringIO()
    assert main(["prune"], environ=pynet.environ, out=out, err=err, stdin=Thoughtful(), host=pynet.host) == 0
    assert out.getvalue().endswith("Deleted Networks:\nidle\n")
    assert err.getvalue() == ""


def test_help_and_version(pynet: Shell) -> None:
    text = pynet.ok("--help")
    assert len(text.splitlines()) <= 46 and max(map(len, text.splitlines())) <= 120
    for command in ("create", "ls", "inspect", "rm", "prune", "install", "uninstall", "status", "completion"):
        assert f"  {command}" in text
        assert "usage: pynet" in pynet.ok(f"{command} --help")
    assert pynet.run("") == (2, text, "")
    assert pynet.ok("--version").startswith("pynet 0.")


def test_paths_by_flag_win_over_variables(pynet: Shell, tmp_path: Path) -> None:
    other = tmp_path / "other"
    pynet.ok(f"create web --netconf-dir {other}")
    assert sorted(os.listdir(other)) == [".pynet.lock", "web.conflist"]
    assert pynet.ok(f"--netconf-dir {other} ls --format '{{{{.Name}}}}'") == "web\n"
    assert pynet.ok("ls -q") == ""


ENGINE = {
    "version": "0.1.0",
    "pid": 42,
    "since": 1_700_000_000.5,
    "backend": "nftables",
    "sockets": ["/run/pynet/cni.sock"],
    "busy": 1,
    "deferred": 2,
    "calls": [
        {"plugin": "bridge", "command": "ADD", "outcome": "succeeded", "count": 3},
        {"plugin": "bridge", "command": "DEL", "outcome": "failed", "count": 1},
        {"plugin": "portmap", "command": "ADD", "outcome": "succeeded", "count": 2},
    ],
}


def test_status_with_an_engine(pynet: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status.engine_client, "status", lambda _path: ENGINE)
    pynet.ok("create web")
    pynet.lease("web", "10.208.0.2")
    lines = dict(line.split(":", 1) for line in pynet.ok("status").splitlines())
    assert lines["engine"].strip().startswith("running, pid 42, since 2023-11-14T22:13:20Z (")
    assert lines["calls"].strip() == "1 failed, 5 succeeded; 1 running, 2 deferred"
    assert lines["networks"].strip() == f"1 in {pynet.root}/net.d"
    assert (lines["attachments"].strip(), lines["firewall"].strip()) == ("1", "nftables")
    assert pynet.ok("status -f '{{.Running}} {{.Pid}} {{.Versions.cni}}'") == "true 42 1.1.0\n"


def test_status_without_an_engine(pynet: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise NoEngine(f"no engine at {path}: connection refused")

    monkeypatch.setattr(status.engine_client, "status", refuse)
    code, out, err = pynet.run("status")
    assert (code, err) == (3, "")
    assert "engine:      not running (no engine at " in out
    code, out, _err = pynet.run("status --json")
    assert code == 3 and json.loads(out)["Running"] is False
