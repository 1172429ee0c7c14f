"""What one answer shows is read from its events and their times."""

import json

import pytest

from benchkit.answers import Answer, Read, StreamedAnswer
from benchkit.experiments.probe import Ask, read_probe


def streamed(*events, gap_ms=10, status=200, reads=None):
    """An answer whose events come ``gap_ms`` apart, the first 50 ms after the request."""
    texts = [event if isinstance(event, str) else f"data: {json.dumps(event)}\n\n" for event in events]
    times = [50_000_000 + at * gap_ms * 1_000_000 for at in range(len(texts))]
    parts = tuple(Read(t, text.encode()) for t, text in zip(times, texts, strict=True))
    body = b"".join(read.data for read in parts)
    end = (times[-1] if times else 50_000_000) + 1_000_000
    headers = {"content-type": "text/event-stream"}
    return StreamedAnswer(Answer(status, headers, body), 0, 49_000_000, reads or parts, end)


def chunk(text="", *, finish=None, tokens=None, **delta):
    choice = {"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish}
    usage = {} if tokens is None else {"usage": {"prompt_tokens": 9, "completion_tokens": tokens}}
    return {"choices": [choice]} | usage


def test_usage_on_each_event_counts_tokens():
    """Events bear tokens as the count rises; the role-only beginning and the finish do not."""
    probe = read_probe(
        streamed(
            chunk(role="assistant", tokens=0),
            chunk("a", tokens=1),
            chunk("bc", tokens=3),
            chunk("", tokens=4),
            chunk("", finish="length", tokens=4),
            "data: [DONE]\n\n",
        )
    )
    assert (probe.events, probe.output_tokens, probe.prompt_tokens) == (3, 4, 9)
    assert probe.usage == "continuous"
    assert probe.ttft_ms == 60
    assert probe.spread_ms == 20
    assert probe.latency_ms == 101
    assert probe.finish_reason == "length"
    assert probe.done
    assert probe.error is None


def test_usage_at_the_end_leaves_the_events_to_count():
    """With one usage at the end, events with text, reasoning or a tool call bear tokens."""
    final = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
    probe = read_probe(
        streamed(
            chunk(role="assistant"),
            chunk(reasoning_content="hm"),
            chunk(reasoning="hm"),
            chunk("a"),
            chunk(tool_calls=[{"index": 0}]),
            chunk(finish="stop"),
            final,
        )
    )
    assert (probe.events, probe.output_tokens, probe.usage) == (4, 5, "final")
    assert not probe.done


def test_usage_on_the_last_choice_is_final():
    """Some servers put the only usage on the chunk that has the finish reason."""
    probe = read_probe(streamed(chunk("a"), chunk("b"), chunk("c", finish="length", tokens=3)))
    assert (probe.events, probe.output_tokens, probe.usage) == (3, 3, "final")


def test_a_single_token_with_usage_is_continuous():
    """An answer of one token whose only event has usage has it on every token."""
    probe = read_probe(streamed(chunk("a", finish="length", tokens=1)))
    assert (probe.events, probe.usage) == (1, "continuous")


def test_no_usage_is_none():
    """Without any usage nothing is known of tokens."""
    probe = read_probe(streamed(chunk("a"), chunk("b", finish="stop")))
    assert (probe.events, probe.output_tokens, probe.prompt_tokens, probe.usage) == (2, None, None, "none")


def test_token_ids_bear_tokens_without_text():
    """Half a character has a token and no text."""
    event = chunk("")
    event["choices"][0]["token_ids"] = [5]
    probe = read_probe(streamed(event, event))
    assert probe.has_token_ids
    assert probe.events == 2


def test_errors_in_the_stream_are_read():
    """An error event, and an event that is no JSON, end what can be believed."""
    assert read_probe(streamed(chunk("a"), {"error": {"message": "boom"}})).error.startswith("boom")
    assert "not JSON" in read_probe(streamed(chunk("a"), "data: {half\n\n", chunk("b"))).error


def test_other_statuses_have_their_words():
    """A refusal shows its status and what the server says."""
    answer = Answer(400, {"content-type": "application/json"}, b'{"error": {"message": "no such field"}}')
    probe = read_probe(StreamedAnswer(answer, 0, 1, (Read(2, answer.body),), 3))
    assert (probe.status, probe.error, probe.events) == (400, "no such field", 0)


def test_facts_are_json_without_headers():
    """What the manifest keeps of a probe holds no header of the server."""
    answer = streamed(chunk("a", tokens=1))
    answer.answer.headers["set-cookie"] = "session=abc"
    facts = read_probe(answer).as_dict()
    assert "abc" not in json.dumps(facts)
    assert facts["events"] == 1


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_probes_have_the_form_of_the_load(endpoint):
    """A probe sends the same fields as the plan's bodies do, the user's own last."""
    ask = Ask(
        endpoint=endpoint,
        model="m",
        prompt="hello",
        max_tokens=8,
        stream_usage="final",
        ignore_eos=True,
        temperature=0.0,
        extra_body={"top_k": 1, "temperature": 0.5},
        timeout_s=1.0,
    )
    prompt = (
        {"prompt": "hello"}
        if endpoint == "completions"
        else {"messages": [{"role": "user", "content": "hello"}]}
    )
    assert ask.body() == prompt | {
        "model": "m",
        "max_tokens": 8,
        "temperature": 0.5,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
        "top_k": 1,
    }
