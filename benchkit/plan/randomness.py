"""Random bits that are the same on every machine, with any version of any library, in any order of asking.

A draw is named, not taken from a running generator: SHAKE-128 over (seed, repeat, phase, purpose, position)
gives its bits. So the millionth body costs as much as the first, workers need not talk to each other, and
purposes (times, lengths, contents) never disturb one another. NumPy's distributions promise no such thing
across versions (NEP 19).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Purpose(IntEnum):
    """What a stream of bits is for; streams of different purposes are independent."""

    TIMES = 1
    LENGTHS = 2
    CONTENTS = 3
    PREFIX = 4


@dataclass(frozen=True, slots=True)
class Stream:
    """The random bits of one purpose in one phase of one repeat, addressed by position."""

    seed: int
    repeat: int
    phase: str
    purpose: Purpose

    def words(self, position: int, count: int) -> npt.NDArray[np.uint32]:
        """``count`` uniform 32-bit words at a position; a longer draw begins with the shorter one."""
        key = f"benchkit-1|{self.seed}|{self.repeat}|{self.phase}|{self.purpose.value}|{position}".encode()
        drawn = np.frombuffer(hashlib.shake_128(key).digest(4 * count), dtype="<u4")
        return drawn.astype(np.uint32, copy=False)

    def uniform(self, position: int, count: int) -> npt.NDArray[np.float64]:
        """``count`` independent floats, uniform in the open interval (0, 1), of 52 random bits each."""
        words = self.words(position, 2 * count).astype(np.uint64)
        bits = (words[0::2] << np.uint64(20)) | (words[1::2] >> np.uint64(12))
        return (bits.astype(np.float64) + 0.5) * 2.0**-52

    def choice(self, position: int, count: int, options: int) -> npt.NDArray[np.int64]:
        """``count`` integers uniform in [0, options), by multiply and shift (bias below options / 2^32)."""
        words = self.words(position, count).astype(np.uint64)
        return ((words * np.uint64(options)) >> np.uint64(32)).astype(np.int64)
