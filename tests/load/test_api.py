"""Events of completions and chat say what they say, in all the shapes that servers send."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tapes import chat, completion, usage_event, with_usage

from benchkit.load.api import Event, MalformedEvent, error_of_body, read_event

NOTHING = Event(False, "", "", False, 0, None, None, None, None)
CHOICE = NOTHING._replace(has_choice=True)
TOOL = [{"index": 0, "function": {"arguments": '{"a'}}]

READINGS = {
    "text of a completion": (completion(" hi"), CHOICE._replace(text=" hi")),
    "its end": (completion("", finish="stop"), CHOICE._replace(finish_reason="stop")),
    "text and end in one": (
        completion("hi", finish="length"),
        CHOICE._replace(text="hi", finish_reason="length"),
    ),
    "a role-only delta": (chat(role="assistant", content=""), CHOICE),
    "a role-only delta of nulls": (chat(role="assistant", content=None, tool_calls=None), CHOICE),
    "content": (chat(content="hi"), CHOICE._replace(text="hi")),
    "reasoning": (chat(reasoning="hm"), CHOICE._replace(reasoning="hm")),
    "reasoning under its other name": (
        chat(reasoning_content="hm", content=None),
        CHOICE._replace(reasoning="hm"),
    ),
    "both names": (chat(reasoning="hm", reasoning_content="hm"), CHOICE._replace(reasoning="hm")),
    "the turn from reasoning to answer": (
        chat(reasoning="hm", content="hi"),
        CHOICE._replace(reasoning="hm", text="hi"),
    ),
    "a tool call": (chat(tool_calls=TOOL), CHOICE._replace(tool_call=True)),
    "a function call": (chat(function_call={"name": "f"}), CHOICE._replace(tool_call=True)),
    "a refusal": (chat(refusal="I can't"), CHOICE._replace(text="I can't")),
    "content in parts": (
        chat(content=[{"type": "text", "text": "h"}, {"type": "text", "text": "i"}, {"type": "image"}]),
        CHOICE._replace(text="hi"),
    ),
    "an empty delta with the end": (chat(finish="tool_calls"), CHOICE._replace(finish_reason="tool_calls")),
    "a whole message": (
        {"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]},
        CHOICE._replace(text="hi", finish_reason="stop"),
    ),
    "token ids": (completion("hi", token_ids=[5, 6, 7]), CHOICE._replace(text="hi", token_ids=3)),
    "no token ids": (completion("hi", token_ids=None), CHOICE._replace(text="hi")),
    "an empty finish reason is none": (completion("hi", finish=""), CHOICE._replace(text="hi")),
    "no usage yet": ({**completion("hi"), "usage": None}, CHOICE._replace(text="hi")),
    "no error": ({**completion("hi"), "error": None}, CHOICE._replace(text="hi")),
    "another kind of event": ({"type": "ping"}, NOTHING),
    "an error object": (
        {"error": {"message": "out of memory", "type": "server_error", "code": 500}},
        NOTHING._replace(error="out of memory (code 500)"),
    ),
    "an error as text": ({"error": "out of memory"}, NOTHING._replace(error="out of memory")),
    "an error of vLLM's old kind": (
        {"object": "error", "message": "too long", "type": "BadRequestError", "code": 400},
        NOTHING._replace(error="too long (code 400)"),
    ),
    "an error object that says nothing": ({"error": {}}, NOTHING._replace(error="{'error': {}}")),
    "an error beside a choice": (
        {**completion("", finish="error"), "error": {"message": "upstream died", "code": 502}},
        CHOICE._replace(finish_reason="error", error="upstream died (code 502)"),
    ),
    "a finish reason that is an error": (
        completion("", finish="error"),
        CHOICE._replace(
            finish_reason="error", error="the server broke the answer off: finish_reason 'error'"
        ),
    ),
    "an abort": (
        completion("", finish="abort"),
        CHOICE._replace(
            finish_reason="abort", error="the server broke the answer off: finish_reason 'abort'"
        ),
    ),
}


@pytest.mark.parametrize(("value", "expected"), READINGS.values(), ids=READINGS)
def test_an_event_is_read(value, expected):
    """Each shape gives the same few facts."""
    assert read_event(json.dumps(value).encode()) == expected


@pytest.mark.parametrize("has_choice", [True, False])
def test_usage_is_read_on_any_event(has_choice):
    """``usage`` comes on chunks with choices and on one without."""
    value = with_usage(completion("hi"), 7) if has_choice else usage_event(7)
    event = read_event(json.dumps(value).encode())
    assert event.has_choice is has_choice
    assert event.completion_tokens == 7
    assert event.usage == {"prompt_tokens": 16, "total_tokens": 23, "completion_tokens": 7}


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (3.0, 3), (None, None)])
def test_counts_may_be_written_oddly(count, expected):
    """A count as a float is one; null is none."""
    data = json.dumps({"choices": [], "usage": {"completion_tokens": count}}).encode()
    assert read_event(data).completion_tokens == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b'{"choices": [',
        b"[1, 2]",
        b'"text"',
        b"null",
        b'{"choices": 5}',
        b'{"choices": {"0": {}}}',
        b'{"choices": ["text"]}',
        b'{"choices": [null]}',
        b'{"choices": [{"delta": "text"}]}',
        b'{"choices": [{"token_ids": 5}]}',
        b'{"choices": [], "usage": [1]}',
        b'{"choices": [], "usage": {"completion_tokens": "5"}}',
        b'{"choices": [], "usage": {"completion_tokens": true}}',
        b'{"choices": [], "usage": {"completion_tokens": -1}}',
        b'{"choices": [], "usage": {"completion_tokens": 1e300}}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_of_the_api_is_refused_by_name(data):
    """No server's bytes lead to another error than ``MalformedEvent``."""
    with pytest.raises(MalformedEvent):
        read_event(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"choices": [{"text": "hi", "logprobs": [NaN, -Infinity]}]}', "hi"),
        (b'{"choices": [{"text": "caf\xc3"}]}', "caf\N{REPLACEMENT CHARACTER}"),
        (b'{"choices": [{"text": "\\ud83d"}]}', "\ud83d"),
    ],
)
def test_what_browsers_read_is_read(data, text):
    """NaN, half a character in UTF-8 and half of a UTF-16 pair are no reason to lose an answer."""
    assert read_event(data).text == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["delta", "message", "text", "finish_reason", "token_ids", "content", "reasoning"])
