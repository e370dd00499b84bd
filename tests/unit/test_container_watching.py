"""Events, waiting for exits, timers and ended processes."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time

import pytest

from netd.failure import InvalidParameter
from netd.runtime.bus import KEPT, Events
from netd.runtime.monitor import Monitor
from netd.runtime.waits import NEXT_EXIT, NOT_RUNNING, REMOVED, Waits, check_condition


def test_events_reach_every_listener_in_order() -> None:
    clock = iter(range(1, 100))
    events = Events(clock=lambda: next(clock))
    woken: list[int] = []
    one, two = events.subscribe(notify=lambda: woken.append(1)), events.subscribe()
    events.publish("container", "start", "id", {"name": "web"})
    events.publish("network", "connect", "net")
    assert [event.action for event in one.take()] == ["start", "connect"]
    assert woken == [1, 1]
    first = two.get(0)
    assert first is not None
    assert (first.time_ns, first.type, first.actor_id, first.attributes) == (1, "container", "id", {"name": "web"})
    assert one.take() == []


def test_past_events_are_kept_for_those_who_ask_for_them() -> None:
    clock = iter(range(1, 3000))
    events = Events(clock=lambda: next(clock))
    for number in range(KEPT + 10):
        events.publish("container", str(number), "id")
    assert [event.action for event in events.subscribe(since_ns=KEPT + 9).take()] == [str(KEPT + 8), str(KEPT + 9)]
    assert len(events.subscribe(since_ns=0).take()) == KEPT
    assert events.subscribe().take() == []


def test_a_closed_subscription_wakes_who_waits_and_hears_no_more() -> None:
    events = Events()
    listener = events.subscribe()
    threading.Timer(0.01, listener.close).start()
    assert listener.get(10) is None
    events.publish("container", "start", "id")
    listener.close()
    assert listener.take() == []


def test_waiters_hear_the_exit_or_the_removal_they_wait_for() -> None:
    waits = Waits()
    exit_, removal = waits.add(NEXT_EXIT), waits.add(REMOVED)
    waits.exited(3)
    assert exit_.result(0) == 3
    assert not removal.done()
    later = waits.add(NOT_RUNNING)
    waits.removed(4)
    assert (removal.result(0), later.result(0)) == (4, 4)


def test_a_waiter_that_gave_up_disturbs_nobody() -> None:
    waits = Waits()
    gone, there = waits.add(NEXT_EXIT), waits.add(NEXT_EXIT)
    gone.cancel()
    waits.exited(1)
    assert there.result(0) == 1


def test_conditions_are_docker_s() -> None:
    assert check_condition("") == NOT_RUNNING
    with pytest.raises(InvalidParameter, match='invalid condition: "soon"'):
        check_condition("soon")


def test_the_end_of_a_process_is_told_once_also_when_it_came_before() -> None:
    monitor = Monitor()
    try:
        for early in (True, False):
            process = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
            pidfd = os.pidfd_open(process.pid)
            told = threading.Semaphore(0)
            if early:
                process.communicate()
            monitor.watch(pidfd, told.release)
            process.communicate()
            assert told.acquire(timeout=10)
            assert not told.acquire(blocking=False)
    finally:
        monitor.close()


def test_timers_come_in_their_order_unless_cancelled() -> None:
    monitor = Monitor()
    try:
        called: list[str] = []
        done = threading.Event()
        began = time.monotonic()
        monitor.call_later(0.05, done.set)
        monitor.call_later(0.02, lambda: called.append("second"))
        monitor.call_later(0.0, lambda: called.append("first"))
        monitor.call_later(0.01, lambda: called.append("never")).cancel()
        assert done.wait(10)
        assert time.monotonic() - began >= 0.05
        assert called == ["first", "second"]
    finally:
        monitor.close()


def fail() -> None:
    raise OSError("no more disks")


def test_a_callback_that_fails_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    monitor = Monitor()
    try:
        with caplog.at_level(logging.ERROR):
            monitor.submit(fail).result(10)
        assert "no more disks" in caplog.text
        done = threading.Event()
        monitor.submit(done.set)
        assert done.wait(10)
    finally:
        monitor.close()


def test_closing_forgets_what_is_watched_and_leaves_no_descriptor() -> None:
    before = set(os.listdir("/proc/self/fd"))
    monitor = Monitor()
    monitor.watch(os.pidfd_open(os.getpid()), lambda: None)
    monitor.call_later(1000, lambda: None)
    monitor.close()
    monitor.close()
    monitor.watch(os.pidfd_open(os.getpid()), lambda: None)
    monitor.call_later(0, lambda: None)
    assert set(os.listdir("/proc/self/fd")) == before


def test_what_comes_after_the_end_is_ignored() -> None:
    monitor = Monitor()
    monitor.close()
    called: list[int] = []
    assert monitor.submit(lambda: called.append(1)).done()
    monitor.call_later(0, lambda: called.append(2))
    assert called == []
