"""Whatever dies, and whenever, a tape becomes the same rows: nothing lost, nothing twice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tapes import HandTape, rows, streamed, timed, tokens, write_long

from benchkit.load import tape as tapes_module
from benchkit.load import transcriber as module
from benchkit.load.tape import HEADER, Kind, segment_path, segments
from benchkit.load.transcriber import Transcriber
from benchkit.records.kinds import Outcome


class Killed(BaseException):
    """The process ends here."""


def make_tape(folder: Path, *, rolls: bool = True) -> HandTape:
    """Six requests that overlap, over four segments, the last one left open and its worker killed."""
    tape = HandTape(folder, keep_text=True)
    answers = {key: timed(streamed(tokens(key + 1)), first_ms=10 * key, gap_ms=20) for key in range(1, 6)}
    answers[6] = answers[5][:4]
    steps = sorted((at_ms, key, data) for key, reads in answers.items() for at_ms, data in reads)
    for key in answers:
        tape.start(key, key)
        tape.prompt(key, key, b"{}")
        tape.sent(key, key)
    left = {key: len(reads) for key, reads in answers.items()}
    for number, (at_ms, key, data) in enumerate(steps):
        tape.read(key, at_ms, data)
        left[key] -= 1
        if not left[key] and key < 5:
            tape.end(key, at_ms)
        if not left[key] and key == 5:
            tape.fail(key, at_ms, Outcome.INCOMPLETE)
        if rolls and number % 12 == 11:
            tape.roll()
        if number % 5 == 0:
            tape.tick(at_ms)
    tape.close(in_order=False)
    return tape


def result(folder: Path, transcriber: Transcriber | None = None):
    """What a transcription leaves behind: rows, texts, and facts."""
    transcriber = transcriber or Transcriber(folder, 0)
    transcriber.advance()
    facts = transcriber.finish()
    del facts["transcriber_cpu_ns"]
    texts = sorted(
        line
        for path in (folder / "texts").iterdir()
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    return rows(folder), texts, facts


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A tape over several segments, and the result of an undisturbed transcription of it."""
    folder = tmp_path_factory.mktemp("original")
    make_tape(folder)
    copy = folder.parent / "undisturbed"
    shutil.copytree(folder, copy)
    expected = result(copy)
    assert [row["outcome"] for row in expected[0]] == ["ok"] * 4 + ["incomplete", "interrupted"]
    assert len(segments(folder / "tape" / "r0", 0)) >= 4
    return folder, expected


class Countdown:
    """Kills at the n-th of the moments that matter: before and after each file appears or goes."""

    def __init__(self, monkeypatch, moments):
        self.left = moments
        self.seen = 0
        unlink = Path.unlink
        monkeypatch.setattr(module, "write_part", self._around(module.write_part))
        monkeypatch.setattr(module, "atomic_write", self._around(module.atomic_write))
        watched = self._around(unlink)
        monkeypatch.setattr(
            Path,
            "unlink",
            lambda path, *a, **k: (watched if path.suffix == ".tape" else unlink)(path, *a, **k),
        )

    def _around(self, function):
        def guarded(*arguments, **named):
            self._moment()
            value = function(*arguments, **named)
            self._moment()
            return value

        return guarded

    def _moment(self):
        self.seen += 1
        if self.seen == self.left:
            raise Killed


def killed_at(moments, folder):
    """Transcribes and is killed at these moments, one after the other; returns whether it came so far."""
    for count in moments:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(module, "_PART_CHUNKS", 8)
            monkeypatch.setattr(module, "_READ_SIZE", 6000)
            Countdown(monkeypatch, count)
            try:
                result(folder)
            except Killed:
                continue
            return False
    return True


def test_a_kill_at_any_moment_between_part_state_and_segment(original, tmp_path):
    """Killed before or after any file appears or goes, and begun again: the rows of an undisturbed run."""
    folder, expected = original
    moments = 1
    while True:
        copy = tmp_path / f"killed-{moments}"
        shutil.copytree(folder, copy)
        if not killed_at([moments], copy):
            break
        assert result(copy) == expected, moments
        moments += 1
    assert moments > 20


@pytest.mark.parametrize("moments", [(3, 1, 2), (8, 8, 8), (11, 5, 2, 1), (1, 1, 1)])
def test_several_kills(original, tmp_path, moments):
    """Kills that follow on each other lose nothing either."""
    folder, expected = original
    copy = tmp_path / "killed"
    shutil.copytree(folder, copy)
    assert killed_at(moments, copy)
    assert result(copy) == expected


def test_segments_go_when_they_are_done(original, tmp_path):
    """Only the segment that may still grow stays; so it is after a kill before the removal, too."""
    folder, _ = original
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    place = copy / "tape" / "r0"
    last = segments(place, 0)[-1]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Path, "unlink", lambda path: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            result(copy)
    assert len(segments(place, 0)) > 1
    result(copy)
    assert segments(place, 0) == [last]


