"""The embedded server's tokenizer."""

from hypothesis import given
from hypothesis import strategies as st

from benchkit.serving.simulated import tokens


@given(st.text())
def test_counting_agrees_with_tokenizing(text):
    """The count of a text is the number of its token ids, whatever the text."""
    assert tokens.count_tokens(text) == len(tokens.tokenize(text))


@given(st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text()}), min_size=1))
def test_chat_counting_agrees_with_tokenizing(messages):
    """The same holds for chats, whose template costs tokens of its own."""
    assert tokens.count_chat_tokens(messages) == len(tokens.tokenize_chat(messages))


def test_long_words_are_cut():
    """A word of up to eight characters is one token, one of 17 is three."""
    assert tokens.count_tokens("a abcdefgh " + "x" * 17) == 1 + 1 + 3


def test_answers_count_as_they_were_generated():
    """Every word of which answers are made is one token, and needs no escape in JSON."""
    text = b"".join(tokens.WORDS).decode()

    assert tokens.count_tokens(text) == len(tokens.WORDS)
    assert set('"\\') & set(text) == set()


def test_ids_are_in_the_vocabulary():
    """Token ids may be sent back as a prompt."""
    ids = tokens.tokenize("the quick brown fox jumps over the lazy dog")

    assert all(0 <= token < tokens.VOCABULARY_SIZE for token in ids)
