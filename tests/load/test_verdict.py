"""Outcomes are those of the design, each from a tape made by hand."""

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from tapes import (
    DONE_EVENT,
    HandTape,
    chat,
    chunk,
    completion,
    event,
    head,
    rows,
    streamed,
    timed,
    tokens,
    usage_event,
    with_usage,
)

from benchkit.load.transcriber import Transcriber
from benchkit.records.kinds import ErrorKind, Outcome

OK = streamed(tokens(3))
ERROR = {"error": {"message": "out of memory", "code": 500}}


def refusal(status: int, body: object = None, **fields: str) -> list[bytes]:
    """An answer of another status, with its reason."""
    text = json.dumps(body if body is not None else {"error": {"message": "not now"}}).encode()
    return [head(status, "application/json", content_length=str(len(text)), **fields), text]


class Ended(NamedTuple):
    """A message that ended, and what is to be made of it."""

    reads: list[bytes]
    outcome: str
    kind: str | None = None
    error: str | None = None
    wanted: int | None = None


ENDED = {
    "ok": Ended(OK, "ok"),
    "ok, of the wanted length": Ended(OK, "ok", wanted=3),
    "ok, longer than wanted": Ended(OK, "ok", wanted=2),
    "ok, without [DONE]": Ended(streamed(tokens(3), done=False), "ok"),
    "ok, until the connection ends": Ended([head(server="x"), *map(event, tokens(3))], "ok"),
    "ok, with all text held back": Ended(streamed([completion(finish="stop"), usage_event(4)]), "ok"),
    "shed by 429": Ended(refusal(429), "shed", "http_429", "not now"),
    "shed by 503": Ended(refusal(503), "shed", "http_503", "not now"),
    "400": Ended(refusal(400, {"detail": "too long"}), "failed", "http_4xx", "400: too long"),
    "404 of another program": Ended(
        [head(404, "text/html", content_length="9"), b"<h1>?</h1>"[:9]],
        "failed",
        "http_4xx",
        "404: <h1>?</h1",
    ),
    "500": Ended(refusal(500), "failed", "http_5xx", "500: not now"),
    "307": Ended(
        [head(307, "text/plain", content_length="0", location="/v2")], "failed", "http_3xx", "307: "
    ),
    "204": Ended([b"HTTP/1.1 204 No Content\r\n\r\n"], "failed", "malformed", "204: "),
    "short": Ended(
        OK, "failed", "short", "3 tokens instead of 4, though the server honours ignore_eos", wanted=4
    ),
    "without a finish reason": Ended(
        streamed(tokens(3)[:2]), "failed", "no_finish", "a complete answer without a finish reason"
    ),
    "empty": Ended(streamed([]), "failed", "empty", "a complete answer without a token"),
    "empty but for its end": Ended(
        streamed([chat(role="assistant"), chat("stop"), usage_event(0)]),
        "failed",
        "empty",
        "a complete answer without a token",
    ),
    "an error object after 200": Ended(
        streamed([*tokens(3)[:2], ERROR]), "failed", "error_event", "out of memory (code 500)"
    ),
    "an error object first": Ended(streamed([ERROR]), "failed", "error_event", "out of memory (code 500)"),
    "an error object behind the end": Ended(
        streamed([*tokens(3), ERROR]), "failed", "error_event", "out of memory (code 500)"
    ),
    "broken off by the server": Ended(
        streamed([with_usage(completion("a", finish="abort"), 1)]),
        "failed",
        "error_event",
        "the server broke the answer off: finish_reason 'abort'",
    ),
    "an error as a whole body": Ended(
        [head(content_type="application/json", content_length="18"), b'{"error": "gone!"}'],
        "failed",
        "error_event",
        "gone!",
    ),
    "not JSON": Ended(streamed([*tokens(2), "oops"]), "failed", "malformed", "not JSON"),
    "another body": Ended(
        [head(content_type="text/html", content_length="9"), b"<h1>?</h1"],
        "failed",
        "malformed",
        "an answer of type 'text/html' without an event",
    ),
    "compressed": Ended(
        [head(content_encoding="gzip", content_length="4"), b"\x1f\x8b\x08\x00"],
        "failed",
        "malformed",
        "the answer is compressed, though `identity` was asked for",
    ),
    "broken chunks": Ended([head(), b"xyz\r\n"], "failed", "malformed", "a chunk's size is b'xyz'"),
    "cut by its framing": Ended(OK[:-1], "failed", "cut", "the message ended before it was complete"),
    "without a head": Ended([b"HTT"], "failed", "malformed", "a message without a head"),
}