@settings(deadline=None, max_examples=8)
@given(st.data())
def test_following_a_tape_as_it_grows(original, tmp_path_factory, data):
    """Read after any growth, records torn anywhere, by ever new transcribers: one look's rows."""
    folder, expected = original
    copy = tmp_path_factory.mktemp("growing")
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    place = copy / "tape" / "r0"
    transcriber = None
    whole = {path: path.read_bytes() for path in segments(place, 0)}
    for path in whole:
        path.unlink()
    for path, content in whole.items():
        cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=4)))
        for cut in [*cuts, len(content)]:
            path.write_bytes(content[:cut])
            if transcriber is None or data.draw(st.booleans()):
                transcriber = Transcriber(copy, 0)
            transcriber.advance()
    assert result(copy, transcriber) == expected


def test_a_tape_cut_anywhere_gives_every_whole_request(tmp_path):
    """Of a tape that ends at any byte, requests whose end is on it are whole, the others interrupted."""
    make_tape(tmp_path / "whole", rolls=False)
    path = segment_path(tmp_path / "whole" / "tape" / "r0", 0, 1)
    content = path.read_bytes()
    starts, ends, position = {}, {}, 0
    while position < len(content):
        size, kind, _, key, *_ = HEADER.unpack_from(content, position)
        position += HEADER.size + size
        if kind == Kind.START:
            starts[key] = position
        if kind in (Kind.END, Kind.FAIL):
            ends[key] = position
    shutil.copytree(tmp_path / "whole", tmp_path / "copy")
    expected = {row["index"]: row for row in result(tmp_path / "copy")[0]}

    edges = sorted({edge + delta for edge in [*starts.values(), *ends.values()] for delta in (-1, 0, 1)})
    for cut in [*edges, *range(0, len(content), 997)]:
        folder = tmp_path / f"cut-{cut}"
        shutil.copytree(tmp_path / "whole", folder)
        os.truncate(folder / path.relative_to(tmp_path / "whole"), cut)
        transcriber = Transcriber(folder, 0)
        transcriber.advance()
        transcriber.finish()
        found = {row["index"]: row for row in rows(folder)}
        assert set(found) == {key for key, start in starts.items() if start <= cut}
        for key, row in found.items():
            if ends.get(key, cut + 1) <= cut:
                assert row == expected[key]
            else:
                assert row["outcome"] == "interrupted"
                known = len(row["chunk_ns"])
                assert row["chunk_ns"] == expected[key]["chunk_ns"][:known]


def test_a_torn_record_in_the_middle_costs_no_other_segment(tmp_path):
    """A segment whose tail was lost is read as far as it goes; the next one is read from its beginning."""
    tape = HandTape(tmp_path)
    tape.exchange(1, timed(streamed(tokens(2))))
    tape.roll()
    tape.exchange(2, timed(streamed(tokens(2))))
    tape.close()
    first, second = segments(tape.place, 0)
    os.truncate(first, first.stat().st_size - 3)
    transcriber = Transcriber(tmp_path, 0)
    transcriber.advance()
    transcriber.finish()
    assert [row["outcome"] for row in rows(tmp_path)] == ["interrupted", "ok"]
    assert segments(tape.place, 0) == [second]


def test_an_empty_folder_is_no_error(tmp_path):
    """A worker that died before its first record leaves nothing, and nothing is what it gives."""
    tape = HandTape(tmp_path)
    tape.close(in_order=False)
    for path in segments(tape.place, 0):
        path.unlink()
    transcriber = Transcriber(tmp_path, 0)
    assert transcriber.advance() is False
    assert transcriber.finish()["events"] == 0
    assert rows(tmp_path) == []


def peak_mib(folder: Path) -> float:
    """Runs the process over a closed tape; its peak of resident memory (what it was forked from left out)."""
    code = (
        "import sys; from benchkit.load.transcribe import main; assert main(sys.argv[1:]) == 0;"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), "0"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        start_new_session=True,
    )
    return int(done.stdout.splitlines()[-1]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_a_long_tape_needs_no_more_memory_than_a_short_one(tmp_path):
    """200 MB of tape are transcribed in bounded memory, and its segments vanish on the way."""
    peaks = []
    for name, rounds in (("short", 1), ("long", 22)):
        tape = HandTape(tmp_path / name)
        write_long(tape, streams=100, chunks=50, rounds=rounds, padding=1_600)
        tape.close(100_000)
        size = sum(path.stat().st_size for path in segments(tape.place, 0))
        peaks.append(peak_mib(tmp_path / name))
        left = segments(tape.place, 0)
        assert len(left) == 1
        assert left[0].stat().st_size <= tapes_module.SEGMENT_SIZE + tapes_module.BUFFER_SIZE
        found = rows(tmp_path / name)
        assert len(found) == 100 * rounds
        assert {(row["outcome"], row["output_tokens"]) for row in found} == {("ok", 50)}
    assert size > 200e6
    short, long = peaks
    print(f"peaks of {short:.0f} and {long:.0f} MiB")
    assert long < 150
    assert long - short < 40
