"""The paced server: its pace, its log, and answers that benchkit's own client can read."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from benchkit.errors import TargetError
from benchkit.serving import paced
from benchkit.serving.paced import log as paced_log
from benchkit.serving.paced import pace
from benchkit.serving.paced.pace import Fixed, InTurn, Stage

MS = 1_000_000


class Stream:
    """Takes note of when it was sent to; ends after so many tokens."""

    def __init__(self, clock, arrived_ns, tokens, sent):
        self.arrived_ns, self._clock, self._left, self._sent = arrived_ns, clock, tokens, sent

    def send(self, due_ns):
        """One token."""
        self._left -= 1
        self._sent.append((self, due_ns))
        return self._left > 0


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets, in a list of one."""
    now = [0]
    monkeypatch.setattr(pace, "_clock", lambda: now[0])
    return now


def drive(made, clock, until_ns, step_ns=MS):
    """Runs a pace as a timer would that wakes up each millisecond."""
    while clock[0] < until_ns:
        clock[0] += step_ns
        made.run()


def test_streams_take_turns_at_the_asked_pace(clock):
    """Each stage brings its tokens/s, one stream after the other; what was due and when is exact."""
    made, sent = InTurn([Stage(1000, 1.0), Stage(4000, 1.0)], 0.5, bursts=False), []
    streams = [Stream(clock, 0, 10**9, sent) for _ in range(4)]
    for stream in streams:
        made.add(stream)
    drive(made, clock, 2_500 * MS)
    assert made.begun_ns == [500 * MS, 1_500 * MS]
    due = np.array([due for _, due in sent])
    counts = [np.count_nonzero((due >= begin) & (due < begin + 1_000 * MS)) for begin in made.begun_ns]
    assert counts == pytest.approx([1000, 4000], rel=0.01)
    assert [stream for stream, _ in sent[:8]] == streams * 2
    assert np.all(np.diff(due) >= 0)


def test_bursts_reach_all_streams_at_once(clock):
    """In bursts every stream is due at the same time, as often as the pace allows."""
    made, sent = InTurn([Stage(1000, 1.0)], 0.0, bursts=True), []
    for _ in range(10):
        made.add(Stream(clock, 0, 10**9, sent))
    drive(made, clock, 100 * MS)
    due = [due for _, due in sent]
    assert {due.count(time) for time in set(due)} == {10}
    assert np.diff(sorted(set(due))) == pytest.approx([10 * MS] * (len(set(due)) - 1))


def test_a_stage_does_not_pay_for_the_one_before(clock):
    """Tokens that a stage could not send are dropped, not crowded into the next one."""
    made, sent = InTurn([Stage(10**6, 1.0), Stage(1000, 1.0)], 0.0, bursts=False), []
    made.add(Stream(clock, 0, 10**9, sent))
    drive(made, clock, 2_000 * MS, step_ns=10 * MS)
    due = np.array([due for _, due in sent])
    assert np.count_nonzero(due < 1_000 * MS) < 10**6
    assert np.count_nonzero(due >= 1_000 * MS) == pytest.approx(1000, rel=0.02)


def test_fixed_times_count_from_each_arrival(clock):
    """First tokens and gaps lie where they were promised, whatever else is under way."""
    made, sent = Fixed(20, 5), []
    for arrived in (0, 3 * MS):
        made.add(Stream(clock, arrived, 3, sent))
    drive(made, clock, 50 * MS)
    assert sorted(due // MS for _, due in sent) == [20, 23, 25, 28, 30, 33]
    assert made.next_ns() is None


@pytest.fixture(scope="module")
def server():
    """20 ms to the first token, then one every 2 ms."""
    with paced.start_fixed(ttft_ms=20, gap_ms=2, answer_tokens=8) as started:
        yield started


def _ask(server, name, **body):
    endpoint = body.pop("endpoint", "completions")
    with httpx.stream(
        "POST",
        f"{server.url}/v1/{endpoint}",
        json={"model": paced.MODEL, "prompt": [1], "stream": True} | body,
        headers={"x-request-id": name},
        trust_env=False,
    ) as answer:
        return [line.removeprefix("data: ") for line in answer.iter_lines() if line]


@pytest.mark.parametrize("endpoint", ["completions", "chat/completions"])
def test_an_answer_is_a_whole_stream_of_counted_tokens(server, endpoint):
    """One event a token with the tokens so far, a finish reason on the last, then the end."""
    *events, done = _ask(server, endpoint, max_tokens=5, endpoint=endpoint)
    assert done == "[DONE]"
    told = [json.loads(event) for event in events]
    assert [event["usage"]["completion_tokens"] for event in told] == [1, 2, 3, 4, 5]
    assert [event["choices"][0]["finish_reason"] for event in told] == [None] * 4 + ["length"]


def test_the_log_tells_each_answer_by_its_name(server):
    """Answers under way together are kept apart; each has as many times as tokens, none before it was due."""
    names = [f"log-{number}" for number in range(5)]
    with ThreadPoolExecutor(5) as pool:
        lengths = list(pool.map(lambda name: len(_ask(server, name)), names))
    log = server.log()
    assert lengths == [9] * 5
    for name in names:
        row = log.requests.index(name)
        part = slice(log.offsets[row], log.offsets[row + 1])
        assert log.due_ns[part] - log.arrived_ns[row] == pytest.approx(20 * MS + 2 * MS * np.arange(8))
        assert np.all(log.late_ns[part] >= 0)
    assert log.cpu_ns > 0


def test_something_else_on_the_port_has_no_log(embedded):
    """Asking another server for a paced server's log is an error that says so."""
    with pytest.raises(TargetError, match="no paced server"):
        paced_log.fetch(embedded.port)


async def test_a_client_that_leaves_is_let_go(server):
    """An answer whose client is gone stops, and the others go on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = b'{"max_tokens": 100000}'
    writer.write(
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nx-request-id: gone\r\ncontent-length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    await reader.readuntil(b"completion_tokens")
    writer.transport.abort()
    await asyncio.sleep(0.1)
    first = await asyncio.to_thread(server.log)
    await asyncio.to_thread(_ask, server, "after")
    second = await asyncio.to_thread(server.log)

    def count(log):
        row = log.requests.index("gone")
        return log.offsets[row + 1] - log.offsets[row]

    assert count(first) == count(second) < 100
