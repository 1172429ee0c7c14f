"""The runs of a comparison: which side when, with which times and contents, and what became of each."""

from __future__ import annotations

import hashlib
import random
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchkit.parameters import AbParameters, RunParameters, resolve

Side = Literal["a", "b"]
_SEEDS_APART = 1_000
CONTENTS: dict[str, int] = {"a": 1, "b": 2}


@dataclass(slots=True)
class PairedRun:
    """One half of a pair.

    Attributes:
        place: where it stands in the order of runs, ``r03``.
        pair: which pair, from 0.
        side: a is the base, b what is compared with it.
        seed: of times and lengths, which both halves share.
        contents: of the prompts, which they do not.
        status, folder, error: how far it is; its run's folder, inside the comparison's; why it failed.
        started_at: when its server began (s since 1970), where that says so.
        settled: how long the server was waited for before it.
        cache_reset: whether the server forgot its prefix cache before it.
    """

    place: str
    pair: int
    side: Side
    seed: int
    contents: int
    status: Literal["planned", "running", "complete", "interrupted", "failed"] = "planned"
    folder: str = ""
    error: str = ""
    started_at: float | None = None
    settled: dict[str, Any] | None = None
    cache_reset: bool | None = None

    @property
    def label(self) -> str:
        """What a reader calls it."""
        return f"pair {self.pair + 1}, side {self.side.upper()}"

    def as_dict(self) -> dict[str, Any]:
        """As ab.json holds it."""
        return asdict(self)

    def run_parameters(self, asked: AbParameters, url: str, out: str) -> RunParameters:
        """What its run is asked for."""
        values = asked.run_values | {
            "url": url,
            "model": asked.model_of(self.side),
            "out": out,
            "name": f"pair-{self.pair + 1}-{self.side}",
            "seed": self.seed,
        }
        return resolve(values)


def runs_of(asked: AbParameters) -> list[PairedRun]:
    """All runs that may be made, in their order.

    Pairs come in twos, ABBA or BAAB by chance, so that neither a drift of the machine nor a habit of alternating
    favours a side; a last odd pair is AB or BA by chance.

    Args:
        asked: the comparison's parameters.
    """
    digest = hashlib.sha256(f"pairs {asked.seed}".encode()).digest()
    chance = random.Random(digest)  # noqa: S311 - chance to be repeated
    order: list[tuple[int, Side]] = []
    for pair in range(0, asked.pairs, 2):
        first: tuple[Side, Side] = ("a", "b") if chance.random() < 0.5 else ("b", "a")
        order += [(pair, side) for side in first]
        if pair + 1 < asked.pairs:
            order += [(pair + 1, side) for side in reversed(first)]
    return [
        PairedRun(f"r{at:03d}", pair, side, asked.seed + _SEEDS_APART * (pair + 1), CONTENTS[side])
        for at, (pair, side) in enumerate(order)
    ]
