"""The chart of what speed for one user costs in throughput for all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import altair as alt
import pandas as pd

from benchkit.analysis.pareto import front
from benchkit.analysis.points import LoadPoint
from benchkit.report import theme, titles_sweep
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.sweep_loads import Load, loads
from benchkit.report.sweep_marks import color_of, crosses, lines, shapes
from benchkit.report.titles import headed

_PARALLEL: Final = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


def pareto(points: Iterable[LoadPoint], gpus: int = 0) -> Drawing:
    """What does speed for one user cost? Tokens per second of one user against those of all; best to the upper right.

    A user's speed is 1000 over the mean time between tokens in ms (over the mean TPOT where that is unknown). The
    front holds the loads that no other beats in both. Saturated loads are not on it.

    Args:
        points: the loads.
        gpus: GPUs of the server, to give the output of one; 0 when unknown. Where settings vary how many GPUs a
            server is spread over, their product takes its place.
    """
    found = [load for load in loads(points) if _speed(load) and load.rate_of("output_tokens_per_s")]
    steady = [load for load in found if not load.saturated]
    if not steady:
        return nothing(
            "What speed for one user costs in output for all is not known",
            f"{len(found)} loads with times between tokens and a token rate, none of them steady.",
        )
    shared = gpus > 0 or any(map(_gpus_of, found))
    table = _table(found, gpus)
    on = table[table["best"]].sort_values("speed")
    names = list(dict.fromkeys(table["series"]))
    unit = "tokens/s" + (" and GPU" if shared else "")
    x = alt.X(
        "speed:Q",
        title="tokens per second for one user, once the answer flows",
        scale=alt.Scale(domain=[0, 1.15 * float(table["speed"].max())], nice=False),
    )
    y = alt.Y(
        "output:Q",
        title="output tokens per second" + (" and GPU" if shared else ""),
        scale=alt.Scale(domain=[0, 1.12 * float(table["output"].max())], nice=False),
        axis=alt.Axis(format=",.6~g"),
    )
    color = color_of("series", names)
    edge = alt.Chart(on).mark_line(strokeWidth=6, opacity=0.25, color=theme.FAINT, strokeCap="round")
    layers: list[Any] = [edge.encode(x=x, y=y, order="speed:Q")]
    layers += lines(table[~table["saturated"]], "series", names, x=x, y=y, order="speed:Q")
    for chosen in (True, False):
        rows = table[(table["best"] == chosen) & ~table["saturated"]]
        if len(rows):
            dots = alt.Chart(rows).mark_point(filled=chosen, size=60, opacity=1, strokeWidth=1.6)
            layers.append(
                dots.encode(x=x, y=y, color=color, shape=shapes("series", names), tooltip=_tooltip())
            )
    if len(found) > len(steady):
        layers.append(crosses(table[table["saturated"]], x, y, names, _tooltip()))
    if len(names) == 1:
        words = alt.Chart(on).mark_text(align="left", dx=7, dy=-7)
        layers.append(words.encode(x=x, y=y, text="load:N"))
    chart: Drawing = alt.layer(*layers).properties(
        width=theme.WIDTH,
        height=280,
        title=headed(titles_sweep.front(on, names, unit), _subtitle(on, table, names)),
    )
    return chart


def _speed(load: Load) -> float | None:
    """Tokens per second that one user sees."""
    for metric in ("itl_ms", "tpot_ms"):
        pace_ms = load.mean_of(metric)
        if pace_ms:
            return 1000.0 / pace_ms
    return None


def _gpus_of(load: Load) -> int:
    """GPUs that the varied settings spread a server over; 0 where they say nothing of it."""
    told = [int(load.first.cell[name]) for name in _PARALLEL if str(load.first.cell.get(name, "")).isdigit()]
    return math.prod(told) if told else 0


def _table(found: Sequence[Load], gpus: int) -> pd.DataFrame:
    rows = [
        {
            "series": load.series,
            "load": load.label,
            "speed": _speed(load) or 0.0,
            "output": (load.rate_of("output_tokens_per_s") or 0.0) / (_gpus_of(load) or gpus or 1),
            "requests_per_s": load.requests_per_s,
            "saturated": load.saturated,
        }
        for load in found
    ]
    table = pd.DataFrame(rows)
    steady = table[~table["saturated"]]
    goods = list(zip(steady["speed"].tolist(), steady["output"].tolist(), strict=True))
    table["best"] = table.index.isin(steady.index[front(goods)])
    return table


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("load:N"),
        alt.Tooltip("series:N"),
        alt.Tooltip("speed:Q", title="tokens/s for one user", format=",.3~r"),
        alt.Tooltip("output:Q", title="output tokens/s", format=",.4~r"),
        alt.Tooltip("requests_per_s:Q", title="requests/s", format=",.3~r"),
        alt.Tooltip("best:N", title="on the front"),
    ]


def _subtitle(on: pd.DataFrame, table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    slow, fast = on.iloc[0], on.iloc[-1]
    lines = [] if len(on) == 1 else [f"fastest for one: {_named(fast)}; most for all: {_named(slow)}"]
    if len(names) > 1:
        counts = Counter(on["series"])
        told = ", ".join(f"{name} ({counts[name]})" for name in names if counts[name])
        lines.append(f"filled and underlaid, on the front: {told}")
    else:
        steady = int((~table["saturated"]).sum())
        lines.append(f"filled and underlaid: {len(on)} of {steady} loads that no other beats in both")
    saturated = int(table["saturated"].sum())
    return lines + ([f"crosses: {saturated} saturated, not on the front"] if saturated else [])


def _named(row: pd.Series[Any]) -> str:
    return ", ".join(filter(None, (str(row["series"]), str(row["load"]))))