@pytest.mark.parametrize("case", ENDED.values(), ids=ENDED)
def test_a_message_that_ended(tmp_path, case):
    """Its outcome and kind, and its reason in words; all stamps are kept."""
    tape = HandTape(tmp_path)
    tape.exchange(1, timed(case.reads), wanted=case.wanted)
    [row] = tape.transcribed()

    assert (row["outcome"], row["error_kind"]) == (case.outcome, case.kind)
    assert (row["error"] or "").startswith(case.error or "")
    assert (row["error"] is None) == (case.outcome == "ok")
    assert row["sent_ns"] == 0
    assert row["end_ns"] == round(timed(case.reads)[-1][0] * 1e6)
    assert row["bytes_received"] == sum(map(len, case.reads))


def test_length_is_no_matter_where_the_server_does_not_honour_it(tmp_path):
    """Without ``exact_length`` a short answer is ok."""
    tape = HandTape(tmp_path, exact_length=False)
    tape.exchange(1, timed(OK), wanted=4)
    assert [row["outcome"] for row in tape.transcribed()] == ["ok"]


class Cut(NamedTuple):
    """An exchange that was cut short: what the engine taped, and what is to be made of it."""

    reads: list[bytes]
    taped: tuple[Outcome, ErrorKind | None]
    outcome: str
    kind: str | None
    error: str = "why"


FAILED = Outcome.FAILED
CUT = {
    **{
        f"failed: {kind}": Cut([], (FAILED, kind), "failed", kind)
        for kind in (
            *(ErrorKind.REFUSED, ErrorKind.RESET, ErrorKind.CUT, ErrorKind.TIMEOUT, ErrorKind.MALFORMED),
            *(ErrorKind.TLS, ErrorKind.DNS, ErrorKind.CONNECT, ErrorKind.CLIENT),
        )
    },
    "cut in mid-stream": Cut(OK[:3], (FAILED, ErrorKind.CUT), "failed", "cut"),
    "incomplete": Cut(OK[:3], (Outcome.INCOMPLETE, None), "incomplete", None),
    "incomplete, never sent": Cut([], (Outcome.INCOMPLETE, None), "incomplete", None),
    "interrupted": Cut(OK[:3], (Outcome.INTERRUPTED, None), "interrupted", None),
    "cut behind an error event": Cut(
        [*OK[:3], chunk(event(ERROR))],
        (FAILED, ErrorKind.CUT),
        "failed",
        "error_event",
        "out of memory (code 500)",
    ),
    "held open behind an error event": Cut(
        [*OK[:3], chunk(event(ERROR))],
        (Outcome.INCOMPLETE, None),
        "failed",
        "error_event",
        "out of memory (code 500)",
    ),
    "cut in a 429": Cut(refusal(429)[:1], (FAILED, ErrorKind.RESET), "shed", "http_429", ""),
    "cut in a 500": Cut(refusal(500)[:1], (FAILED, ErrorKind.CUT), "failed", "http_5xx", "500: "),
}


@pytest.mark.parametrize("case", CUT.values(), ids=CUT)
def test_an_exchange_that_was_cut_short(tmp_path, case):
    """What the server had said goes before what the network or the client did; tokens until then count."""
    tape = HandTape(tmp_path)
    tape.start(1)
    tape.sent(1, 1)
    for at_ms, data in timed(case.reads):
        tape.read(1, at_ms, data)
    tape.fail(1, 900, *case.taped)
    [row] = tape.transcribed()

    assert (row["outcome"], row["error_kind"], row["error"]) == (case.outcome, case.kind, case.error)
    bearing = sum(b'"text":" word' in data for data in case.reads)
    assert len(row["chunk_ns"]) == bearing
    assert row["output_tokens"] == (bearing or None)
    assert row["first_token_ns"] == (70_000_000 if bearing else None)
    assert row["end_ns"] == 900_000_000


def test_a_request_without_an_end_was_interrupted(tmp_path):
    """What a killed load process left open keeps its stamps and its tokens."""
    tape = HandTape(tmp_path)
    tape.start(1)
    tape.start(2)
    tape.sent(2, 1)
    for at_ms, data in timed(OK[:3]):
        tape.read(2, at_ms, data)
    tape.close(in_order=False)
    transcriber = Transcriber(tmp_path, 0)
    transcriber.advance()
    facts = transcriber.finish()

    unsent, open_one = rows(tmp_path)
    assert [row["outcome"] for row in (unsent, open_one)] == ["interrupted"] * 2
    assert open_one["error"] == "the load process died"
    assert (unsent["sent_ns"], open_one["sent_ns"]) == (None, 1_000_000)
    assert (open_one["output_tokens"], len(open_one["chunk_ns"]), open_one["end_ns"]) == (2, 2, None)
    assert facts["closed"] is False


