"""What the prefix cache knows a request's tokens by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.serving.simulated import tokens
from benchkit.serving.simulated.api import read_call
from benchkit.serving.simulated.blocks import block_hashes
from benchkit.serving.simulated.settings import Settings

IDS = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def hashes(block_size=16, **body):
    chat = "messages" in body
    call = read_call({"ignore_eos": True, "max_tokens": 1} | body, chat=chat, settings=Settings())
    return block_hashes(body, call, block_size)


@given(first=IDS, second=IDS)
def test_blocks_are_equal_as_far_as_the_tokens_are(first, second):
    """Two prompts share just the full blocks of their common beginning, whatever follows."""
    one, other = hashes(4, prompt=first)[: len(first) // 4], hashes(4, prompt=second)[: len(second) // 4]
    equal = [a == b for a, b in zip(one, other, strict=False)]
    expected = [first[: 4 * n] == second[: 4 * n] for n in range(1, len(equal) + 1)]
    assert equal == expected


@given(text=st.text(max_size=200).filter(str.strip))
def test_a_text_is_its_tokens(text):
    """Given as ids a prompt is found where it was given as a text; their number is what is counted."""
    ids = tokens.tokenize(text)
    assert len(ids) == tokens.count_tokens(text)
    assert hashes(4, prompt=text)[: len(ids) // 4] == hashes(4, prompt=ids)[: len(ids) // 4]


@pytest.mark.parametrize("stops", [False, True])
def test_an_answer_is_found_in_the_next_turn(stops):
    """The hashes of prompt and answer are the beginning of those of the prompt that continues them."""
    messages = [{"role": "user", "content": "tell me a story about a fox and a goose"}]
    body = {"messages": messages, "ignore_eos": not stops, "max_tokens": 5_000}
    call = read_call(body, chat=True, settings=Settings())
    assert call.finish_reason == ("stop" if stops else "length")
    first = block_hashes(body, call, 16)
    text = b"".join(tokens.WORDS[(call.word + at) % len(tokens.WORDS)] for at in range(call.text_tokens))
    messages = [
        *messages,
        {"role": "assistant", "content": text.decode()},
        {"role": "user", "content": "more"},
    ]
    assert hashes(messages=messages)[: len(first)] == first
    assert len(first) == (call.prompt_tokens + call.output_tokens) // 16


def test_a_salt_sets_apart():
    """With another cache_salt nothing is shared, with the same one all."""
    prompt = list(range(64))
    assert hashes(prompt=prompt, cache_salt="a") == hashes(prompt=prompt, cache_salt="a")
    assert not set(hashes(prompt=prompt, cache_salt="a")) & set(hashes(prompt=prompt))
