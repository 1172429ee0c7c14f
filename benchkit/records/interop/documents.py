"""Reads text and JSON that strangers wrote: bounded in size, with errors that name the file and the place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchkit.errors import ForeignFileError

__all__ = ["LARGEST_BYTES", "Node", "read_json", "read_json_or_lines", "read_lines", "read_text"]

LARGEST_BYTES = 1 << 30
"""Larger files are refused: parsed, they would take several times as much memory."""
_SHOWN = 40
_LONGEST_TEXT = 4000
_LARGEST = 1e30
"""What is larger, or smaller than its inverse, nobody measured; so bounded, no quotient of two overflows."""


def read_text(path: Path, *, largest: int = LARGEST_BYTES) -> str:
    """Give a file's text.

    Raises:
        ForeignFileError: It cannot be read, is too large, or is no UTF-8 text.
    """
    return _decode(path, _read(path, largest))


def read_json(path: Path) -> Node:
    """Give a file's JSON value.

    Raises:
        ForeignFileError: It cannot be read, is too large, or is not one whole JSON value.
    """
    return Node(path, "", _parse(path, _read(path, LARGEST_BYTES), "the file"))


def read_lines(path: Path) -> Iterator[Node]:
    """Give the JSON values of a file that has one a line; empty lines are skipped.

    Raises:
        ForeignFileError: As ``read_json``; the place is the line's number.
    """
    return _lines(path, _read(path, LARGEST_BYTES))


def read_json_or_lines(path: Path) -> list[Node]:
    """Give a file's JSON value, or its values where it has one a line.

    Raises:
        ForeignFileError: As ``read_json``; it speaks of the line where there are several.
    """
    data = _read(path, LARGEST_BYTES)
    first, _, rest = data.strip().partition(b"\n")
    if rest.strip() and _is_value(first):
        return list(_lines(path, data))
    return [Node(path, "", _parse(path, data, "the file"))]


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value and where it stands, so that what is wrong with it can be told."""

    file: Path
    where: str
    value: Any

    def __bool__(self) -> bool:
        """Whether there is a value other than null."""
        return self.value is not None

    def get(self, *keys: str) -> Node:
        """The value below these keys; null where one is missing or null."""
        node = self
        for key in keys:
            found = node.mapping().get(key)
            node = Node(self.file, f"{node.where}.{key}" if node.where else key, found)
        return node

    def need(self, *keys: str) -> Node:
        """The value below these keys; ForeignFileError where it is missing or null."""
        node = self.get(*keys)
        if node.value is None:
            raise self.error(f"{node.where} is missing", "the file is incomplete or of another version")
        return node

    def mapping(self) -> dict[str, Any]:
        """The object; empty for null."""
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self._wrong("an object")
        return self.value

    def items(self) -> list[Node]:
        """The list's elements; none for null."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self._wrong("a list")
        return [Node(self.file, f"{self.where}[{at}]", each) for at, each in enumerate(self.value)]

    def number(self) -> float | None:
        """The number; None for null, NaN, infinities and what is too large to be measured."""
        if self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self._wrong("a number")
        try:
            number = float(self.value)
        except OverflowError:
            raise self._wrong("a number of sane size") from None
        if abs(number) < 1 / _LARGEST:
            return 0.0
        return number if math.isfinite(number) and abs(number) <= _LARGEST else None

    def numbers(self) -> NDArray[np.float64]:
        """The list's numbers; NaN for null and what is too large, none for a list that is null itself."""
        if self.value is None:
            return np.empty(0)
        if not isinstance(self.value, list) or not set(map(type, self.value)) <= {int, float, type(None)}:
            raise self._wrong("a list of numbers")
        try:
            found = np.array([np.nan if each is None else each for each in self.value], dtype=np.float64)
        except OverflowError:
            raise self._wrong("a list of numbers of sane size") from None
        found[np.abs(found) > _LARGEST] = np.nan
        return found

    def whole(self) -> int | None:
        """The number, if it is a whole one of at most 2**53; None for null."""
        number = self.number()
        if number is None:
            return None
        if number != int(number) or abs(number) > 2**53:
            raise self._wrong("a whole number")
        return int(number)

    def text(self) -> str:
        """The text, or a number's, shortened to a page; empty for null."""
        if self.value is None:
            return ""
        if not isinstance(self.value, str | int | float):
            raise self._wrong("a text")
        return str(self.value)[:_LONGEST_TEXT]

    def error(self, what: str, remedy: str) -> ForeignFileError:
        """An error that names the file."""
        return ForeignFileError(f"{self.file}: {what}; {remedy}")

    def _wrong(self, wanted: str) -> ForeignFileError:
        shown = json.dumps(self.value, default=str)[:_SHOWN]
        return self.error(
            f"{self.where or 'the file'} is not {wanted} but {shown}",
            "the file is damaged or of another version",
        )


def _lines(path: Path, data: bytes) -> Iterator[Node]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            yield Node(path, f"line {number}", _parse(path, line, f"line {number}"))


def _is_value(line: bytes) -> bool:
    """Whether a line is an object by itself, and not the beginning of one."""
    return line.rstrip().endswith(b"}") and line.lstrip().startswith(b"{")


def _read(path: Path, largest: int) -> bytes:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ForeignFileError(f"{path} is no file; name the result file itself")
        if size > largest:
            raise ForeignFileError(
                f"{path} is too large: {size / 2**20:.0f} MiB, and at most {largest / 2**20:.0f} MiB are read; "
                "import a file without the texts or with fewer requests"
            )
        data = path.read_bytes()
    except OSError as error:
        raise ForeignFileError(f"{path} cannot be read: {error.strerror}; check the path") from error
    if not data.strip():
        raise ForeignFileError(f"{path} is empty; was the run that wrote it broken off?")
    return data


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ForeignFileError(f"{path} is no UTF-8 text ({error.reason} at byte {error.start})") from error


def _parse(path: Path, data: bytes, what: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # Python's parser also takes NaN and Infinity, which Python tools write.
        text = _decode(path, data)
    try:
        return json.loads(text, parse_constant=float)
    except RecursionError:
        raise ForeignFileError(f"{path}: {what} is nested too deeply to be a result file") from None
    except ValueError as error:
        cut = getattr(error, "pos", 0) >= len(text.rstrip()) - 1
        cause = "it ends too early (was the run that wrote it broken off?)" if cut else "it is damaged"
        raise ForeignFileError(f"{path}: {what} is not JSON: {error}; {cause}") from error
