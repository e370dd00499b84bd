"""`pynet run` and its kin on the real runtime: exit statuses, mistakes, streams, files, signals, a container's life."""

from __future__ import annotations

import json
import signal

import pytest
from cli_process import LIMIT
from pynet_runtime import IMAGE, RuntimeSandbox, host, machine, state

__all__ = ["host", "machine"]


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("true", 0),
        ("false", 1),
        ("sh -c 'exit 42'", 42),
        ("sh -c 'sleep 600 & kill $!; wait $!'", 143),
        ("/no/such/file", 127),
        ("nosuch", 127),
        ("/etc/passwd", 126),
    ],
)
def test_exit_statuses(host: RuntimeSandbox, command: str, status: int) -> None:
    done = host.run(f"pynet run --rm --network none {IMAGE} {command}")
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("pynet: ") == (status in (126, 127))
    assert host.ok("pynet ps -aq") == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--memory 1x", "--memory '1x'"),
        ("--network nope", "nope"),
        ("--network mynet --ip 10.72.0.1", "10.72.0.1"),
        ("--network-alias x", "alias"),
        ("--network container:absent", "absent"),
        ("-p 80:81:82:83", "-p 80:81:82:83"),
        ("--name 'not good'", "not good"),
        ("--cap-add NONSENSE", "NONSENSE"),
        ("--ulimit nonsense=1", "nonsense"),
        ("--user nobodyatall", "nobodyatall"),
        ("-v /absent/a:/b:nonsense", "nonsense"),
        ("--platform linux/arm64", "--platform"),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing(host: RuntimeSandbox, words: str, message: str) -> None:
    done = host.run(f"pynet run --rm {words} {IMAGE} true")
    assert done.returncode == 125, done
    assert done.stderr.startswith("pynet: ") and message in done.stderr
    assert host.ok("pynet ps -aq") == ""


def test_streams_are_kept_apart(host: RuntimeSandbox) -> None:
    done = host.run(f"pynet run --rm --network none {IMAGE} sh -c 'echo out; echo err >&2'")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    host.ok(f"pynet run -d --name talk --network none {IMAGE} sh -c 'echo out; echo err >&2; sleep 600'")
    host.until("pynet logs talk 2>/dev/null | grep -q out")
    done = host.run("pynet logs talk")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    done = host.run("pynet exec talk sh -c 'echo out; echo err >&2; exit 5'")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 5)


def test_pipes_carry_every_byte_and_the_end(host: RuntimeSandbox) -> None:
    text = bytes(range(256)) * 8192
    for command in (f"run -i --rm --network none {IMAGE} sh -c 'cat; echo end'", "exec -i still sh -c 'cat; echo end'"):
        if command.startswith("exec"):
            host.ok(f"pynet run -d --name still --network none {IMAGE}")
        process = host.process(f"pynet {command}")
        out, err = process.communicate(text, timeout=LIMIT)
        assert (process.returncode, err) == (0, b"")
        assert out == text + b"end\n"


def test_environment_directory_user(host: RuntimeSandbox) -> None:
    host.ok("printf 'A=file\\nB=file\\n' >/run/env")
    words = "-e A=flag --env-file /run/env -e HERE -w /tmp -u nobody -h web --network none"
    out = host.ok(f"HERE=there pynet run --rm {words} {IMAGE} sh -c 'echo $A $B $HERE; pwd; id -un; hostname'")
    assert out.splitlines() == ["flag file there", "/tmp", "nobody", "web"]


def test_files(host: RuntimeSandbox) -> None:
    host.ok("mkdir -p /run/shared && echo hello >/run/shared/file")
    words = "--rm --network none -v /run/shared:/a:ro --mount type=bind,src=/run/shared,dst=/b --tmpfs /t:size=1m"
    script = "cat /a/file; touch /a/x 2>/dev/null || echo read-only; touch /b/made; grep -c ' /t tmpfs' /proc/mounts"
    assert host.ok(f'pynet run {words} {IMAGE} sh -c "{script}"').splitlines() == ["hello", "read-only", "1"]
    assert "made" in host.ok("ls /run/shared")
    done = host.run(f"pynet run --rm --network none --read-only {IMAGE} touch /x")
    assert done.returncode == 1 and "Read-only file system" in done.stderr


def test_signals_reach_the_process(host: RuntimeSandbox) -> None:
    script = 'trap "echo usr1" USR1; trap "echo term; exit 9" TERM; echo ready; while :; do sleep 1 & wait; done'
    process = host.process(f"pynet run --rm --network none {IMAGE} sh -c '{script}'")
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == b"usr1\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=LIMIT)
    assert (out, err, process.returncode) == (b"term\n", b"", 9)