def test_an_end_that_a_full_disk_lost_is_not_blamed_on_a_death(tmp_path):
    """A worker that ended in order has not died; the record's end was lost."""
    tape = HandTape(tmp_path)
    tape.start(1)
    [row] = tape.transcribed()
    assert (row["outcome"], row["error"]) == ("interrupted", "its end could not be taped")


def test_outcomes_are_counted(tmp_path):
    """The live counts are those of the rows."""
    tape = HandTape(tmp_path)
    tape.exchange(1, timed(OK))
    tape.exchange(2, timed(refusal(429)))
    tape.exchange(3, timed(refusal(500)))
    tape.exchange(4, timed(OK))
    tape.flush()
    transcriber = Transcriber(tmp_path, 0)
    transcriber.advance()
    live = transcriber.live()
    assert [live[name] for name in ("ok", "shed", "failed", "tokens")] == [2, 1, 1, 6]
    ((size, count), *others) = live["recent"]["ttft"]
    assert 2 ** (size / 32) / 1000 == pytest.approx(70.0, rel=0.03)
    assert (count, others) == (2, [])
    assert transcriber.live()["recent"]["ttft"] == []


def test_secrets_do_not_get_into_errors(tmp_path, monkeypatch):
    """A server that repeats the key, or a header, in its error body does not bring it into the records."""
    monkeypatch.setenv("A_KEY", "correct-horse")
    tape = HandTape(tmp_path, api_key_env="A_KEY")
    said = {"error": {"message": f"bad key correct-horse or Bearer abcdefghijk {'x' * 500}"}}
    tape.exchange(1, timed(refusal(401, said)))
    [row] = tape.transcribed()
    assert row["error"].startswith("401: bad key <redacted> or Bearer <redacted> xxx")
    assert len(row["error"]) == 300


STOCK: dict[str, tuple[Callable[[HandTape], None], str, str | None]] = {
    "ok": (lambda tape: [tape.stock_body(1, 60 + i, event(v)) for i, v in enumerate(tokens(3))], "ok", None),
    "error event": (lambda tape: tape.stock_body(1, 60, event(ERROR) + DONE_EVENT), "failed", "error_event"),
    "empty": (lambda tape: None, "failed", "empty"),
}


@pytest.mark.parametrize(("body", "outcome", "kind"), STOCK.values(), ids=STOCK)
def test_answers_that_another_client_decoded(tmp_path, body, outcome, kind):
    """The same outcomes from heads and bodies as httpx gives them; its times are the loop's."""
    tape = HandTape(tmp_path, transport="httpx")
    tape.start(1)
    tape.sent(1, 1)
    tape.stock_head(1, 50, 200, "text/event-stream")
    body(tape)
    tape.end(1, 99)
    [row] = tape.transcribed()
    assert (row["outcome"], row["error_kind"], row["http_status"]) == (outcome, kind, 200)
    assert row["headers_ns"] == 50_000_000
    assert row["pickup_lag_max_ns"] is None
    if outcome == "ok":
        assert row["chunk_ns"] == row["chunk_loop_ns"] == [60_000_000, 61_000_000, 62_000_000]


def test_a_read_behind_the_last_chunk_is_no_event(tmp_path):
    """What looks like a chunk in the trailer of a message is not read as one."""
    tape = HandTape(tmp_path)
    extra = chunk(event(with_usage(completion("more"), 9)))
    tape.exchange(1, timed([*OK[:-1], b"0\r\n", extra, b"\r\n"]))
    [row] = tape.transcribed()
    assert (row["outcome"], row["output_tokens"]) == ("ok", 3)


def test_a_whole_answer_in_one_read(tmp_path):
    """A fast server's answer in one read is ok; its events share the one stamp."""
    tape = HandTape(tmp_path)
    tape.exchange(1, [(50, b"".join(OK))])
    [row] = tape.transcribed()
    assert (row["outcome"], row["output_tokens"]) == ("ok", 3)
    assert row["chunk_ns"] == [50_000_000] * 3
    assert row["chunk_shared"] == [True, True, False]
