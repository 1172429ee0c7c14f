"""A tape becomes records: true times, whole lives, and facts of the client's own behaviour."""

import json
import subprocess
import sys
import time

import pytest
from tapes import MS, START_NS, HandTape, rows, streamed, timed, tokens

from benchkit.load.parts import TEXTS_FOLDER
from benchkit.load.spec import LoadSpec
from benchkit.load.tape import segments
from benchkit.load.transcribe import transcribe
from benchkit.load.transcriber import Transcriber
from benchkit.records.kinds import Outcome

ANSWER = streamed(tokens(3))


def one(tape):
    [row] = tape.transcribed()
    return row


def facts_of(tape):
    tape.close(in_order=False)
    transcriber = Transcriber(tape.folder, tape.worker)
    transcriber.advance()
    return transcriber.finish()


def in_ms(row, *names):
    return [None if row[name] is None else row[name] / MS for name in names]


def begin(tape, key=1):
    """A request whose head has come."""
    tape.start(key)
    tape.sent(key)
    tape.read(key, 50, ANSWER[0])


def test_times_are_the_kernels(tmp_path):
    """Chunks are stamped by the kernel's time, brought to the monotonic clock; the loop's stand beside."""
    tape = HandTape(tmp_path)
    tape.start(1)
    tape.sent(1)
    for (at_ms, data), lag_ms in zip(timed(ANSWER), [0.1, 0.2, 3, 0.2, 0.1, 0.1], strict=True):
        tape.read(1, at_ms, data, lag_ms=lag_ms)
    tape.end(1, 200)
    row = one(tape)
    assert [t / MS for t in row["chunk_ns"]] == [70, 90, 110]
    assert [t / MS for t in row["chunk_loop_ns"]] == [70.2, 93, 110.2]
    assert in_ms(row, "headers_ns", "first_token_ns", "last_token_ns", "end_ns") == [50, 70, 110, 150]
    assert row["pickup_lag_max_ns"] == 3 * MS


def test_without_kernel_times_the_loops_hold(tmp_path):
    """Both columns are the loop's time and there is no lag to tell."""
    tape = HandTape(tmp_path, kernel_times=False)
    tape.exchange(1, timed(ANSWER))
    tape.flush()
    row = one(tape)
    assert row["chunk_ns"] == row["chunk_loop_ns"] == [int((t + 0.04) * MS) for t in (70, 90, 110)]
    assert row["pickup_lag_max_ns"] is None


def test_without_kernel_times_there_is_no_lag_in_the_facts(tmp_path):
    """A lag that was not measured is null, not 0."""
    tape = HandTape(tmp_path, kernel_times=False)
    tape.exchange(1, timed(ANSWER))
    facts = facts_of(tape)
    assert facts["pickup_lag_max_ns"] is facts["pickup_lag_p99_ns"] is None


def test_the_offset_of_the_clocks_is_followed(tmp_path):
    """While the wall clock is slewed, each read is converted by the offset that was read last."""
    tape = HandTape(tmp_path)
    begin(tape)
    for at_ms, data in timed(ANSWER[1:], first_ms=70):
        tape.offset_ns += 10_000
        tape.tick(at_ms - 1)
        tape.note(stopped_by=None)
        tape.read(1, at_ms, data)
    tape.end(1, 200)
    tape.flush()
    facts = facts_of(tape)
    [row] = rows(tmp_path)
    assert [t / MS for t in row["chunk_ns"]] == [70, 90, 110]
    assert facts["clock_offset_steps_ns"] == 0


@pytest.mark.parametrize("step_ms", [5, 400, -400])
def test_a_step_of_the_wall_clock_between_two_looks(tmp_path, step_ms):
    """A stamp after its reading or before the read ahead of it is not believed: the loop's time is taken."""
    tape = HandTape(tmp_path)
    begin(tape)
    tape.tick(60)
    tape.offset_ns += step_ms * MS
    tape.read(1, 70, ANSWER[1])
    tape.tick(80)
    for at_ms, data in timed(ANSWER[2:], first_ms=90):
        tape.read(1, at_ms, data)
    tape.end(1, 200)
    tape.flush()
    facts = facts_of(tape)
    [row] = rows(tmp_path)
    assert [t / MS for t in row["chunk_ns"]] == [70.04, 90, 110]
    assert facts["clock_offset_steps_ns"] == abs(step_ms) * MS
    assert row["pickup_lag_max_ns"] == 40_000


