"""What a container is, and what a command says, when `pynet` is typed where docker's users type `docker`.

Recorded from docker 20.10.24 (Debian) driven by docker 28's command line, on a disposable host like this one and with
the same image.  Two things differ on purpose: where docker prints its usage we name the flag and its value, and what
`exec` cannot find is 127, as of later engines.
"""

import pytest

from .host import CommandFailed
from .image import IMAGE
from .polling import wait_until
from .runtime import Runtime

DEFAULT_CAPABILITIES = "00000000a80425fb"

INSIDE = [
    # who runs it
    ((), "id", "uid=0(root) gid=0(root) groups=0(root)"),
    (("-u", "nobody"), "id; echo $HOME", "uid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup)\n/"),
    (("-u", "1234"), "id; echo $HOME", "uid=1234 gid=0(root) groups=0(root)\n/"),
    (("-u", "1234:5678"), "id", "uid=1234 gid=5678 groups=5678"),
    (("-u", ":5678"), "id", "uid=0(root) gid=5678 groups=5678"),
    (("--group-add", "55", "--group-add", "nogroup"), "id -G", "0 55 65534"),
    # where, and with what
    ((), "pwd", "/"),
    (("-w", "/made/on/the/way"), "pwd; stat -c %u:%a .", "/made/on/the/way\n0:755"),
    (("-w", "/tmp/../etc"), "pwd", "/etc"),
    (("-h", "one"), "env", "HOSTNAME=one\nSHLVL=1\nHOME=/root\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/"),
    (("-e", "A=1", "-e", "B", "-e", "C="), "echo $A-${B-unset}-${C-unset}-", "1-unset--"),
    (
        ("-h", "one", "-e", "HOSTNAME", "-e", "A=1", "-e", "A=2"),
        "env | sort",
        "A=2\nHOME=/root\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\nSHLVL=1",
    ),
    (("-h", "a.b.org"), "hostname; cat /etc/hostname; tail -n 1 /etc/hosts | cut -f 2", "a.b.org\na.b.org\na.b.org a"),
    (
        ("-h", "a", "--domainname", "b.org"),
        "hostname; hostname -f; cat /proc/sys/kernel/domainname",
        "a\na.b.org\nb.org",
    ),
    (("--network", "host", "-h", "mine"), "hostname", "mine"),
    # rights
    ((), "grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status | cut -f 2 | sort -u", DEFAULT_CAPABILITIES),
    ((), "grep -E 'Cap(Inh|Amb)' /proc/self/status | cut -f 2 | sort -u", "0" * 16),
    ((), "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status", "NoNewPrivs:\t0\nSeccomp:\t2"),
    (("-u", "nobody"), "grep -E 'Cap(Eff|Bnd)' /proc/self/status | cut -f 2", f"{'0' * 16}\n{DEFAULT_CAPABILITIES}"),
    (("--cap-drop", "ALL"), "grep CapBnd /proc/self/status | cut -f 2", "0" * 16),
    (("--cap-drop", "ALL", "--cap-add", "net_raw"), "grep CapBnd /proc/self/status | cut -f 2", "0000000000002000"),
    (
        ("--cap-add", "CAP_NET_ADMIN", "--cap-drop", "chown"),
        "grep CapBnd /proc/self/status | cut -f 2",
        "00000000a80435fa",
    ),
    (("--security-opt", "no-new-privileges"), "grep NoNew /proc/self/status", "NoNewPrivs:\t1"),
    (("--security-opt", "seccomp=unconfined"), "grep Seccomp: /proc/self/status", "Seccomp:\t0"),
    (("--security-opt", "systempaths=unconfined"), "grep -c ' /proc/' /proc/mounts; true", "0"),
    # limits
    (("--ulimit", "nofile=100:200", "--ulimit", "core=0"), "ulimit -n; ulimit -Hn; ulimit -c", "100\n200\n0"),
    (("--oom-score-adj", "500"), "cat /proc/self/oom_score_adj", "500"),
    (("--shm-size", "1m"), "df /dev/shm | tail -n 1 | awk '{print $2}'", "1024"),
    (("--sysctl", "kernel.shmmax=12345"), "cat /proc/sys/kernel/shmmax", "12345"),
    # files
    (("-v", "/anonymous"), "stat -c %u:%a /anonymous; touch /anonymous/x; echo $?", "0:755\n0"),
    (
        ("-v", "/etc:/host:ro"),
        "cat /host/hostname >/dev/null; touch /host/x 2>&1; true",
        "touch: /host/x: Read-only file system",
    ),
    (("-v", "kept:/bin"), "test -x /bin/busybox; echo $?", "0"),
    (("--tmpfs", "/t:size=1m,mode=700"), "grep ' /t ' /proc/mounts | cut -d ' ' -f 3-4; stat -c %a /t", None),
    (("--read-only",), "touch /x 2>&1; touch /dev/shm/x && echo shm", "touch: /x: Read-only file system\nshm"),
    (("--read-only", "-v", "/rw", "--tmpfs", "/t"), "touch /rw/x /t/x && echo both", "both"),
    # its command
    (("--entrypoint", "/bin/sh"), None, "-c"),
    (("-t",), "tty", "/dev/pts/0\r"),
    (("-t",), "echo $TERM", "xterm\r"),
]
TMPFS = "tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k,mode=700\n700"


