"""Words cost what the tokenizer says, and prompts made of them have the wanted length."""

import re
import zlib

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from benchkit.errors import InvalidParameter
from benchkit.experiments.counting import (
    costs_by_tokenizer,
    costs_by_usage,
    file_tokenizer,
    sample_text,
    vocabulary,
)
from benchkit.plan.vocabulary import DEFAULT_VOCABULARY, Vocabulary

WORDS = DEFAULT_VOCABULARY.words


def hashed(pieces):
    return [zlib.crc32(piece.encode()) for piece in pieces]


def by_pieces(text):
    """One token a word of up to six letters, the space before it joined to it, and one for a line's end."""
    return hashed(re.findall(r"\n| ?[A-Za-z]{1,6}| ?[^\sA-Za-z]", text))


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory):
    """A byte-level BPE that knows the more common half of the words whole."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    corpus = [" ".join(WORDS[start : start + 20]) for start in range(0, 300, 20)] * 3
    corpus += ["\n".join(WORDS[start : start + 20]) for start in range(0, 300, 20)] * 3
    tokenizer.train_from_iterator(
        corpus, trainers.BpeTrainer(vocab_size=1500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    )
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_costs_are_counted_between_separators():
    """Each word's cost comes from one text with all of them; dear ones are left out when enough remain."""
    costs = costs_by_tokenizer(by_pieces)
    assert costs == {word: 1 for word in WORDS if len(word) <= 6}


def test_dear_words_are_kept_where_cheap_ones_are_few():
    """With hardly any word of one token the others are used too, at their price."""

    def few(text):
        return hashed(re.findall(r"\n| ?[A-Za-z]{1,2}| ?[^\sA-Za-z]", text))

    costs = costs_by_tokenizer(few)
    assert costs is not None
    assert costs["of"] == 1
    assert costs["between"] == 4


def test_words_that_cost_more_at_the_start_are_left_out():
    """A word of one token behind a space and two at the start would make a prompt's first word a gamble."""

    def starts(text):
        return hashed(
            piece
            for word in re.findall(r"\n| ?[A-Za-z]+| ?[^\sA-Za-z]", text)
            for piece in ((word[:1], word[1:]) if word[0] in "abc" and len(word) > 1 else (word,))
        )

    costs = costs_by_tokenizer(starts)
    assert costs == {word: 1 for word in WORDS if word[0] not in "abc"}


@pytest.mark.parametrize(
    "tokenizer",
    [
        lambda text: None,
        lambda text: [1] * len(text),
        lambda text: [],
        hashed,
        lambda text: hashed(text.split(";")),
        lambda text: hashed([text]),
    ],
    ids=["silent", "all alike", "empty", "letters", "whole lines", "one token"],
)
def test_tokenizers_that_cannot_be_asked_so_are_left_alone(tokenizer):
    """No answer, no separator, no word of one token: nothing is claimed."""
    assert costs_by_tokenizer(tokenizer) is None


def test_files_are_counted_as_the_library_counts(tokenizer_file):
    """Costs from a tokenizer file are those of encoding each word behind another."""
    ids = file_tokenizer(str(tokenizer_file))
    costs = costs_by_tokenizer(ids)
    assert len(costs) >= 64
    for word, cost in costs.items():
        assert len(ids(f"about {word}")) - len(ids("about")) == cost == 1
        assert len(ids(word)) == 1


def test_samples_have_the_wanted_length(tokenizer_file):
    """A text of any length made of counted words has exactly that many tokens."""
    ids = file_tokenizer(str(tokenizer_file))
    words = vocabulary(costs_by_tokenizer(ids), 0, "tokenizer_file")
    for tokens in range(1, 200):
        assert len(ids(sample_text(words, tokens))) == tokens


def test_samples_of_few_words_are_possible():
    """Even one word of one token is enough to fill a prompt, and dear words stay out of it."""
    words = Vocabulary(("a", "between"), (1, 3), 0, "usage_probe")
    assert sample_text(words, 4) == "a a a a"


def test_a_folder_stands_for_its_tokenizer(tokenizer_file):
    """A model's folder may be given instead of the file in it."""
    assert file_tokenizer(str(tokenizer_file.parent))("about") == file_tokenizer(str(tokenizer_file))("about")


def test_files_that_are_none_are_bad_parameters(tmp_path):
    """A missing or broken file is told by the parameter's name before anything is sent."""
    with pytest.raises(InvalidParameter, match="tokenizer: there is no file"):
        file_tokenizer(str(tmp_path / "nothing.json"))
    broken = tmp_path / "tokenizer.json"
    broken.write_text("{}")
    with pytest.raises(InvalidParameter, match="not a tokenizer file"):
        file_tokenizer(str(broken))


class Counter:
    """Counts prompts as a server's usage does, and how often it was asked."""

    def __init__(self, cost, overhead=5):
        self.cost, self.overhead, self.calls = cost, overhead, 0

    def __call__(self, text):
        self.calls += 1
        return self.overhead + sum(self.cost(word) for word in text.split())


def test_usage_finds_words_and_overhead_in_few_prompts():
    """Where all words cost one token, five prompts are enough for 72 of them."""
    counter = Counter(lambda word: 1)
    costs, overhead = costs_by_usage(counter)
    assert overhead == 5
    assert costs == dict.fromkeys(WORDS[:72], 1)
    assert counter.calls == 5


def test_usage_halves_groups_with_dear_words():
    """A dear word costs its half of a group, and never more than a dozen prompts are sent."""
    counter = Counter(lambda word: 2 if word in {"above", "anything"} else 1)
    costs, overhead = costs_by_usage(counter)
    assert overhead == 5
    assert "above" not in costs
    assert len(costs) >= 24
    assert counter.calls <= 12


@pytest.mark.parametrize(
    "count",
    [lambda text: None, lambda text: 7, len, lambda text: 5 + 2 * len(text.split())],
)
def test_usage_that_tells_nothing_claims_nothing(count):
    """No count, a constant one, letters, or no word of one token: no vocabulary."""
    assert costs_by_usage(count) is None