def test_a_containers_life(host: RuntimeSandbox) -> None:
    assert host.ok(f"pynet container create --name web --network none {IMAGE} sleep 600") == host.ok(
        "pynet ps -aq --no-trunc"
    )
    assert state(host, "web", "State.Status") == "created"
    for command, said, status in (
        ("pynet start web", "web\n", "running"),
        ("pynet container pause web", "web\n", "paused"),
        ("pynet container unpause web", "web\n", "running"),
        ("pynet container rename web www", "", "running"),
    ):
        assert host.ok(command) == said
        assert state(host, "www" if "rename" in command else "web", "State.Status") == status
    assert "sleep 600" in host.ok("pynet container top www")
    waiting = host.process("pynet wait www")
    assert host.ok("pynet kill -s KILL www") == "www\n"
    assert waiting.communicate(timeout=LIMIT)[0] == b"137\n"
    assert host.ok("pynet restart -t 0 www") == "www\n"
    assert host.ok("pynet stop -t 0 www") == "www\n"
    assert host.ok("pynet container prune -f").startswith("Deleted Containers:\n")
    done = host.run("pynet container rm www")
    assert (done.returncode, done.stderr) == (1, "pynet: No such container: www\n")
    assert host.run("pynet container rm -f www").returncode == 0


def test_logs_followed_to_the_end(host: RuntimeSandbox) -> None:
    host.ok(
        f"pynet run -d --name talk --network none {IMAGE} sh -c 'for i in 1 2 3; do echo $i; done; read x </dev/zero'"
    )
    following = host.process("pynet logs -f talk")
    assert following.stdout is not None
    assert [following.stdout.readline() for _ in range(3)] == [b"1\n", b"2\n", b"3\n"]
    host.ok("pynet container rm -f talk")
    assert following.communicate(timeout=LIMIT) == (b"", b"") and following.returncode == 0
    host.ok(f"pynet run --name talk --network none {IMAGE} sh -c 'for i in 1 2 3; do echo $i; done'")
    assert host.ok("pynet logs --tail 2 talk") == "2\n3\n"
    assert host.ok("pynet logs --since 10m --tail all talk") == "1\n2\n3\n"
    assert host.ok("pynet logs --until 2001-01-01 talk") == ""
    stamped = host.ok("pynet logs -t talk").split()
    assert stamped[1::2] == ["1", "2", "3"] and stamped[0].endswith("Z")


def test_figures_limits_and_history(host: RuntimeSandbox) -> None:
    host.ok(f"pynet run -d --name web -m 64m {IMAGE} sh -c 'while :; do :; done'")
    host.ok(f"pynet container create --name made {IMAGE}")
    try:
        (shown,) = host.ok("pynet container stats --no-stream --format json").splitlines()
        row = json.loads(shown)
        assert row["Name"] == "web" and float(row["CPUPerc"].rstrip("%")) > 20 and row["PIDs"] == "1"
        assert row["MemUsage"].endswith(" / 64MiB")
        heading, *lines = host.ok("pynet container stats --no-stream --all").splitlines()
        assert heading.split()[:2] == ["CONTAINER", "ID"] and len(lines) == 2 and any("--" in line for line in lines)
        assert "No such container: nobody" in host.run("pynet container stats --no-stream nobody").stderr

        assert host.ok("pynet container update -m 100m --pids-limit 7 --restart always web") == "web\n"
        limits = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}"
        assert host.ok(f"pynet container inspect -f '{limits}' web") == f"{100 << 20} 7 always\n"
        assert host.ok("pynet container stats --no-stream --format '{{.MemUsage}}' web").endswith(" / 100MiB\n")
        assert "one or more flags" in host.run("pynet container update web").stderr
        assert "Minimum memory limit" in host.run("pynet container update -m 1m web").stderr

        heading, _ = host.ok(f"pynet image history {IMAGE}").splitlines()
        assert heading.split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
        assert host.ok(f"pynet image history -q --no-trunc {IMAGE}") == host.ok(
            f"pynet image inspect -f '{{{{.Id}}}}' {IMAGE}"
        )
        for command in ("load -i /etc/passwd", "import /etc/passwd"):
            assert host.run(f"pynet image {command}").stderr.startswith("pynet: /etc/passwd: ")
        host.ok("cd / && mkdir -p /run/empty && tar -C /run/empty -c . | pynet image import -")
        removed = host.ok("pynet image prune -f").splitlines()
        assert removed[0].startswith("Deleted: sha256:") and removed[-1].startswith("Total reclaimed space: ")
        assert host.ok("echo n | pynet image prune").splitlines()[-1].startswith("Are you sure?")
    finally:
        host.ok("pynet container rm -f web made")