@pytest.mark.parametrize(("flags", "script", "shown"), INSIDE)
def test_inside(runtime: Runtime, flags: tuple[str, ...], script: str | None, shown: str | None) -> None:
    words = ("-c", "echo $0", "-c") if script is None else ("sh", "-c", script)
    out = runtime.once(*flags, words=words).removesuffix("\n")
    assert out == (TMPFS if shown is None else shown)


def ends(runtime: Runtime, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of any `pynet`."""
    try:
        return 0, runtime(*arguments), ""
    except CommandFailed as failure:
        return failure.status, failure.stdout, failure.stderr


@pytest.mark.parametrize(
    ("words", "status", "out", "told"),
    [
        (("sh", "-c", "exit 300"), 44, "", ""),
        (("sh", "-c", "kill -9 $$; exit 4"), 4, "", ""),  # pid 1 takes no such signal from its own
        (("sh", "-c", "echo out; echo err >&2; exit 3"), 3, "out\n", "err\n"),
        (("/etc/passwd",), 126, "", "permission denied"),
        (("/etc",), 126, "", "/etc"),
        (("nosuch",), 127, "", "executable file not found in $PATH"),
        (("",), 127, "", "executable file not found in $PATH"),
    ],
)
def test_exit_statuses(runtime: Runtime, words: tuple[str, ...], status: int, out: str, told: str) -> None:
    found = ends(runtime, "run", "--rm", IMAGE, *words)
    assert found[:2] == (status, out)
    assert told in found[2]
    assert runtime("ps", "-aq") == ""


MISTAKES = [
    (("--memory", "64q"), "--memory '64q'"),
    (("--memory", "1m"), "Minimum memory limit allowed is 6MB"),
    (("--memory-swap", "10m"), "You should always set the Memory limit when using Memoryswap limit"),
    (("--memory", "64m", "--memory-swap", "10m"), "Minimum memoryswap limit should be larger than memory limit"),
    (
        ("--memory", "64m", "--memory-reservation", "128m"),
        "Minimum memory limit can not be less than memory reservation",
    ),
    (("--cpus", "x"), "--cpus 'x'"),
    (("--cpus", "100000"), "Range of CPUs is from 0.01 to "),
    (("--cpuset-cpus", "x"), "Invalid value x for cpuset cpus"),
    (("--cpuset-cpus", "4000"), "Requested CPUs are not available"),
    (("--cpu-shares", "x"), "--cpu-shares 'x'"),
    (("--pids-limit", "x"), "--pids-limit 'x'"),
    (("--ulimit", "nofoo=3"), "invalid ulimit type: nofoo"),
    (("--ulimit", "nofile=300:200"), "--ulimit 'nofile=300:200'"),
    (("--oom-score-adj", "5000"), "Invalid value 5000, range for oom score adj is [-1000, 1000]"),
    (("--shm-size", "x"), "--shm-size 'x'"),
    (("--cap-add", "NONSENSE"), 'invalid CapAdd: unknown capability: "CAP_NONSENSE"'),
    (("--cap-drop", "NONSENSE"), 'invalid CapDrop: unknown capability: "CAP_NONSENSE"'),
    (("--security-opt", "foo=bar"), 'invalid --security-opt 2: "foo=bar"'),
    (("--security-opt", "seccomp=/nonexistent"), "seccomp=/nonexistent"),
    (("--sysctl", "vm.swappiness=1"), "sysctl 'vm.swappiness=1' is not allowed"),
    (("--uts", "foo"), "UTS mode"),
    (("--user", "nosuch"), "unable to find user nosuch: no matching entries in passwd file"),
    (("--user", "nobody:nosuch"), "unable to find group nosuch: no matching entries in group file"),
    (("--group-add", "nosuch"), "nable to find group nosuch"),
    (("--workdir", "relative"), "working directory 'relative' is invalid, it needs to be an absolute path"),
    (("--env", "=x"), "=x"),
    (("--env-file", "/nonexistent"), "/nonexistent: no such file or directory"),
    (("--label-file", "/nonexistent"), "/nonexistent: no such file or directory"),
    (("--label", "=x"), "=x"),
    (("--entrypoint", "/nonexistent"), "no such file or directory"),
    (("--stop-signal", "FOO"), "Invalid signal: FOO"),
    (("--stop-timeout", "x"), "--stop-timeout 'x'"),
    (("--restart", "x"), "--restart 'x'"),
    (("--restart", "always:3"), "always"),
    (("--pull", "x"), "'x'"),
    (("--platform", "linux/s390x"), "linux/s390x"),
    (("--attach", "nonsense"), "nonsense"),
    (("--detach", "--attach", "stdout"), "--attach and --detach"),
    (("--cidfile", "/etc"), "--cidfile /etc"),
    (("--name", "a b"), "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    (("--volume", "/etc:relative"), "/etc:relative"),
    (("--volume", "/etc:/"), "/etc:/"),
    (("--volume", "/etc:/x:foo"), "invalid mode: foo"),
    (("--volume", "bad!name:/x"), '"bad!name" includes invalid characters for a local volume name'),
    (("--mount", "foo=bar"), "foo"),
    (("--mount", "type=bind,source=/nonexistent,target=/x"), "bind source path does not exist: /nonexistent"),
    (("--mount", "type=foo,target=/x"), 'invalid mount config for type "foo": mount type unknown'),
    (("--tmpfs", "/t:foo=bar"), "invalid tmpfs option"),
    (("--publish", "localhost:80:80"), "invalid IP address: localhost"),
    (("--publish", "70000:80"), "70000"),
    (("--publish", "80/foo"), "foo"),
    (("--expose", "80-70"), "80-70"),
    (("--nonsense",), "unknown flag --nonsense"),
]


@pytest.mark.parametrize(("flags", "told"), MISTAKES)
def test_a_mistake_is_named_and_leaves_nothing(runtime: Runtime, flags: tuple[str, ...], told: str) -> None:
    others = () if {"--detach", "--restart"} & {*flags} else ("--rm",)
    status, out, err = ends(runtime, "run", *others, *flags, IMAGE, "true")
    # what docker finds out when it executes is 127
    assert (status, out) == (127 if flags[0] == "--entrypoint" else 125, "")
    assert told in err and err.startswith("pynet: ") and "Traceback" not in err
    assert runtime("ps", "-aq") == ""


def test_a_life_in_the_background(runtime: Runtime) -> None:
    """Each line as docker says it, and its exit status."""
    script = "trap 'echo asked; exit 5' TERM; trap 'echo hup' HUP; echo one; echo two >&2; while :; do sleep 0.05; done"
    runtime.start("life", words=("sh", "-c", script))
    wait_until(lambda: runtime("logs", "life") == "one\n", "the first line")
    assert ends(runtime, "start", "life") == (0, "life\n", "")
    assert ends(runtime, "kill", "-s", "HUP", "life") == (0, "life\n", "")
    wait_until(lambda: runtime("logs", "--tail", "1", "life") == "hup\n", "the trap")
    assert ends(runtime, "kill", "-s", "FOO", "life")[0] == 1
    assert ends(runtime, "container", "pause", "life") == (0, "life\n", "")
    assert runtime("ps", "--format", "{{.Status}}").endswith("(Paused)\n")
    assert "is paused, unpause the container before exec" in ends(runtime, "exec", "life", "true")[2]
    assert ends(runtime, "container", "unpause", "life") == (0, "life\n", "")
    assert "is not paused" in ends(runtime, "container", "unpause", "life")[2]
    assert ends(runtime, "container", "rm", "life")[0] == 1
    assert ends(runtime, "stop", "life") == (0, "life\n", "")
    assert ends(runtime, "wait", "life") == (0, "5\n", "")
    assert ends(runtime, "stop", "life") == (0, "life\n", "")
    assert "is not running" in ends(runtime, "kill", "life")[2]
    assert "is not running" in ends(runtime, "exec", "life", "true")[2]
    assert runtime("logs", "life") == "one\nhup\nasked\n"
    assert ends(runtime, "container", "rename", "life", "after") == (0, "", "")
    assert ends(runtime, "logs", "life") == (1, "", "pynet: No such container: life\n")
    assert ends(runtime, "container", "rm", "after", "life") == (1, "after\n", "pynet: No such container: life\n")


def test_exec(runtime: Runtime) -> None:
    runtime.start("busy", "-u", "nobody", "-w", "/tmp", "-e", "A=1")
    for flags, script, status, out in (
        ((), "id -un; pwd; echo $A", 0, "nobody\n/tmp\n1\n"),
        (("-u", "root", "-w", "/etc", "-e", "A=2"), "id -un; pwd; echo $A", 0, "root\n/etc\n2\n"),
        ((), "exit 17", 17, ""),
        ((), "kill -9 $$", 137, ""),
        (("-u", "0"), "grep CapEff /proc/self/status | cut -f 2", 0, f"{DEFAULT_CAPABILITIES}\n"),
        (("-t",), "test -t 0 && test -t 1 && echo both", 0, "both\r\n"),
    ):
        assert ends(runtime, "exec", *flags, "busy", "sh", "-c", script)[:2] == (status, out)
    for words, status in ((("nosuch",), 127), (("/etc/passwd",), 126)):
        assert ends(runtime, "exec", "busy", *words)[0] == status
    assert ends(runtime, "exec", "-d", "busy", "true") == (0, "", "")


def test_lists_filter_as_docker_does(runtime: Runtime) -> None:
    runtime.start("one", "-p", "8123:80", "--expose", "99", "--label", "team=a")
    runtime("run", "--name", "two", "-p", "8124:80", IMAGE, "true")
    for words, names in (
        ((), ["one"]),
        (("-a",), ["two", "one"]),
        (("-l",), ["two"]),
        (("-n", "1"), ["two"]),
        (("-a", "-f", "name=on"), ["one"]),
        (("-a", "-f", "status=exited"), ["two"]),
        (("-a", "-f", "exited=0"), ["two"]),
        (("-a", "-f", "label=team=a"), ["one"]),
        (("-a", "-f", "ancestor=local/busybox:test"), ["two", "one"]),
        (("-a", "-f", "before=two"), ["one"]),
        (("-a", "-f", "since=one"), ["two"]),
        (("-a", "-f", "network=bridge"), ["two", "one"]),
        (("-a", "-f", "publish=8123"), ["one"]),
        (("-a", "-f", "publish=8120-8130/tcp"), ["one"]),
        (("-a", "-f", "publish=80"), []),
        (("-a", "-f", "expose=99"), ["one"]),
        (("-a", "-f", "expose=8123"), []),
    ):
        assert runtime("ps", "--format", "{{.Names}}", *words).split() == names, words
    assert ends(runtime, "ps", "-f", "colour=red")[0] == 1
