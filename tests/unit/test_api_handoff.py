"""From a thread to the loop: in order, bounded, to the end, and until the loop has had enough."""

from __future__ import annotations

import asyncio
import threading

from netd.api.handoff import Closed, Handoff

LIMIT = 20.0


def test_everything_arrives_in_order_and_then_the_end() -> None:
    async def main() -> list[int]:
        handoff: Handoff[int] = Handoff(limit=3)

        def work() -> None:
            for number in range(1000):
                handoff.put(number)
            handoff.end()

        thread = threading.Thread(target=work)
        thread.start()
        taken: list[int] = []
        while more := await asyncio.wait_for(handoff.take(), LIMIT):
            assert len(more) <= 3
            taken += more
        assert await asyncio.wait_for(handoff.take(), LIMIT) == []
        thread.join(LIMIT)
        return taken

    assert asyncio.run(main()) == list(range(1000))


def test_the_thread_waits_when_too_much_waits_and_ends_when_closed() -> None:
    async def main() -> None:
        handoff: Handoff[bytes] = Handoff(limit=100, weigh=len)
        put: list[int] = []
        ended = threading.Event()

        def work() -> None:
            try:
                while True:
                    handoff.put(b"x" * 60)
                    put.append(60)
            except Closed:
                ended.set()

        thread = threading.Thread(target=work)
        thread.start()
        assert await asyncio.wait_for(handoff.take(), LIMIT)
        assert not ended.is_set()
        handoff.close()
        thread.join(LIMIT)
        assert ended.is_set()
        # what was taken, and twice what may wait
        assert sum(put) <= 3 * 120

    asyncio.run(main())


def test_nothing_at_all() -> None:
    async def main() -> list[int]:
        handoff: Handoff[int] = Handoff()
        handoff.end()
        return await asyncio.wait_for(handoff.take(), LIMIT)

    assert asyncio.run(main()) == []
