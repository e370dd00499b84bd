"""`pynet` on a terminal, on the real runtime: shells, detaching, exec, a daemon killed under them."""

from __future__ import annotations

from pynet_runtime import IMAGE, RuntimeSandbox, host, machine, state

__all__ = ["host", "machine"]


def test_a_shell_on_a_terminal(host: RuntimeSandbox) -> None:
    with host.terminal(f"pynet run -it --rm --network none {IMAGE} sh") as terminal:
        terminal.until(rb"# ")
        terminal.type(b"stty size; tty\n")
        terminal.until(rb"24 80\r\n/dev/pts/0\r\n")
        terminal.resize(50, 120)
        terminal.type(b"until stty size | grep '50 120'; do :; done\n")
        terminal.until(rb"\n50 120\r\n")
        terminal.type(b"sh -c 'echo begun; sleep 600'\n")
        terminal.until(rb"\nbegun\r\n")
        terminal.type(b"\x03")  # the container's terminal makes a signal of it
        terminal.until(rb"# ")
        terminal.type(b"exit 7\n")
        assert terminal.end() == 7
        assert terminal.modes == terminal.before


def test_detach_and_attach_again(host: RuntimeSandbox) -> None:
    with host.terminal(f"pynet run -it --name shell --network none {IMAGE} sh") as terminal:
        terminal.until(rb"# ")
        terminal.type(b"\x10\x11")
        assert terminal.end() == 0
        assert terminal.modes == terminal.before
    assert state(host, "shell", "State.Status") == "running"
    with host.terminal("pynet attach --detach-keys ctrl-x shell") as terminal:
        terminal.type(b"echo still $((40+2))\n")
        terminal.until(rb"still 42\r\n")
        terminal.type(b"\x18")
        assert terminal.end() == 0
    with host.terminal("pynet attach shell") as terminal:
        terminal.type(b"exit 3\n")
        assert terminal.end() == 3
    assert state(host, "shell", "State.ExitCode") == "3"
    done = host.run("pynet attach shell")
    assert (done.returncode, done.stderr) == (
        1,
        "pynet: container shell does not run: pynet start -ai shell does both\n",
    )
    with host.terminal("pynet start -ai shell") as terminal:
        terminal.until(rb"# ")
        terminal.type(b"exit 4\n")
        assert terminal.end() == 4


def test_exec_on_a_terminal(host: RuntimeSandbox) -> None:
    host.ok(f"pynet run -d --name still --network none {IMAGE}")
    with host.terminal("pynet exec -it -e A=b -w /tmp still sh") as terminal:
        terminal.until(rb"# ")
        terminal.type(b"stty size; pwd; echo $A$A\n")
        terminal.until(rb"24 80\r\n/tmp\r\nbb\r\n")
        terminal.resize(30, 90)
        terminal.type(b"until stty size | grep '30 90'; do :; done\n")
        terminal.until(rb"\n30 90\r\n")
        terminal.type(b"exit 6\n")
        assert terminal.end() == 6
        assert terminal.modes == terminal.before


def test_the_terminal_is_put_back_when_the_daemon_is_killed(host: RuntimeSandbox) -> None:
    with host.terminal(f"pynet run -it --name shell --network none {IMAGE} sh") as terminal:
        terminal.until(rb"# ")
        host.kill("api")
        assert terminal.end() == 125
        assert b"running containers are not affected" in terminal.seen
        assert terminal.modes == terminal.before
    done = host.run("pynet ps")
    assert done.returncode == 1
    assert done.stderr == ("pynet: pynetd does not run (nobody serves /run/pynet/api.sock); start it with: pynetd &\n")
    host.start("api")
    assert state(host, "shell", "State.Status") == "running"
    with host.terminal("pynet attach shell") as terminal:
        terminal.type(b"exit 8\n")
        assert terminal.end() == 8