def test_a_step_that_hides_behind_the_lag_is_told_all_the_same(tmp_path):
    """Where no stamp gives a small step back away, the next look at the clocks does."""
    tape = HandTape(tmp_path)
    begin(tape)
    tape.offset_ns -= 5 * MS
    tape.read(1, 70, ANSWER[1])
    tape.tick(80)
    facts = facts_of(tape)
    assert facts["clock_offset_steps_ns"] == 5 * MS
    assert facts["pickup_lag_max_ns"] == pytest.approx(5.04 * MS, rel=0.05)


def test_noise_of_the_offset_is_no_step_and_turns_no_gap_negative(tmp_path):
    """Two looks at the clocks differ by some us: reads that come so close still have rising stamps."""
    tape = HandTape(tmp_path)
    begin(tape)
    tape.read(1, 70, ANSWER[1], lag_ms=0.001)
    tape.tick(70.001)
    # The looks agree to 8 us only, and the next read comes 4 us after the last one.
    tape.offset_ns -= 8_000
    tape.read(1, 70.004, ANSWER[2], lag_ms=0.002)
    facts = facts_of(tape)
    [row] = rows(tmp_path)
    first_ns, second_ns = row["chunk_ns"]
    assert first_ns <= second_ns <= row["chunk_loop_ns"][1]
    assert facts["clock_offset_steps_ns"] == 0


def test_later_repeats_count_from_the_first_ones_start(tmp_path):
    """``origin_ns`` is where time begins, when this is not the run's first load."""
    tape = HandTape(tmp_path, origin_ns=START_NS - 1_000 * MS, repeat=2)
    tape.exchange(1, timed(ANSWER))
    row = one(tape)
    assert in_ms(row, "scheduled_ns", "first_token_ns", "end_ns") == [1000, 1070, 1150]
    assert row["repeat"] == 2


def test_a_life_with_all_its_stages(tmp_path):
    """Scheduled, waited, connecting, connected, sent: each at its time, on its connection."""
    tape = HandTape(tmp_path)
    tape.start(7, 10, index=3, phase="warmup")
    tape.connect(7, 12)
    tape.connected(7, 13)
    tape.sent(7, 14, connection=42, waited_ms=2)
    for at_ms, data in timed(ANSWER):
        tape.read(7, at_ms, data)
    tape.end(7, 200)
    row = one(tape)
    names = ("scheduled_ns", "connect_start_ns", "connected_ns", "sent_ns", "waited_ns", "end_ns")
    assert in_ms(row, *names) == [10, 12, 13, 14, 2, 150]
    assert [row[n] for n in ("index", "phase", "connection", "attempt")] == [3, "warmup", 42, 1]


def test_several_addresses_are_one_connecting(tmp_path):
    """Connecting began with the first address that was tried and ended with the one that answered."""
    tape = HandTape(tmp_path)
    tape.start(1)
    for at_ms in (1, 5, 9):
        tape.connect(1, at_ms)
    tape.connected(1, 11)
    tape.sent(1, 12)
    row = one(tape)
    assert in_ms(row, "connect_start_ns", "connected_ns", "sent_ns") == [1, 11, 12]


def test_of_a_second_attempt_the_first_sending_stays(tmp_path):
    """A stale connection costs what it costs: ``sent`` is the first attempt's, the rest is the second's."""
    tape = HandTape(tmp_path)
    tape.start(1)
    tape.sent(1, 1, connection=3)
    tape.connect(1, 4)
    tape.connected(1, 5)
    tape.sent(1, 6, attempt=2, connection=9)
    for at_ms, data in timed(ANSWER):
        tape.read(1, at_ms, data)
    tape.end(1, 200)
    row = one(tape)
    assert in_ms(row, "connect_start_ns", "connected_ns", "sent_ns") == [None, None, 1]
    assert [row[n] for n in ("attempt", "connection", "outcome")] == [2, 9, "ok"]
    assert row["bytes_received"] == sum(map(len, ANSWER))


def test_nothing_of_a_first_attempt_gets_into_the_second(tmp_path):
    """Should bytes have come before it broke, they are forgotten: the answer begins anew."""
    tape = HandTape(tmp_path)
    begin(tape)
    tape.read(1, 55, ANSWER[1])
    tape.connect(1, 60)
    tape.sent(1, 61, attempt=2)
    for at_ms, data in timed(ANSWER, first_ms=70):
        tape.read(1, at_ms, data)
    tape.end(1, 200)
    row = one(tape)
    assert (row["outcome"], row["output_tokens"]) == ("ok", 3)
    assert in_ms(row, "headers_ns", "first_token_ns") == [70, 90]


