"""Reads gather when many come, and none is lost or kept waiting by it."""

import asyncio
import os
import sys
import time

import pytest

from benchkit.load import readiness
from benchkit.load.readiness import EpollReadiness, GatheringReadiness, LoopReadiness, make_readiness

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="epoll and timerfd are Linux's")


class Pipes:
    """Pipes that a readiness watches, and what was read from each."""

    def __init__(self, watched, count):
        self.pairs = [os.pipe() for _ in range(count)]
        self.seen = [b""] * count
        for number, (read, _) in enumerate(self.pairs):
            os.set_blocking(read, False)
            watched.add(read, lambda number=number: self._read(number))

    def _read(self, number):
        self.seen[number] += os.read(self.pairs[number][0], 4096)

    def close(self):
        for pair in self.pairs:
            for fd in pair:
                os.close(fd)


async def busy(pipes, seconds):
    """Writes to all pipes in turn, some 20,000 times a second; returns how much went into each."""
    written = [0] * len(pipes.pairs)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for number, (_, write) in enumerate(pipes.pairs):
            os.write(write, b"x")
            written[number] += 1
        await asyncio.sleep(0.001)
    return written


def test_many_reads_are_taken_together_and_none_is_lost():
    """Under a flood the readiness looks on a timer; every byte arrives, and after a lull it reads at once again."""

    async def scenario():
        loop = asyncio.get_running_loop()
        watched = GatheringReadiness(loop)
        pipes = Pipes(watched, 40)
        try:
            written = await busy(pipes, 0.5)
            assert watched._gathering
            await asyncio.sleep(0.05)
            assert [len(seen) for seen in pipes.seen] == written
            await asyncio.sleep(0.4)
            assert not watched._gathering
            os.write(pipes.pairs[3][1], b"last")
            await asyncio.sleep(0.05)
            assert pipes.seen[3].endswith(b"last")
        finally:
            watched.close()
            pipes.close()

    asyncio.run(scenario())


def test_few_reads_never_gather():
    """At a few hundred reads a second each is met when it comes."""

    async def scenario():
        watched = GatheringReadiness(asyncio.get_running_loop())
        pipes = Pipes(watched, 2)
        try:
            for _ in range(200):
                os.write(pipes.pairs[0][1], b"x")
                await asyncio.sleep(0.002)
                assert not watched._gathering
            assert len(pipes.seen[0]) == 200
        finally:
            watched.close()
            pipes.close()

    asyncio.run(scenario())


def test_a_watch_can_end_while_reads_gather():
    """Descriptors can be removed, and all of it closed, from within a callback in the flood."""

    async def scenario():
        loop = asyncio.get_running_loop()
        watched = GatheringReadiness(loop)
        pipes = Pipes(watched, 20)
        try:
            await busy(pipes, 0.2)
            watched.remove(pipes.pairs[0][0])
            before = len(pipes.seen[0])
            os.write(pipes.pairs[0][1], b"unread")
            watched.add(pipes.pairs[1][0], watched.close)
            os.write(pipes.pairs[1][1], b"close")
            await asyncio.sleep(0.05)
            assert len(pipes.seen[0]) == before
            assert watched._epoll.closed
        finally:
            watched.close()
            pipes.close()

    asyncio.run(scenario())


def test_only_kernel_times_let_reads_wait(monkeypatch):
    """Gathering needs the kernel's stamps, timerfd and epoll; without one of them each read is met at once."""

    async def kinds():
        loop = asyncio.get_running_loop()
        found = []
        for forced in ("", "kernel_times", "timerfd", "epoll"):
            monkeypatch.setenv("BENCHKIT_FALLBACKS", forced)
            made = make_readiness(loop, gather=True)
            found.append(type(made))
            made.close()
        monkeypatch.setenv("BENCHKIT_FALLBACKS", "")
        plain = make_readiness(loop)
        found.append(type(plain))
        plain.close()
        return found

    assert asyncio.run(kinds()) == [
        GatheringReadiness,
        EpollReadiness,
        EpollReadiness,
        LoopReadiness,
        EpollReadiness,
    ]
    assert readiness._GATHER_NS <= 1_000_000


@pytest.mark.parametrize("kind", [EpollReadiness, GatheringReadiness])
def test_what_is_due_does_not_wait_behind_reads(kind):
    """Between two reads of one look, what has fallen due is called, once for each time that it set."""
    order = []

    async def scenario():
        due = readiness.Due(lambda: (order.append("due"), setattr(due, "at_ns", readiness.Due.NEVER_NS)))
        watched = kind(asyncio.get_running_loop(), due)
        pairs = [os.pipe() for _ in range(3)]
        try:
            for number, (read, write) in enumerate(pairs):

                def reads(number=number, read=read):
                    os.read(read, 16)
                    order.append(number)
                    if number == 1:
                        due.at_ns = time.monotonic_ns()

                watched.add(read, reads)
                os.write(write, b"x")
            await asyncio.sleep(0.05)
        finally:
            watched.close()
            for pair in pairs:
                for fd in pair:
                    os.close(fd)

    asyncio.run(scenario())
    assert sorted(map(str, order)) == ["0", "1", "2", "due"]
    assert order[order.index(1) + 1] == "due"
