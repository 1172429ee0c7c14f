"""Finds out what words cost in tokens on a server, so that text prompts have exact lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchkit.errors import InvalidParameter, TargetError
from benchkit.http import ControlClient
from benchkit.plan.vocabulary import DEFAULT_VOCABULARY, Vocabulary
from benchkit.records.project import in_project

__all__ = [
    "PromptTokens",
    "Tokenizer",
    "costs_by_tokenizer",
    "costs_by_usage",
    "file_tokenizer",
    "sample_text",
    "server_tokenizer",
    "vocabulary",
]

Tokenizer = Callable[[str], Sequence[int] | None]
"""Token ids of a text without any special tokens; None when it cannot say."""

PromptTokens = Callable[[str], int | None]
"""Tokens that the server counts for a prompt, its own additions included; None when it does not say."""

ENOUGH_WORDS = 64
"""With so many words of one token there is no need for others."""

_GROUP = 24
_MOST_GROUPS = 10


def file_tokenizer(path: str) -> Tokenizer:
    """Give what the tokenizer in a ``tokenizer.json``, or in the folder that holds one, makes of texts.

    Args:
        path: Relative to the project, absolute, or below ``~``.

    Raises:
        InvalidParameter: There is no such file, it is no tokenizer, or the package that reads it is missing.
    """
    file = in_project(path)
    if file.is_dir():
        file /= "tokenizer.json"
    try:
        from tokenizers import Tokenizer as FileTokenizer
    except ImportError:
        raise InvalidParameter(
            "tokenizer: reading a tokenizer file needs the package 'tokenizers'; "
            "install it, or leave tokenizer empty to have the server count"
        ) from None
    if not file.is_file():
        raise InvalidParameter(f"tokenizer: there is no file {path!r}; give a tokenizer.json or its folder")
    try:
        loaded = FileTokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception for any fault of the file
        raise InvalidParameter(f"tokenizer: {path!r} is not a tokenizer file: {error}") from error

    def ids(text: str) -> list[int]:
        tokens: list[int] = loaded.encode(text, add_special_tokens=False).ids
        return tokens

    return ids


def server_tokenizer(client: ControlClient, model: str) -> Tokenizer:
    """Give a tokenizer that asks the server's ``/tokenize``."""

    def ids(text: str) -> list[int] | None:
        try:
            return client.tokenize(model, prompt=text, add_special_tokens=False)
        except TargetError:
            return None

    return ids


def costs_by_tokenizer(
    ids: Tokenizer, words: Sequence[str] = DEFAULT_VOCABULARY.words
) -> dict[str, int] | None:
    """Give words with what they cost, from half a dozen calls for all of them together.

    The words are put between separators whose token is known, and the tokens between two separators counted:
    once behind a space, once at the start of a line, which stands for the start of a prompt. Words of unequal
    cost are left out, unless hardly any would remain.

    Returns:
        Costs by word, at least one of them 1; None when the tokenizer does not answer, cuts across the
        separators, or has no word of one token.
    """
    inner = _costs_behind_space(ids, words)
    if inner is None:
        return None
    first = _costs_at_start(ids, words)
    same = {word: cost for word, cost in inner.items() if first is None or first[word] == cost}
    return _chosen(same if len(_ones(same)) >= ENOUGH_WORDS else inner)


def _costs_behind_space(ids: Tokenizer, words: Sequence[str]) -> dict[str, int] | None:
    head, marks, whole = ids(";"), ids("; ; ; ;"), ids(f"; {' ; '.join(words)} ;")
    if not head or marks is None or whole is None:
        return None
    size, left_over = divmod(len(marks) - len(head), 3)
    mark = list(marks[len(marks) - size :])
    if not mark or left_over or list(marks[len(head) :]) != 3 * mark:
        return None
    groups = _between(whole[len(head) :], mark)
    return _paired(words, groups[:-1]) if groups[-1] == 0 else None


def _costs_at_start(ids: Tokenizer, words: Sequence[str]) -> dict[str, int] | None:
    one, two, whole = ids(words[0]), ids(f"{words[0]}\n{words[0]}"), ids("\n".join(words))
    if one is None or two is None or whole is None or len(two) <= 2 * len(one):
        return None
    return _paired(words, _between(whole, list(two[len(one) : len(two) - len(one)])))


def _between(tokens: Sequence[int], mark: list[int]) -> list[int]:
    """Count the tokens before, between and behind the marks; a mark may be several tokens."""
    counts, at = [0], 0
    while at < len(tokens):
        if list(tokens[at : at + len(mark)]) == mark:
            counts.append(0)
            at += len(mark)
        else:
            counts[-1] += 1
            at += 1
    return counts


def _paired(words: Sequence[str], counts: Sequence[int]) -> dict[str, int] | None:
    if len(words) != len(counts) or 0 in counts:
        return None
    return dict(zip(words, counts, strict=True))


def costs_by_usage(
    prompt_tokens: PromptTokens, words: Sequence[str] = DEFAULT_VOCABULARY.words
) -> tuple[dict[str, int], int] | None:
    """Give words of one token, and what the server adds to a prompt, from the ``usage`` of a few prompts.

    A group that costs as much as it has words is made of words of one token. Groups that cost more are
    halved; a dozen prompts are sent at most.

    Returns:
        Costs by word and the overhead in tokens; None when the server does not say, or no group is found.
    """
    once, twice = prompt_tokens(words[0]), prompt_tokens(f"{words[0]} {words[0]}")
    if once is None or twice is None or twice <= once:
        return None
    overhead = once - (twice - once)
    found: dict[str, int] = {}
    waiting = [words[start : start + _GROUP] for start in range(0, 3 * _GROUP, _GROUP)]
    for _ in range(_MOST_GROUPS):
        if not waiting or len(found) >= ENOUGH_WORDS:
            break
        group = waiting.pop(0)
        total = prompt_tokens(" ".join(group))
        if total is None:
            return None
        if total - overhead == len(group):
            found |= dict.fromkeys(group, 1)
        elif len(group) > 1:
            waiting += [group[: len(group) // 2], group[len(group) // 2 :]]
    return (found, overhead) if found and overhead >= 0 else None


def _ones(costs: Mapping[str, int]) -> dict[str, int]:
    return {word: cost for word, cost in costs.items() if cost == 1}


def _chosen(costs: Mapping[str, int]) -> dict[str, int] | None:
    ones = _ones(costs)
    if len(ones) >= ENOUGH_WORDS:
        return ones
    return dict(costs) if ones else None


def vocabulary(costs: Mapping[str, int], overhead_tokens: int, source: str) -> Vocabulary:
    """Give the vocabulary of counted words."""
    return Vocabulary(tuple(costs), tuple(costs.values()), overhead_tokens, source)


def sample_text(words: Vocabulary, tokens: int) -> str:
    """Give a text of so many tokens, the server's own additions not counted, to check a vocabulary with.

    Words are taken in steps through the list, so that a text of another length has other neighbours.
    """
    ones = [word for word, cost in zip(words.words, words.tokens_per_word, strict=True) if cost == 1]
    step = next(s for s in (7, 5, 3, 2, 1) if len(ones) % s or s == 1)
    return " ".join(ones[(tokens + step * index) % len(ones)] for index in range(tokens))