def test_bytes_of_no_request_are_passed_over(tmp_path):
    """Reads of idle connections and of requests that ended belong to nobody."""
    tape = HandTape(tmp_path)
    tape.read(0, 1, b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    tape.exchange(1, timed(ANSWER))
    tape.read(1, 300, b"more")
    tape.fail(1, 301, Outcome.FAILED)
    assert one(tape)["outcome"] == "ok"


def test_the_clients_conduct_is_that_of_the_window(tmp_path):
    """Lags, gaps and CPU of the warm-up and the drain don't count; not even for a stream that began there."""
    tape = HandTape(tmp_path, warmup_ns=100 * MS, duration_ns=100 * MS)
    begin(tape)
    tape.tick(40, late_ms=70, cpu_ms=100, switches=90)
    tape.read(1, 60, ANSWER[1], lag_ms=30)
    tape.tick(100, late_ms=1, cpu_ms=200, switches=100)
    tape.read(1, 110, ANSWER[2], lag_ms=10)
    tape.read(1, 130, ANSWER[3], lag_ms=1)
    tape.tick(200, late_ms=12, cpu_ms=250, switches=103)
    tape.read(1, 250, ANSWER[4], lag_ms=40)
    tape.tick(300, late_ms=80, cpu_ms=900, switches=200)
    facts = facts_of(tape)
    [row] = rows(tmp_path)
    assert facts["pickup_lag_max_ns"] == 10 * MS
    assert facts["pickup_lag_p50_ns"] == pytest.approx(1 * MS, rel=0.05)
    assert facts["loop_gap_max_ns"] == 12 * MS
    assert facts["cpu_share"] == pytest.approx(0.5)
    assert facts["involuntary_switches"] == 3
    assert row["pickup_lag_max_ns"] == 40 * MS
    assert (facts["reads"], facts["events"], facts["shared_events"]) == (5, 3, 0)


def test_a_window_that_ended_early_is_known_from_the_note(tmp_path):
    """What the worker says of its window goes before what was planned."""
    tape = HandTape(tmp_path, duration_ns=1_000 * MS)
    tape.tick(0, cpu_ms=0)
    tape.tick(200, cpu_ms=20)
    tape.tick(800, cpu_ms=800)
    tape.note(window_end_ns=START_NS + 300 * MS, stopped_by="max_error_rate")
    facts = facts_of(tape)
    assert facts["cpu_share"] == pytest.approx(0.1)
    assert facts["stopped_by"] == "max_error_rate"


def test_facts_name_no_process_and_no_clock(tmp_path):
    """What is of no use to a reader of the manifest stays out of it."""
    tape = HandTape(tmp_path, facts={"pid": 4711, "loop": "uvloop", "kernel_times": True})
    facts = facts_of(tape)
    assert not {"pid", "start_ns", "offset_ns"} & set(facts)
    assert (facts["loop"], facts["kernel_times"]) == ("uvloop", True)


def test_text_is_kept_only_where_it_is_asked_for(tmp_path):
    """With ``keep_text`` prompts and answers lie beside the records, else nowhere."""
    body = json.dumps({"prompt": "Grüße " * 15_000}, ensure_ascii=False).encode()
    assert len(body) > 65_536
    tape = HandTape(tmp_path, keep_text=True)
    tape.start(1)
    tape.prompt(1, 0, body)
    tape.sent(1)
    for at_ms, data in timed(ANSWER):
        tape.read(1, at_ms, data)
    tape.end(1, 200)
    tape.exchange(2, timed(ANSWER))
    tape.transcribed()
    [path] = (tmp_path / TEXTS_FOLDER).iterdir()
    [line] = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {
        "repeat": 0,
        "phase": "window",
        "index": 1,
        "request": body.decode(),
        "answer": " word1 word2 word3",
    }


def test_without_keep_text_no_folder_is_made(tmp_path):
    """Nothing of what was said is stored."""
    tape = HandTape(tmp_path)
    tape.exchange(1, timed(ANSWER))
    tape.transcribed()
    assert not (tmp_path / TEXTS_FOLDER).exists()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "parts").iterdir())
    assert b"word1" not in stored


