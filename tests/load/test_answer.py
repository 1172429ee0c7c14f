"""The reads of one answer become its row: tokens, their times, and texts, however the bytes come."""

import itertools
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tapes import (
    DONE_EVENT,
    LAST_CHUNK,
    chat,
    chunk,
    completion,
    event,
    head,
    streamed,
    tokens,
    usage_event,
    with_usage,
)

from benchkit.load.answer import Answer
from benchkit.load.parts import Finished, table
from benchkit.load.verdict import judge_ended
from benchkit.records.kinds import Outcome

MS = 1_000_000
META = {"index": 0, "phase": "window", "session": 0, "turn": 0, "class": "c", "wanted": None, "hash": "h"}


def row(reads, *, wanted=None, pickled=False):
    """The row of an answer whose reads come at 10, 20, … ms and are picked up 1 ms later."""
    answer = Answer(META | {"wanted": wanted}, 0)
    answer.sent_ns = 0
    answer.request = b"{}"
    for number, data in enumerate(reads, start=1):
        answer.wire(data, number * 10 * MS, (number * 10 + 1) * MS)
        if pickled:
            answer = pickle.loads(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
    answer.ended()
    outcome = judge_ended(answer, exact_length=True)
    found = table([Finished(answer, outcome)], 0, 0, "target", "model").to_pylist()[0]
    return found | {"text": "".join(answer.text)}


def ms(value):
    return None if value is None else value / MS


def chat_answer(*values):
    return row(streamed([chat(role="assistant", content=""), *values]))


FINISH = chat("stop")


def test_a_token_a_chunk_by_continuous_usage():
    """Each rise of ``usage`` is a token at its read's time; the count is the server's."""
    found = row(streamed(tokens(3)))
    assert found["outcome"] == "ok"
    assert found["token_source"] == "chunk_usage"
    assert (found["output_tokens"], found["prompt_tokens"]) == (3, 16)
    assert found["chunk_tokens"] == [1, 1, 1]
    assert [ms(t) for t in found["chunk_ns"]] == [20, 30, 40]
    assert [ms(t) for t in found["chunk_loop_ns"]] == [21, 31, 41]
    assert found["chunk_shared"] == [False] * 3
    times = ("headers_ns", "first_token_ns", "first_text_ns", "first_answer_ns", "last_token_ns", "end_ns")
    assert [ms(found[name]) for name in times] == [10, 20, 20, 20, 40, 60]
    assert found["text"] == " word1 word2 word3"
    assert found["bytes_received"] == sum(map(len, streamed(tokens(3))))


def test_several_tokens_a_chunk():
    """Speculative decoding and merged chunks: the rise of ``usage`` says how many tokens each bears."""
    counts = [1, 4, 4, 9]
    values = [with_usage(completion("x" if count != 4 else ""), count) for count in counts]
    values.append(with_usage(completion(finish="stop"), 9))
    found = row(streamed([*values, usage_event(9)]))
    assert found["chunk_tokens"] == [1, 3, 5]
    assert [ms(t) for t in found["chunk_ns"]] == [20, 30, 50]
    assert found["output_tokens"] == 9


def test_a_token_that_shows_no_text_yet_is_a_token():
    """Half a character, or text held back for a stop string: ``usage`` rises first, text comes later."""
    values = [
        with_usage(chat(role="assistant", content=""), 0),
        with_usage(chat(content=""), 1),
        with_usage(chat(content=""), 2),
        with_usage(chat(content="\N{SLIGHTLY SMILING FACE}"), 3),
        with_usage(chat("stop", content=" ok"), 3),
    ]
    found = row(streamed(values))
    assert (ms(found["first_token_ns"]), ms(found["first_text_ns"])) == (30, 50)
    assert found["chunk_tokens"] == [1, 1, 1]
    assert ms(found["last_token_ns"]) == 50
    assert found["text"] == "\N{SLIGHTLY SMILING FACE} ok"


def test_final_usage_that_equals_the_events():
    """One ``usage`` at the end that says as many tokens as events: one token each."""
    found = row(streamed([*tokens(3, continuous=False), usage_event(3)]))
    assert (found["token_source"], found["output_tokens"]) == ("final_usage", 3)
    assert found["chunk_tokens"] == [1, 1, 1]


def test_final_usage_that_differs_from_the_events():
    """More tokens than events and nothing that says which: the count is known, tokens a chunk are null."""
    found = row(streamed([*tokens(3, continuous=False), usage_event(5)]))
    assert (found["token_source"], found["output_tokens"]) == ("final_usage_differs", 5)
    assert found["chunk_tokens"] is None
    assert len(found["chunk_ns"]) == 3


def test_final_usage_on_a_chunk_with_choices():
    """Some put the only ``usage`` on the chunk with the finish reason; that chunk bears no token for it."""
    values = [*tokens(3, continuous=False)[:-1], with_usage(completion(finish="stop"), 2)]
    found = row(streamed(values))
    assert (found["token_source"], found["output_tokens"]) == ("final_usage", 2)
    assert [ms(t) for t in found["chunk_ns"]] == [20, 30]


def test_usage_on_the_first_chunk_and_the_last_only():
    """``usage`` with a count of 0 on the role chunk is no promise that it will count every chunk."""
    values = [
        with_usage(chat(role="assistant", content=""), 0),
        chat(content="a"),
        chat(content="b"),
        with_usage(chat("stop"), 2),
    ]
    found = row(streamed(values))
    assert (found["token_source"], found["output_tokens"]) == ("final_usage", 2)
    assert [ms(t) for t in found["chunk_ns"]] == [30, 40]
    assert found["chunk_tokens"] == [1, 1]


def test_token_ids_count_without_usage():
    """The ids on a chunk are its tokens; text without ids was held back and bears none."""
    values = [
        completion("", token_ids=[1]),
        completion("ab", token_ids=[2, 3]),
        completion("c", token_ids=[]),
        completion("", finish="stop", token_ids=[4]),
    ]
    found = row(streamed(values))
    assert (found["token_source"], found["output_tokens"]) == ("token_ids", 4)
    assert found["chunk_tokens"] == [1, 2, 1]
    assert [ms(t) for t in found["chunk_ns"]] == [20, 30, 50]


def test_without_any_usage_events_are_counted():
    """Text counts as a token an event, and the record says that it was so."""
    found = row(streamed(tokens(4, continuous=False)))
    assert (found["token_source"], found["output_tokens"]) == ("events", 4)
    assert found["prompt_tokens"] is None


def test_a_role_only_delta_is_no_token():
    """What comes before the first content doesn't count."""
    found = chat_answer(chat(content="hi"), FINISH)
    assert ms(found["first_token_ns"]) == 30
    assert found["output_tokens"] == 1


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_text_and_no_answer(name):
    """First token and first text are the reasoning's, the first answer is the content's."""
    found = chat_answer(chat(**{name: "hm"}), chat(**{name: "so"}), chat(content="hi"), FINISH)
    times = ("first_token_ns", "first_text_ns", "first_answer_ns")
    assert [ms(found[time]) for time in times] == [30, 30, 50]
    assert found["output_tokens"] == 3


def test_a_tool_call_is_an_answer():
    """Parts of a tool call bear tokens and are no reasoning."""
    call = [{"index": 0, "id": "x", "function": {"name": "f", "arguments": ""}}]
    found = chat_answer(
        chat(reasoning="hm"), chat(tool_calls=call), chat(tool_calls=call), chat("tool_calls")
    )
    assert (ms(found["first_answer_ns"]), found["output_tokens"]) == (40, 3)
    assert (found["outcome"], found["finish_reason"]) == ("ok", "tool_calls")


def test_usage_tells_more_than_tokens():
    """Prompt, cached and reasoning tokens are the server's; the last word counts, the first is kept."""
    first = with_usage(
        completion("a"), 1, 100, prompt_tokens_details={"cached_tokens": 64}, completion_tokens_details=None
    )
    last = with_usage(
        completion("b", finish="stop"), 2, 100, completion_tokens_details={"reasoning_tokens": 1}
    )
    found = row(streamed([first, last]))
    names = ("prompt_tokens", "cached_tokens", "reasoning_tokens", "output_tokens")
    assert [found[name] for name in names] == [100, 64, 1, 2]


def test_odd_details_of_usage_are_passed_over():
    """Numbers that are none leave their columns null and harm nothing."""
    odd = {"prompt_tokens_details": [1], "completion_tokens_details": {"reasoning_tokens": "many"}}
    found = row(streamed([with_usage(completion("a", finish="stop"), 1, 2**70, **odd)]))
    assert found["outcome"] == "ok"
    assert [found[name] for name in ("prompt_tokens", "cached_tokens", "reasoning_tokens")] == [None] * 3


def test_a_count_that_falls_is_not_counted_twice():
    """A server that restarts its count adds no tokens until it has passed the old one."""
    values = [with_usage(completion("x"), count) for count in (1, 3, 1, 2, 4)]
    found = row(streamed([*values, with_usage(completion(finish="stop"), 4)]))
    assert found["chunk_tokens"] == [1, 2, 1]


WILD = {
    "no [DONE]": [head(), *(chunk(event(v)) for v in tokens(3)), LAST_CHUNK],
    "blanks behind [DONE]": [*streamed(tokens(3), done=False)[:-1], chunk(b"data: [DONE] \n\n"), LAST_CHUNK],
    "pings between": [head(), *(chunk(b": ping\n\n" + event(v)) for v in tokens(3)), LAST_CHUNK],
    "pings of their own": [
        head(),
        *(c for v in tokens(3) for c in (chunk(b": p\n\n"), chunk(event(v)))),
        LAST_CHUNK,
    ],
    "empty events between": [
        head(),
        *(c for v in tokens(3) for c in (chunk(b"data:\n\n"), chunk(event(v)))),
        LAST_CHUNK,
    ],
    "named events": [head(), *(chunk(b"event: token\nid: 1\n" + event(v)) for v in tokens(3)), LAST_CHUNK],
    "no space": [head(), *(chunk(event(v).replace(b": ", b":", 1)) for v in tokens(3)), LAST_CHUNK],
    "CRLF": [head(), *(chunk(event(v).replace(b"\n", b"\r\n")) for v in tokens(3)), LAST_CHUNK],
    "several data lines": [
        head(),
        *(
            chunk(b"data: " + json.dumps(v, indent=1).replace("\n", "\ndata: ").encode() + b"\n\n")
            for v in tokens(3)
        ),
        LAST_CHUNK,
    ],
    "a last event without its blank line": [
        *streamed(tokens(3), done=False)[:-2],
        chunk(event(tokens(3)[-1])[:-2]),
        LAST_CHUNK,
    ],
    "upper-case chunk sizes": [
        head(),
        *(b"%X\r\n%b\r\n" % (len(event(v)), event(v)) for v in tokens(3)),
        LAST_CHUNK,
    ],
    "until the connection ends": [head(server="x"), *(event(v) for v in tokens(3))],
    "an informational answer first": [b"HTTP/1.1 103 Early Hints\r\n\r\n", *streamed(tokens(3))],
}


@pytest.mark.parametrize("reads", WILD.values(), ids=WILD)
def test_streams_as_found_in_the_wild(reads):
    """Every way of writing the same three tokens gives the same row."""
    found = row(reads)
    assert found["outcome"] == "ok", found["error"]
    assert (found["output_tokens"], found["token_source"]) == (3, "chunk_usage")
    assert found["text"] == " word1 word2 word3"
    assert found["finish_reason"] == "length"
    assert row([b"".join(reads)])["text"] == found["text"]


def test_a_character_split_between_reads():
    """Bytes of one character that come in two reads are that character, at the time of the second."""
    wire = b"".join(streamed([with_usage(completion("\N{SLIGHTLY SMILING FACE}", finish="stop"), 1)]))
    cut = wire.index(b"\xf0\x9f") + 2
    found = row([wire[:cut], wire[cut:]])
    assert found["text"] == "\N{SLIGHTLY SMILING FACE}"
    assert ms(found["first_token_ns"]) == 20


def test_events_that_share_a_read_are_censored():
    """Of token-bearing events in one read all but the last are flagged; one alone is not."""
    first, second, third, last = (chunk(event(v)) for v in tokens(4))
    found = row([head(), first + second + third, last + chunk(DONE_EVENT) + LAST_CHUNK])
    assert found["chunk_shared"] == [True, True, False, False]
    assert [ms(t) for t in found["chunk_ns"]] == [20, 20, 20, 30]


def test_events_that_share_a_read_with_none_that_bears_a_token_are_not():
    """A role chunk, a ping or a finish reason in the same read censors nothing."""
    opening = chunk(event(chat(role="assistant", content="")))
    found = row(
        [head() + opening + chunk(event(chat(content="a"))), chunk(b": p\n\n"), *streamed([FINISH])[1:]]
    )
    assert found["chunk_shared"] == [False]


def test_an_event_in_two_chunks_and_two_events_in_one():
    """Chunks and events need not agree: an event's time is that of the read that completes it."""
    first, second, third = (event(value) for value in tokens(3))
    found = row(
        [head(), chunk(first[:40]), chunk(first[40:] + second + third[:9]), chunk(third[9:]), LAST_CHUNK]
    )
    assert [ms(t) for t in found["chunk_ns"]] == [30, 30, 40]
    assert found["chunk_shared"] == [True, False, False]


def test_line_ends_that_change_within_a_chunk():
    """What looks like one event at a glance may be two, the first of them ended by CR."""
    first, second, third = (event(value) for value in tokens(3))
    found = row([head(), chunk(first), chunk(second.replace(b"\n", b"\r") + third), LAST_CHUNK])
    assert (found["outcome"], found["chunk_tokens"]) == ("ok", [1, 1, 1])


def test_a_read_that_ends_like_a_chunk_and_is_none():
    """A chunk's size decides where it ends, not what its bytes look like."""
    first, second, third = (event(value) for value in tokens(3))
    both = chunk(second + b"\r\n" + third)
    cut = both.index(third)
    found = row([head(), chunk(first), both[:cut], both[cut:], LAST_CHUNK])
    assert (found["outcome"], found["chunk_tokens"]) == ("ok", [1, 1, 1])
    assert [ms(t) for t in found["chunk_ns"]] == [20, 30, 40]


def test_the_second_half_of_an_event_looks_like_a_whole_one():
    """A data line that goes on with an event begun in an earlier chunk is not an event of its own."""
    first, second, third = tokens(3)
    begun, rest = json.dumps(second).split(", ", 1)
    halves = [chunk(b"data: %b,\n" % begun.encode()), chunk(b"data: %b\n\n" % rest.encode())]
    found = row([head(), chunk(event(first)), *halves, chunk(event(third)), LAST_CHUNK])
    assert (found["outcome"], found["chunk_tokens"]) == ("ok", [1, 1, 1])


def test_an_answer_that_was_not_streamed():
    """A JSON body is one event at its end."""
    value = {
        "choices": [{"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5},
    }
    body = json.dumps(value).encode()
    found = row([head(content_type="application/json", content_length=str(len(body))), body[:20], body[20:]])
    assert (found["outcome"], found["output_tokens"], found["chunk_tokens"]) == ("ok", 5, [5])
    assert (ms(found["headers_ns"]), ms(found["first_token_ns"]), ms(found["end_ns"])) == (10, 30, 30)


def test_an_answer_may_be_pickled_between_any_two_bytes():
    """A transcriber that dies anywhere goes on where it was."""
    wire = b"".join(
        [head(), *(chunk(b": p\n\n" + event(v).replace(b"\n", b"\r\n")) for v in tokens(2)), LAST_CHUNK]
    )
    pieces = [wire[place : place + 1] for place in range(len(wire))]
    assert row(pieces, pickled=True) == row(pieces)


STAMPS = {"chunk_ns", "chunk_loop_ns", "chunk_shared", "pickup_lag_max_ns"}


def content(found):
    return {name: value for name, value in found.items() if name not in STAMPS and not name.endswith("_ns")}


@st.composite
def answers(draw):
    """The bytes of an answer of any kind of events, line ends and framing, in the server's own pieces."""
    word = st.sampled_from(["", "a", "\N{SLIGHTLY SMILING FACE}", "line\nend", "\\", "}\n\n"])
    style = draw(st.sampled_from(["continuous", "final", "none", "ids", "some"]))
    values, total = [], 0
    for _ in range(draw(st.integers(0, 6))):
        name = draw(st.sampled_from(["content", "content", "reasoning", "reasoning_content"]))
        value = chat(**{name: draw(word)}) if draw(st.booleans()) else completion(draw(word))
        count = draw(st.integers(0, 3))
        total += count
        if style == "continuous" or (style == "some" and draw(st.booleans())):
            value = with_usage(value, total)
        if style == "ids":
            value["choices"][0]["token_ids"] = list(range(count))
        values.append(value)
    if draw(st.booleans()):
        values.append(draw(st.sampled_from([chat("stop"), completion(finish="length")])))
    if style == "final":
        values.append(usage_event(total))
    if draw(st.integers(0, 9)) == 0:
        values.append({"error": {"message": "gone"}})
    events = [event(value) for value in values] + ([DONE_EVENT] if draw(st.booleans()) else [])
    ending = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    between = draw(st.sampled_from([b"", b": ping\n\n", b"event: token\n", b"data:\n\n"]))
    pieces = [(between + data).replace(b"\n", ending) for data in events]
    framing = draw(st.sampled_from(["a chunk an event", "any chunks", "length", "close"]))
    if framing == "length":
        return [head(content_length=str(sum(map(len, pieces)))), *pieces]
    if framing == "close":
        return [head(server="x"), *pieces]
    if framing == "any chunks":
        body = b"".join(pieces)
        size = draw(st.integers(1, 200))
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return [head(), *map(chunk, filter(None, pieces)), LAST_CHUNK]


@settings(deadline=None, max_examples=50)
@given(answers(), st.lists(st.floats(0, 1), max_size=10), st.booleans())
def test_a_row_does_not_depend_on_how_the_bytes_came(pieces, cuts, pickled):
    """In the server's pieces, in one read, or cut and pickled anywhere: the same row but for stamps."""
    wire = b"".join(pieces)
    edges = [0, *sorted(int(cut * len(wire)) for cut in cuts), len(wire)]
    parts = [wire[start:stop] for start, stop in itertools.pairwise(edges) if stop > start]
    expected = content(row(pieces))
    assert content(row([wire])) == expected
    assert content(row(parts, pickled=pickled)) == expected


@settings(deadline=None, max_examples=60)
@given(answers(), st.data())
def test_no_bytes_break_the_reading(pieces, data):
    """Bytes changed, dropped or doubled anywhere: there is a row with an outcome all the same."""
    wire = bytearray(b"".join(pieces))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(0, len(wire) - 1)))
        wire[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
    found = row([bytes(wire[:400]), bytes(wire[400:])])
    assert found["outcome"] in set(Outcome)
