"""The words that text prompts are made of, and what they cost in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words of known cost, from which prompts of an exact number of tokens are put together.

    A prompt is its words joined by single spaces, without one in front; whoever measures the costs keeps only
    words for which the sum of costs plus ``overhead_tokens`` is the whole truth, wherever the word stands.
    """

    words: tuple[str, ...]
    """Distinct, without white space."""
    tokens_per_word: tuple[int, ...]
    """What each word adds, at least 1; one that costs 1 must be among them, so every length can be met."""
    overhead_tokens: int
    """What the server adds to any prompt: the chat template, a token for the beginning."""
    source: str
    """Who counted: tokenizer_file, tokenize_endpoint, usage_probe, or uncounted (a token a word assumed)."""

    def __post_init__(self) -> None:
        """Refuse words that could not give exact lengths.

        Raises:
            ValueError: no words, unequal lengths, a cost below 1, no word of cost 1, negative overhead.
        """
        if len(self.words) != len(self.tokens_per_word):
            raise ValueError("a vocabulary needs one cost for each word")
        if 1 not in self.tokens_per_word or min(self.tokens_per_word) < 1:
            raise ValueError("a vocabulary needs costs of at least 1, and one word that costs exactly 1")
        if self.overhead_tokens < 0:
            raise ValueError("a vocabulary's overhead cannot be below 0")

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return {
            "words": list(self.words),
            "tokens_per_word": list(self.tokens_per_word),
            "overhead_tokens": self.overhead_tokens,
            "source": self.source,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary that ``to_json`` wrote."""
        return cls(
            words=tuple(data["words"]),
            tokens_per_word=tuple(data["tokens_per_word"]),
            overhead_tokens=data["overhead_tokens"],
            source=data["source"],
        )


_COMMON = """
about above action after again against age ago air all almost alone along also although always among amount
and animal another answer any area arm around art ask away back bad ball bank base bed before being below
best better between big bird black blood blue board boat body book both bottom box boy bring build building
business but buy call can car care carry case cat cause cell center change check child children church city
class clear close cold color come common company complete control could country course court cover cross cut
dark daughter day dead deal death deep development did different direction do doctor dog done door down draw
dream dress drive dry during each early earth east easy eat effect eight either else end energy even ever
every example eye face fact fall family far farm fast father feel few field fight figure fill final find
fine fire first fish five floor follow food foot for force form forward found four free fresh friend from
front full game general get girl give glass go gold gone good got government great green ground group grow
had hair half hand hard has have he head health heard heart heat heavy held help her here high hill him
history hit hold home horse hospital hot hour house how human important in inside interest into iron it job
join just keep key kind king know land language large last late later law lead learn leave left less let
letter level life light like line list little live local long look lost lot love low machine made main make
man many map mark market matter may mean meet men might mile mind minute miss modern money month moon more
most mother move much music must name nation nature near need never new next night nine no north not note
nothing now number object of off office often oil old on once one only open or order other our out outside
over own page paper part party pass past pattern pay peace people person picture piece place plan plant play
point position power present problem process product program public pull purpose push put question quick
quiet quite race rain ran reach read ready real reason record red remember report rest result rich right
river road rock role room round rule run said same save say scale school science sea season second section
see sell send sense set seven shape she ship short should show side sign silver simple since sing single sit
six size skin sleep slow small so social soft some son song soon sound south space special speed spring
square stage stand star start state station stay step still stone stood stop store story street strong
student study such sun sure surface system table take talk team tell ten test than that the their them then
there these they thing think third this those though thought three through time too top town trade train
travel tree trial trip true try turn two under unit until up upon use value very view voice wait walk wall
want war warm was watch water way we weather week weight well went were west what wheel when where which
while white who why wide wife wild will win wind window winter with within without woman wood word work
world would write year yellow yes yet you young
"""

DEFAULT_VOCABULARY = Vocabulary(
    words=tuple(_COMMON.split()),
    tokens_per_word=(1,) * len(_COMMON.split()),
    overhead_tokens=0,
    source="uncounted",
)
"""Common English words, assumed to be one token each; the server's own tokens are not counted.

Each is one token, after a space and at the start of a text, for the tokenizers of GPT-2, GPT-4 (cl100k),
GPT-4o (o200k), Llama 2, Llama 3 and Mistral 7B. Other models have mostly the same words, but nobody counted.
"""