def test_files_are_copied_out_and_in(host: RuntimeSandbox) -> None:
    """Docker's rules of what becomes of source and target, and of owners."""
    host.ok(f"pynet run -d --name web {IMAGE}")
    try:
        host.ok("pynet exec web sh -c 'mkdir -p /a/b && echo one >/a/one && echo two >/a/b/two && ln -s one /a/link'")
        host.ok("pynet exec web chown 12:34 /a/one")
        host.ok("mkdir /run/out")
        host.ok(
            "pynet cp web:/a /run/out && pynet cp web:/a /run/out/new && pynet container cp web:/a/. /run/out/inner"
        )
        for place in ("a", "new", "inner"):
            assert host.ok(f"cd /run/out/{place} && cat link b/two && stat -c %u:%g one") == "one\ntwo\n0:0\n"
        host.ok("pynet cp -a web:/a/one /run/out/kept && pynet cp -L web:/a/link /run/out/followed")
        assert host.ok("stat -c '%F %u:%g' /run/out/kept /run/out/followed") == "regular file 12:34\nregular file 0:0\n"
        host.ok("pynet cp web:/a/link /run/out/")
        assert host.ok("readlink /run/out/link") == "one\n"
        assert host.ok("pynet cp web:/a/b - | tar -t") == "b/\nb/two\n"
        assert "bin" in host.ok("pynet cp web:/ - | tar -t --exclude '*proc/*' --exclude '*sys/*' | head -n 40 || true")

        host.ok(
            "cd /run/out && chown 56:78 a/one && pynet cp a web:/tmp && pynet cp a web:/copy && pynet cp a/. web:/srv"
        )
        for place in ("/tmp/a", "/copy", "/srv"):
            shown = host.ok(f"pynet exec web sh -c 'cd {place} && cat link b/two && stat -c %u:%g one'")
            assert shown == "one\ntwo\n0:0\n"
        host.ok("cd /run/out && pynet cp a/one web:/renamed && tar -c a/one | pynet cp - web:/root && ln -s a/one soft")
        host.ok("cd /run/out && pynet cp soft web:/soft && pynet cp -L soft web:/hard")
        assert (
            host.ok("pynet exec web sh -c 'cat /renamed /root/a/one /hard; readlink /soft'") == "one\n" * 3 + "a/one\n"
        )
        # a target that is a link in the container leads on within it
        host.ok("pynet exec web ln -s /srv /link-to-srv && cd /run/out && pynet cp a/b/two web:/link-to-srv")
        assert host.ok("pynet exec web cat /srv/two") == "two\n"
        for words, text in (
            ("web:/none /run/out", "Could not find the file /none in container web"),
            ("/run/none web:/", "/run/none: no such file or directory"),
            ("/run/out web:/renamed", "/run/out is a directory, and /renamed is none"),
            ("/run/out/kept web:/nowhere/", "the destination directory must exist"),
            ("web:/a /run/out/kept", "/a is a directory, and /run/out/kept is none"),
            ("/run/out /run/other", "exactly one of SOURCE and TARGET must be CONTAINER:PATH"),
            ("nobody:/etc /run/out", "No such container: nobody"),
            ("/run/out nobody:/etc", "No such container: nobody"),
        ):
            done = host.run(f"pynet cp {words}")
            assert done.returncode == 1 and text in done.stderr, done
    finally:
        host.ok("pynet container rm -f web")
        host.ok("rm -rf /run/out")


def test_an_image_is_imported_tagged_and_removed(host: RuntimeSandbox) -> None:
    host.ok("mkdir -p /run/rootfs/bin && cp /bin/busybox /run/rootfs/bin/sh")
    out = host.ok('tar -C /run/rootfs -c . | pynet image import -c \'CMD ["/bin/sh", "-c", "echo made"]\' - mine:1')
    assert out.startswith("sha256:")
    assert host.ok("pynet run --rm --network none mine:1") == "made\n"
    host.ok("pynet image tag mine:1 example.org/mine")
    assert "example.org/mine   latest" in host.ok("pynet image ls")
    assert host.ok("pynet image rm example.org/mine:latest") == "Untagged: example.org/mine:latest\n"
    assert "Deleted: sha256:" in host.ok("pynet image rm mine:1")
    done = host.run("pynet run --rm --pull never mine:1")
    assert (done.returncode, done.stderr) == (125, "pynet: No such image: mine:1\n")


def test_a_pull_that_cannot_work_names_the_image(host: RuntimeSandbox) -> None:
    done = host.run("pynet run --rm 127.0.0.1:9/absent:1")
    assert done.returncode == 125
    assert done.stderr.startswith("image 127.0.0.1:9/absent:1 is not here yet: pulling it\n")
    assert "127.0.0.1:9" in done.stderr.splitlines()[-1] and done.stderr.count("\npynet: ") == 1