PARTS = st.sampled_from(["content", "reasoning", "refusal", "tool_calls", "function_call", "text"])
CHOICES = st.lists(st.dictionaries(NAMES, JSON | st.dictionaries(PARTS, JSON), max_size=4) | JSON, max_size=2)
USAGE = st.dictionaries(st.sampled_from(["completion_tokens", "prompt_tokens"]), JSON)
EVENTS = st.fixed_dictionaries({"choices": CHOICES | JSON, "usage": USAGE | JSON, "error": JSON})


@settings(deadline=None, max_examples=100)
@given(EVENTS | JSON)
def test_any_json_is_read_or_refused(value):
    """An event of the API's outline and any content gives facts of the right types, or ``MalformedEvent``."""
    try:
        event = read_event(json.dumps(value).encode())
    except MalformedEvent:
        return
    assert isinstance(event, Event)
    assert isinstance(event.text, str)
    assert isinstance(event.reasoning, str)
    assert isinstance(event.tool_call, bool)
    assert isinstance(event.token_ids, int)
    assert event.finish_reason is None or isinstance(event.finish_reason, str)
    assert event.error is None or isinstance(event.error, str)
    assert event.completion_tokens is None or 0 <= event.completion_tokens < 2**31


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (orjson.dumps({"error": {"message": "no such model", "code": 404}}), "no such model (code 404)"),
        (orjson.dumps({"object": "error", "message": "no", "code": None}), "no"),
        (orjson.dumps({"detail": "Not Found"}), "Not Found"),
        (orjson.dumps(["odd"]), "['odd']"),
        (b"<html>502 Bad Gateway</html>\n", "<html>502 Bad Gateway</html>"),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
        (b"", ""),
    ],
)
def test_an_error_body_says_why(body, text):
    """What an error answer says is found in any shape."""
    assert error_of_body(body) == text