def test_recovery_gives_rows_facts_and_the_window(tmp_path):
    """``transcribe`` finishes a dead worker's tape of any repeat and tells what is known of its times."""
    tape = HandTape(tmp_path, repeat=3, warmup_ns=50 * MS)
    tape.exchange(1, timed(ANSWER))
    begin(tape, key=2)
    tape.tick(500)
    tape.close(in_order=False)
    # The spec in the folder is that of the repeat that ran last.
    LoadSpec(**{**vars_of(tape.spec), "repeat": 4}).write(tmp_path)

    told = transcribe(tmp_path, 0, repeat=3)
    assert [row["outcome"] for row in rows(tmp_path)] == ["ok", "interrupted"]
    assert {row["repeat"] for row in rows(tmp_path)} == {3}
    assert told["start_ns"] == START_NS
    assert told["window_ns"] == START_NS + 50 * MS
    assert told["window_end_ns"] == 0
    assert told["last_ns"] == START_NS + 500 * MS
    assert told["facts"]["closed"] is False


def vars_of(spec):
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


def test_recovery_may_be_repeated(tmp_path):
    """A recovery that was killed behind its transcription tells the same once more and adds no row."""
    tape = HandTape(tmp_path)
    tape.exchange(1, timed(ANSWER))
    begin(tape, key=2)
    tape.tick(500)
    tape.close(in_order=False)
    first = transcribe(tmp_path, 0, repeat=0)
    found = rows(tmp_path)
    again = transcribe(tmp_path, 0, repeat=0)
    assert rows(tmp_path) == found
    for told in (first, again):
        del told["facts"]["transcriber_cpu_ns"]
    assert again == first


def test_workers_do_not_meet(tmp_path):
    """Tapes of several workers lie in one folder and become parts of their own."""
    tapes = [HandTape(tmp_path, worker, workers=2) for worker in (0, 1)]
    for tape in tapes:
        tape.exchange(1, timed(ANSWER), index=10 + tape.worker)
    for tape in tapes:
        tape.transcribed()
    assert [(row["worker"], row["index"]) for row in rows(tmp_path)] == [(0, 10), (1, 11)]


def follower(folder):
    # In a session of its own: what gives way gives it for its whole session, and this one runs all other tests.
    return subprocess.Popen(
        [sys.executable, "-m", "benchkit.load.transcribe", str(folder), "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_process_follows_until_the_tape_is_closed(tmp_path):
    """It reads along, says how far it is, and ends by itself with the facts."""
    tape = HandTape(tmp_path, facts={"loop": "uvloop"})
    process = follower(tmp_path)
    try:
        tape.exchange(1, timed(ANSWER))
        tape.flush()
        live = json.loads(process.stdout.readline())
        while live["tokens"] == 0:
            live = json.loads(process.stdout.readline())
        assert (live["event"], live["ok"], live["tokens"]) == ("live", 1, 3)
        tape.exchange(2, timed(ANSWER))
        tape.close(1000)
        last = json.loads(process.communicate(timeout=20)[0].splitlines()[-1])
    finally:
        process.kill()
    assert process.returncode == 0
    assert (last["event"], last["closed"], last["events"], last["loop"]) == ("facts", True, 6, "uvloop")
    assert [row["outcome"] for row in rows(tmp_path)] == ["ok", "ok"]


def test_the_process_outlives_its_parent_for_as_long_as_the_worker(tmp_path):
    """When stdin ends it waits for the worker, which drains; what that still tapes has its true end."""
    worker = subprocess.Popen(["sleep", "60"])
    tape = HandTape(tmp_path, facts={"pid": worker.pid})
    begin(tape)
    tape.flush()
    process = follower(tmp_path)
    try:
        process.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.5)
        for at_ms, data in timed(ANSWER[1:], first_ms=70):
            tape.read(1, at_ms, data)
        tape.end(1, 200)
        tape.flush()
        time.sleep(0.2)
        # A zombie: nobody has waited for it yet.
        worker.kill()
        assert process.wait(timeout=20) == 0
        process.stdout.close()
    finally:
        process.kill()
        worker.kill()
        worker.wait()
    assert [row["outcome"] for row in rows(tmp_path)] == ["ok"]


def test_the_process_imports_no_pandas(tmp_path):
    """Beside a running load it takes neither the time nor the memory for what it doesn't need."""
    tape = HandTape(tmp_path)
    tape.exchange(1, timed(ANSWER))
    tape.close(1000)
    code = (
        "import sys; from benchkit.load.transcribe import main; assert main(sys.argv[1:]) == 0;"
        "print([name for name in ('pandas', 'pyarrow.compute', 'httpx', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "0"],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        start_new_session=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(rows(tmp_path)) == 1
    assert len(segments(tape.place, 0)) == 1
