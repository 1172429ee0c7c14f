"""HTTP/1.1 answers are taken apart as llhttp does it, however their bytes are split."""

import contextlib
import itertools
import pickle

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tapes import LAST_CHUNK, chunk, head

from benchkit.load.wire import AnswerDecoder, MalformedAnswer

SIZED = head(content_length="5")
ANSWERS = {
    "sized": (SIZED + b"hello", 200, b"hello", True),
    "sized and empty": (head(content_length="0"), 200, b"", True),
    "chunked": (head() + chunk(b"hel") + chunk(b"lo") + LAST_CHUNK, 200, b"hello", True),
    "chunked, without its end": (head() + chunk(b"hel") + chunk(b"lo"), 200, b"hello", False),
    "sized, cut": (SIZED + b"hel", 200, b"hel", False),
    "until the connection ends": (b"HTTP/1.1 200 OK\r\nserver: x\r\n\r\nhello", 200, b"hello", False),
    "chunk extensions": (head() + b"3;a=b\r\nhel\r\n2 ; c\r\nlo\r\n0;d\r\n\r\n", 200, b"hello", True),
    "upper case and zeros": (head() + b"00A\r\n0123456789\r\n" + LAST_CHUNK, 200, b"0123456789", True),
    "trailers": (head() + chunk(b"hello") + b"0\r\nx-time: 3\r\ny: z\r\n\r\n", 200, b"hello", True),
    "CRLF in a chunk": (head() + chunk(b"a\r\nb\r\n") + LAST_CHUNK, 200, b"a\r\nb\r\n", True),
    "an informational answer first": (
        b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + SIZED + b"hello",
        200,
        b"hello",
        True,
    ),
    "no reason phrase": (b"HTTP/1.1 404\r\ncontent-length: 2\r\n\r\nno", 404, b"no", True),
    "an empty line in front": (b"\r\n" + SIZED + b"hello", 200, b"hello", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "HTTP/1.0": (b"HTTP/1.0 500 Oh\r\n\r\nwhy", 500, b"why", False),
    "another answer behind it": (SIZED + b"hello" + SIZED + b"again", 200, b"hello", True),
}
CASES = pytest.mark.parametrize(("wire", "status", "body", "complete"), ANSWERS.values(), ids=ANSWERS)


def decoded(pieces):
    decoder, body = AnswerDecoder(), b""
    for piece in pieces:
        body += decoder.feed(piece)
        decoder = pickle.loads(pickle.dumps(decoder))
    return decoder.status, body, decoder.complete


@CASES
def test_answers_are_taken_apart(wire, status, body, complete):
    """Status, body and whether the message ended by its own framing."""
    assert decoded([wire]) == (status, body, complete)


@CASES
def test_an_answer_may_be_split_at_any_byte(wire, status, body, complete):
    """Byte by byte, and in two pieces cut anywhere, pickled between: the same."""
    assert decoded(bytes([byte]) for byte in wire) == (status, body, complete)
    for cut in range(len(wire)):
        assert decoded([wire[:cut], wire[cut:]]) == (status, body, complete)


def test_headers_are_kept_in_lower_case():
    """Names are lower case, values without the blanks round them."""
    decoder = AnswerDecoder()
    decoder.feed(b"HTTP/1.1 200 OK\r\nContent-Type:  text/event-stream \r\nX-A:b:c\r\n\r\n")
    assert decoder.headers == {"content-type": "text/event-stream", "x-a": "b:c"}


def test_boundaries_are_known():
    """Where the next byte starts a chunk, and only there."""
    decoder = AnswerDecoder()
    for piece, at_boundary in [
        (head(), True),
        (b"5", False),
        (b"\r\nhel", False),
        (b"lo", False),
        (b"\r\n", True),
        (chunk(b"x"), True),
        (b"0\r\n", False),
        (b"\r\n", False),
    ]:
        decoder.feed(piece)
        assert decoder.at_boundary is at_boundary, piece


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 ok\r\n\r\n",
        head(content_length="-5"),
        head(content_length="5x"),
        head(content_length="9" * 5000),
        head() + b"x\r\n",
        head() + b"-5\r\n",
        head() + b"0x5\r\n",
        head() + b"1_0\r\n",
        head() + b"\r\n",
        head() + b"1" * 5000,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,
    ],
)
def test_broken_framing_is_told(wire):
    """What is not HTTP is refused by name, never by another error."""
    with pytest.raises(MalformedAnswer):
        AnswerDecoder().feed(wire)


class Listener:
    """What llhttp makes of an answer."""

    def __init__(self):
        self.body, self.complete = b"", False

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        self.complete = True


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_llhttp_agrees(data):
    """On answers of any chunks, cut at any bytes, the decoder and the engine's parser say the same."""
    chunks = data.draw(st.lists(st.binary(min_size=1, max_size=30), max_size=5))
    extension = data.draw(st.sampled_from([b"", b";x", b";x=1"]))
    written = head() + b"".join(b"%X%b\r\n%b\r\n" % (len(c), extension, c) for c in chunks) + LAST_CHUNK
    written = written[: data.draw(st.integers(0, len(written)))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=6)))
    edges = [0, *cuts, len(written)]
    pieces = [written[start:stop] for start, stop in itertools.pairwise(edges)]

    listener = Listener()
    parser = httptools.HttpResponseParser(listener)
    for piece in pieces:
        parser.feed_data(piece)
    assert decoded(pieces)[1:] == (listener.body, listener.complete)


@settings(deadline=None, max_examples=80)
@given(st.binary(max_size=60), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", head(), SIZED]))
def test_garbage_is_refused_by_name(garbage, front):
    """Whatever follows whatever: bytes come out, or ``MalformedAnswer``."""
    decoder = AnswerDecoder()
    with contextlib.suppress(MalformedAnswer):
        assert isinstance(decoder.feed(front + garbage), bytes)
