"""Containers under real conmon and runc: their input, output, terminals and logs."""

from __future__ import annotations

import os
import threading

from clean_house import house, script
from container_client import PATIENCE, await_output, receive, receive_all, receive_until, send_all
from container_house import House

__all__ = ["house"]


# streams


def test_input_goes_in_and_its_end_ends_the_process(house: House) -> None:
    made = house.create("cat", open_stdin=True, stdin_once=True)
    stream = house.attach(made.id, stdin=True)
    house.containers.start(made.id)
    data = os.urandom(300_000)
    sender = threading.Thread(target=lambda: (send_all(stream, data), stream.end_input()))
    sender.start()
    assert receive_all(stream)[1] == data
    sender.join()
    assert house.containers.wait(made.id).result(PATIENCE) == 0


def test_a_client_that_leaves_does_not_end_an_input_that_stays_open(house: House) -> None:
    made = house.create("cat", open_stdin=True)
    first = house.attach(made.id, stdin=True)
    house.containers.start(made.id)
    send_all(first, b"one\n")
    receive_until(first, b"one\n")
    first.close()
    second = house.attach(made.id, stdin=True)
    send_all(second, b"two\n")
    assert receive_until(second, b"two\n") == b"two\n"


def test_a_listener_that_leaves_does_not_end_another_s_input(house: House) -> None:
    made = house.create("cat", open_stdin=True, stdin_once=True)
    first = house.attach(made.id, stdin=True)
    house.containers.start(made.id)
    listener = house.attach(made.id)
    send_all(first, b"one\n")
    receive_until(listener, b"one\n")
    listener.close()
    send_all(first, b"two\n")
    receive_until(first, b"two\n")
    first.end_input()
    assert receive(first) is None


def test_a_terminal_is_one_stream_of_the_size_that_was_set(house: House) -> None:
    made = house.create("sh", tty=True, open_stdin=True, stdin_once=True, env=["PS1=> "])
    stream = house.attach(made.id, stdin=True)
    house.containers.start(made.id)
    receive_until(stream, b"> ")
    house.containers.resize(made.id, 33, 99)
    await_output(stream, b"stty size\n", b"33 99")
    send_all(stream, b"tty; echo err >&2; exit 9\n")
    rest = receive_all(stream)
    assert b"/dev/pts/0\r\n" in rest[1]
    assert b"err\r\n" in rest[1]
    assert rest[2] == b""
    assert house.containers.wait(made.id).result(PATIENCE) == 9


def test_one_can_leave_a_terminal_and_come_back(house: House) -> None:
    made = house.create("sh", tty=True, open_stdin=True, stdin_once=True, env=["PS1=> "])
    stream = house.attach(made.id, stdin=True)
    house.containers.start(made.id)
    receive_until(stream, b"> ")
    stream.close()
    again = house.attach(made.id, stdin=True)
    send_all(again, b"exit 8\n")
    receive_all(again)
    assert house.containers.wait(made.id).result(PATIENCE) == 8


def test_a_client_that_does_not_read_cannot_hold_up_the_end(house: House) -> None:
    made = house.create("cat", "/dev/zero")
    stream = house.attach(made.id)
    house.containers.start(made.id)
    stream.ready.result(PATIENCE)
    house.containers.kill(made.id)
    assert house.containers.wait(made.id).result(PATIENCE) == 137


# logs


def test_a_log_is_read_after_the_end_by_stream_tail_and_time(house: House) -> None:
    made = house.run(*script("for i in 1 2 3; do echo out$i; echo err$i >&2; done; printf rest"))
    house.containers.wait(made.id).result(PATIENCE)
    logs = house.containers.logs
    assert b"".join(data for _, data in logs(made.id, stderr=False)) == b"out1\nout2\nout3\nrest"
    assert b"".join(data for _, data in logs(made.id, stdout=False, tail=2)) == b"err2\nerr3\n"
    assert b"".join(data for _, data in logs(made.id, stderr=False, tail=1)) == b"rest"
    assert list(logs(made.id, tail=0)) == []
    stamped = b"".join(data for _, data in logs(made.id, stderr=False, tail=2, timestamps=True)).decode()
    assert [line.split(" ")[1] for line in stamped.splitlines()] == ["out3", "rest"]
    assert all(line.split(" ")[0].endswith("Z") for line in stamped.splitlines())


def test_following_ends_with_the_container_and_has_everything(house: House) -> None:
    made = house.run(
        *script("echo first; read line; i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done"), open_stdin=True
    )
    seen: list[bytes] = []
    reader = house.containers.logs(made.id, follow=True)
    thread = threading.Thread(target=lambda: seen.extend(data for _, data in reader))
    thread.start()
    send_all(house.attach(made.id, stdin=True), b"go\n")
    thread.join(PATIENCE)
    assert b"".join(seen) == b"first\n" + b"".join(b"%d\n" % number for number in range(2000))


def test_the_log_of_a_container_that_never_ran_is_empty_and_over(house: House) -> None:
    assert list(house.containers.logs(house.create("true").id, follow=True)) == []
