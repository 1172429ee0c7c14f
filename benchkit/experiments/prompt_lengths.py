"""Settles how text prompts get their exact length: who counts, with which words, and what the server adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from benchkit.errors import TargetError
from benchkit.experiments import counting
from benchkit.experiments.findings import Finding, Level
from benchkit.http import ControlClient
from benchkit.plan.vocabulary import DEFAULT_VOCABULARY, Vocabulary

__all__ = ["Counted", "PromptForm", "WordCosts", "count_words", "settle"]

_SAMPLE_TOKENS = 48
_SOURCES = {
    "tokenizer_file": "counted with the tokenizer file",
    "tokenize_endpoint": "counted by the server's /tokenize",
    "usage_probe": "counted by the usage of short prompts",
}


class PromptForm(Protocol):
    """The parameters that decide how prompts are counted."""

    @property
    def endpoint(self) -> str:
        """``chat`` or ``completions``."""

    @property
    def tokenizer(self) -> str:
        """Path of a tokenizer file; empty for none."""


@dataclass(frozen=True, slots=True)
class WordCosts:
    """What a tokenizer says of words, before the server's own additions are known."""

    costs: Mapping[str, int]
    source: str
    ids: counting.Tokenizer


class Counted(NamedTuple):
    """The words that prompts are made of, and how sure their lengths are."""

    vocabulary: Vocabulary
    finding: Finding


def count_words(client: ControlClient, model: str, form: PromptForm) -> WordCosts | None:
    """Give words with their cost by the tokenizer file, else by ``/tokenize``; None where there is neither.

    Raises:
        InvalidParameter: A tokenizer file was named that cannot be read.
    """
    if form.tokenizer:
        ids, source = counting.file_tokenizer(form.tokenizer), "tokenizer_file"
    else:
        ids, source = counting.server_tokenizer(client, model), "tokenize_endpoint"
    costs = counting.costs_by_tokenizer(ids)
    return WordCosts(costs, source, ids) if costs else None


def settle(
    client: ControlClient,
    model: str,
    form: PromptForm,
    words: WordCosts | None,
    *,
    sent_text: str,
    sent_tokens: int | None,
    prompt_tokens: counting.PromptTokens,
) -> Counted:
    """Give the vocabulary of the run's prompts.

    Args:
        client: The server.
        model: Its model.
        form: The run's parameters.
        words: What a tokenizer said, if any.
        sent_text: The prompt of a probe.
        sent_tokens: What the server's ``usage`` counted for it; None if it does not say.
        prompt_tokens: Asks the server's ``usage`` for further prompts.
    """
    if words is None:
        return (
            _by_usage(prompt_tokens)
            if sent_tokens is not None
            else _uncounted("the server does not count prompts")
        )
    text_ids = words.ids(sent_text)
    by_usage = None if sent_tokens is None or text_ids is None else sent_tokens - len(text_ids)
    by_endpoint = None if by_usage is not None else _endpoint_overhead(client, model, form, words, sent_text)
    overhead = by_usage if by_usage is not None else by_endpoint
    how = _SOURCES[words.source]
    if overhead is not None and overhead < 0:
        finding = Finding(
            Level.WARNING,
            "prompt_lengths",
            f"{how}, but the server counts {-overhead} fewer: its tokenizer is another; lengths are near",
            "give the tokenizer of the served model: tokenizer",
        )
        return Counted(counting.vocabulary(words.costs, 0, words.source), finding)
    vocabulary = counting.vocabulary(words.costs, overhead or 0, words.source)
    sample = words.ids(counting.sample_text(vocabulary, _SAMPLE_TOKENS))
    got = None if sample is None else len(sample)
    if got != _SAMPLE_TOKENS:
        text = f"{how}, but a sample of {_SAMPLE_TOKENS} tokens has {got}: lengths are near, not exact"
        remedy = "for exact lengths use prompt_form 'token_ids' with endpoint 'completions'"
        return Counted(vocabulary, Finding(Level.WARNING, "prompt_lengths", text, remedy))
    if overhead is None:
        text = f"{how}; what the server adds (chat template) is unknown and left out"
        return Counted(vocabulary, Finding(Level.NOTE, "prompt_lengths", text))
    text = f"{how} ({len(words.costs)} words); the server adds {overhead}"
    return Counted(vocabulary, Finding(Level.OK, "prompt_lengths", text))


def _endpoint_overhead(
    client: ControlClient, model: str, form: PromptForm, words: WordCosts, text: str
) -> int | None:
    messages = [{"role": "user", "content": text}]
    try:
        whole = (
            client.tokenize(model, messages=messages)
            if form.endpoint == "chat"
            else client.tokenize(model, prompt=text)
        )
    except TargetError:
        return None
    part = words.ids(text)
    return None if whole is None or part is None else len(whole) - len(part)


def _by_usage(prompt_tokens: counting.PromptTokens) -> Counted:
    found = counting.costs_by_usage(prompt_tokens)
    if found is None:
        return _uncounted("no words of one token were found by the usage of short prompts")
    costs, overhead = found
    vocabulary = counting.vocabulary(costs, overhead, "usage_probe")
    text = f"{_SOURCES['usage_probe']} ({len(costs)} words); the server adds {overhead}"
    return Counted(vocabulary, Finding(Level.OK, "prompt_lengths", text))


def _uncounted(why: str) -> Counted:
    remedy = "give a tokenizer file (tokenizer), or use prompt_form 'token_ids' with endpoint 'completions'"
    text = f"{why}: a word is taken for a token, real lengths differ"
    return Counted(DEFAULT_VOCABULARY, Finding(Level.WARNING, "prompt_lengths", text, remedy))
