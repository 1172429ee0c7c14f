"""Event streams are read as the standard and the wild write them, however their bytes are split."""

import itertools
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.load import sse
from benchkit.load.sse import EventStream, MalformedStream

CASES = {
    "one event": (b"data: one\n\n", [b"one"]),
    "two events": (b"data: one\n\ndata: two\n\n", [b"one", b"two"]),
    "no space after the colon": (b'data:{"a":1}\n\n', [b'{"a":1}']),
    "only one space is dropped": (b"data:  one\n\n", [b" one"]),
    "CRLF": (b"data: one\r\n\r\ndata: two\r\n\r\n", [b"one", b"two"]),
    "CR": (b"data: one\r\rdata: two\r\r", [b"one", b"two"]),
    "mixed line ends": (b"data: one\r\n\ndata: two\n\rdata: three\r\r\n", [b"one", b"two", b"three"]),
    "several data lines": (b"data: one\ndata: two\n\n", [b"one\ntwo"]),
    "an empty data line among others": (b"data: one\ndata\ndata:\ndata: two\n\n", [b"one\n\n\ntwo"]),
    "a ping": (b": ping\n\ndata: one\n\n: ping - 2026\n\n", [b"one"]),
    "a comment inside an event": (b"data: one\n: ping\ndata: two\n\n", [b"one\ntwo"]),
    "other fields": (b"event: token\nid: 7\nretry: 10\ndata: one\n\n", [b"one"]),
    "an event without data": (b"event: ping\n\ndata: one\n\n", [b"one"]),
    "fields that only look like data": (b"database: one\n data: two\ndata : three\n\n", []),
    "byte order mark": (b"\xef\xbb\xbfdata: one\n\n", [b"one"]),
    "a byte order mark inside": (b"data: \xef\xbb\xbf\n\n", [b"\xef\xbb\xbf"]),
    "blank lines in front and between": (b"\n\ndata: one\n\n\n\ndata: two\n\n", [b"one", b"two"]),
    "text of many bytes a character": ("data: Grüße 🙂 你好\n\n".encode(), ["Grüße 🙂 你好".encode()]),
    "an event that is not finished": (b"data: one\n\ndata: two\n", [b"one"]),
}


@pytest.mark.parametrize(("stream", "events"), CASES.values(), ids=CASES)
def test_streams_are_read(stream, events):
    """The data of each event comes out, of nothing else."""
    assert EventStream().feed(stream) == events


@pytest.mark.parametrize(("stream", "events"), CASES.values(), ids=CASES)
def test_a_stream_may_be_split_at_any_byte(stream, events):
    """Byte by byte, and in two pieces cut anywhere and pickled between, the same events come out."""
    whole = EventStream()
    assert [event for byte in stream for event in whole.feed(bytes([byte]))] == events
    for cut in range(len(stream) + 1):
        parser = EventStream()
        first = parser.feed(stream[:cut])
        parser = pickle.loads(pickle.dumps(parser))
        assert first + parser.feed(stream[cut:]) == events


@pytest.mark.parametrize("rest", [b"data: two", b"data: two\n", b"data: two\r", b"data: two\r\n"])
def test_a_last_event_without_its_blank_line_is_read(rest):
    """What a server forgot to end counts when the message has ended."""
    parser = EventStream()
    assert parser.feed(b"data: one\n\n" + rest) == [b"one"]
    assert parser.finish() == [b"two"]
    assert parser.finish() == []


def test_boundaries_are_known():
    """Between two events, and only there, nothing is left over."""
    parser = EventStream()
    assert not parser.at_boundary
    for piece, at_boundary in [
        (b"data: one", False),
        (b"\n", False),
        (b"\n", True),
        (b": ping", False),
        (b"\n\n", True),
        (b"\r", False),
        (b"\n", True),
    ]:
        parser.feed(piece)
        assert parser.at_boundary is at_boundary, piece


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 50, b"data: xxxxxxxxxx\n", b"y" * 50])
def test_an_endless_event_is_refused(monkeypatch, piece):
    """A server that never ends an event does not fill the memory."""
    monkeypatch.setattr(sse, "_MAX_EVENT", 1000)
    parser = EventStream()

    def pour(times):
        for _ in range(times):
            parser.feed(piece)

    pour(1000 // len(piece))
    with pytest.raises(MalformedStream, match="16 MiB"):
        pour(10)


LINE_END = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)


@st.composite
def streams(draw):
    """An event stream with the events that it holds."""
    written, events = b"", []
    for _ in range(draw(st.integers(0, 6))):
        lines = []
        for _ in range(draw(st.integers(0, 3))):
            kind = draw(st.sampled_from(["data: ", "data: ", "data:", ": ", "event: ", "id:"]))
            text = draw(TEXT)
            if kind.startswith("data"):
                lines.append(text.removeprefix(" ") if kind == "data:" else text)
            written += (kind + text).encode() + draw(LINE_END)
        # Not a lone LF: behind a line that ended in CR it would be that line's.
        written += draw(st.sampled_from([b"\r\n", b"\r", b"\n\n"]))
        if lines:
            events.append("\n".join(lines).encode())
    return written, events


@settings(deadline=None, max_examples=80)
@given(streams(), st.lists(st.integers(0, 400), max_size=8))
def test_any_stream_split_anywhere_gives_its_events(stream, cuts):
    """Lines of any kind, ended in any way, split at any bytes: the events are those that were written."""
    written, events = stream
    edges = [0, *sorted(cut for cut in cuts if cut < len(written)), len(written)]
    parser, found = EventStream(), []
    for start, stop in itertools.pairwise(edges):
        found += parser.feed(written[start:stop])
        parser = pickle.loads(pickle.dumps(parser))
    assert found == events


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_are_read_alike_however_split(pieces):
    """Even garbage gives the same events in pieces as in one."""
    whole, parser = EventStream(), EventStream()
    assert [event for piece in pieces for event in parser.feed(piece)] == whole.feed(b"".join(pieces))
