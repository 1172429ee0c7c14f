"""Which of several settings nobody needs to give up anything for: the Pareto front of two goods."""

from __future__ import annotations

from collections.abc import Sequence


def front(goods: Sequence[tuple[float, float]]) -> list[int]:
    """The places of those that no other beats in one good without losing in the other, by rising first good.

    Args:
        goods: pairs of which more is better in both.

    Returns:
        Indices into ``goods``. Of equal pairs the first is on the front.
    """
    order = sorted(range(len(goods)), key=lambda place: (-goods[place][0], -goods[place][1], place))
    found: list[int] = []
    best = float("-inf")
    for place in order:
        if goods[place][1] > best:
            found.append(place)
            best = goods[place][1]
    return found[::-1]
