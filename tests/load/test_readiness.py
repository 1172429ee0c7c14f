"""Both ways to watch descriptors call who should be called, and nobody else."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from benchkit.load.readiness import EpollReadiness, LoopReadiness, make_readiness


@pytest.fixture
def pipes() -> Iterator[list[tuple[int, int]]]:
    """Three hundred pipes: more than are looked at in one go."""
    made = [os.pipe() for _ in range(300)]
    yield made
    for ends in made:
        for fd in ends:
            os.close(fd)


@pytest.fixture(params=[EpollReadiness, LoopReadiness])
def kind(request):
    """Both implementations."""
    return request.param


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0.001)


def test_all_that_are_ready_are_called(run, pipes, kind):
    """However many are ready at once, each is called, those that are not ready are not."""

    async def scenario():
        readiness = kind(asyncio.get_running_loop())
        seen = []
        for reader, _ in pipes:
            readiness.add(reader, lambda fd=reader: seen.append(os.read(fd, 10) and fd))
        await turns(2)
        assert not seen
        for _, writer in pipes[:-1]:
            os.write(writer, b"x")
        await turns()
        assert sorted(seen) == sorted(reader for reader, _ in pipes[:-1])
        readiness.close()

    run(scenario())


def test_unread_data_calls_again(run, pipes, kind):
    """Who reads only a part is called again, without anything new."""

    async def scenario():
        readiness = kind(asyncio.get_running_loop())
        reader, writer = pipes[0]
        seen = []
        readiness.add(reader, lambda: seen.append(os.read(reader, 1)))
        os.write(writer, b"abc")
        await turns()
        assert seen == [b"a", b"b", b"c"]
        readiness.close()

    run(scenario())


def test_adding_again_changes_who_is_called(run, pipes, kind):
    """The last callback counts."""

    async def scenario():
        readiness = kind(asyncio.get_running_loop())
        reader, writer = pipes[0]
        seen = []
        readiness.add(reader, lambda: seen.append("old"))
        readiness.add(reader, lambda: seen.append(os.read(reader, 9)))
        os.write(writer, b"x")
        await turns()
        assert seen == [b"x"]
        readiness.close()

    run(scenario())


def test_a_callback_may_remove_others(run, pipes, kind):
    """Who is removed while it waits for its turn is not called; who is removed and added again is."""

    async def scenario():
        readiness = kind(asyncio.get_running_loop())
        seen = []

        def only_me(fd: int) -> None:
            seen.append(fd)
            for reader, _ in pipes[:5]:
                readiness.remove(reader)

        for reader, writer in pipes[:5]:
            readiness.add(reader, lambda fd=reader: only_me(fd))
            os.write(writer, b"x")
        await turns()
        assert len(seen) == 1
        readiness.add(pipes[0][0], lambda: seen.append(os.read(pipes[0][0], 9)))
        await turns()
        assert seen[1:] == [b"x"]
        readiness.close()

    run(scenario())


def test_a_fault_of_one_does_not_silence_the_rest(on_asyncio, pipes, kind):
    """An exception goes to the loop's handler; the others are called."""
    seen, faults = [], []

    async def scenario():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
        readiness = kind(loop)

        def fail() -> None:
            os.read(pipes[0][0], 9)
            raise KeyError("mine")

        readiness.add(pipes[0][0], fail)
        for reader, _ in pipes[1:4]:
            readiness.add(reader, lambda fd=reader: seen.append(os.read(fd, 9)))
        for _, writer in pipes[:4]:
            os.write(writer, b"x")
        await turns()
        readiness.close()

    on_asyncio(scenario())
    assert seen == [b"x"] * 3
    assert [type(fault) for fault in faults] == [KeyError]


def test_it_may_be_closed_at_any_time(run, pipes, kind):
    """Closing twice, removing what is unknown or already gone, and closing after the loop are no errors."""

    async def scenario():
        readiness = kind(asyncio.get_running_loop())
        readiness.add(pipes[0][0], lambda: None)
        readiness.remove(pipes[1][0])
        readiness.remove(-1)
        return readiness

    readiness = run(scenario())
    readiness.close()
    readiness.remove(pipes[0][0])
    readiness.close()


def test_the_cheapest_is_taken(on_asyncio, monkeypatch):
    """An epoll of ours, unless it is switched off."""

    async def name() -> str:
        readiness = make_readiness(asyncio.get_running_loop())
        readiness.close()
        return readiness.name

    assert on_asyncio(name()) == "epoll"
    monkeypatch.setenv("BENCHKIT_FALLBACKS", "epoll")
    assert on_asyncio(name()) == "loop"
