"""The embedded server's tokenizer: deterministic and the same for prompts, answers and /tokenize."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence

PIECE_LENGTH = 8
"""Words of up to this many characters are one token; longer ones are cut into pieces of it."""
VOCABULARY_SIZE = 32_768
MESSAGE_OVERHEAD = 4
"""Tokens that the chat template puts round each message: start, role, separator, end."""
MESSAGE_END = 4
"""Id of the token that ends a message; an answer that stops by itself makes it."""
GENERATION_PROMPT = 3
"""Tokens that open the assistant's turn."""

_MESSAGE_START = (1, 2, 3)
_PIECE = re.compile(rf"\S{{1,{PIECE_LENGTH}}}")
_RESERVED = 256
_MAX_REMEMBERED = 65_536
_WORDS = """
the of and to in is that for it as was with be by on not he his but at are this have from or had
an they which one you were all her she there would their we him been has when who will no more
if out so up said what its about than into them can only other time new some could these two may
first then do any like my now over such our man me even most made after also did many before
must through years where much your way well down should because each just those people too how
little state good very make world still see own
"""
WORDS: tuple[bytes, ...] = tuple(f" {word}".encode() for word in _WORDS.split())
"""What answers are made of: each is one token, safe inside a JSON string as it stands."""


def count_tokens(text: str) -> int:
    """How many tokens a text has."""
    words = text.split()
    count = len(words)
    if words and max(map(len, words)) > PIECE_LENGTH:
        count += sum((len(word) - 1) // PIECE_LENGTH for word in words)
    return count


class _TokenIds(dict[str, int]):
    """Ids by piece, made when they are first asked for; a lookup costs a third of a cached function's call."""

    def __missing__(self, piece: str) -> int:
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        self[piece] = known = _RESERVED + zlib.crc32(piece.encode()) % (VOCABULARY_SIZE - _RESERVED)
        return known


_token_ids = _TokenIds()


def tokenize(text: str) -> list[int]:
    """The token ids of a text; their number is ``count_tokens(text)``."""
    pieces = text.split()
    if pieces and max(map(len, pieces)) > PIECE_LENGTH:
        pieces = _PIECE.findall(text)
    return list(map(_token_ids.__getitem__, pieces))


def answer_ids(start: int, count: int) -> tuple[int, ...]:
    """The token ids of an answer of so many words from the word list, from ``start`` on."""
    rounds = (start + count) // len(_ANSWER_IDS) + 1
    return (_ANSWER_IDS * rounds)[start : start + count]


def message_text(message: Mapping[str, object]) -> str:
    """A chat message's text; parts that are not text count for nothing.

    Raises:
        ValueError: The message has no role, or a content of another kind.
    """
    if not isinstance(message.get("role"), str):
        raise ValueError("each message needs a role")  # noqa: TRY004 - a client's mistake, not a caller's
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = [part.get("text", "") for part in content if isinstance(part, Mapping)]
        return " ".join(part for part in parts if isinstance(part, str))
    raise ValueError("a message's content is a text or a list of parts")


def count_chat_tokens(messages: Sequence[Mapping[str, object]]) -> int:
    """How many tokens a chat prompt has, its template included."""
    return GENERATION_PROMPT + sum(
        MESSAGE_OVERHEAD + count_tokens(message_text(message)) for message in messages
    )


def tokenize_chat(messages: Sequence[Mapping[str, object]]) -> list[int]:
    """The token ids of a chat prompt; their number is ``count_chat_tokens(messages)``."""
    ids: list[int] = []
    for message in messages:
        ids += [*_MESSAGE_START, *tokenize(message_text(message)), MESSAGE_END]
    return [*ids, *_MESSAGE_START]


_ANSWER_IDS = tuple(_token_ids[word.decode().strip()] for word in WORDS)
