"""Charts of two distributions: both sides side by side, and how far each quantile has moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis.compared_run import ComparedRun
from benchkit.analysis.comparison import LoadCompared
from benchkit.analysis.difference import CLIENT_FLOOR, difference
from benchkit.analysis.run_samples import GRID
from benchkit.report import theme, titles_compare
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.titles import headed

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison

Floats = NDArray[np.float64]
Panel = alt.LayerChart | alt.FacetChart

_MOST_LOADS: Final = 4
_MOST_LINES: Final = 12
_DRAWN: Final = GRID[::2]
_SHIFTED: Final = np.array(
    [0.05, *np.arange(0.1, 0.9, 0.1), 0.9, 0.925, 0.95, 0.975, 0.98, 0.99, 0.995, 0.999]
)
_BEYOND: Final = 5
"""Values beyond a quantile that a run needs for it to be drawn."""
_LABELS: Final = "datum.value == 0 ? '0' : 'p' + format(100 * (1 - pow(10, -datum.value)), '.3~f')"


def distributions(found: Comparison, metric: str = "ttft_ms") -> Drawing:
    """How is a time distributed on both sides? A thin line a run, a thick one for all runs of a side.

    Args:
        found: the comparison.
        metric: by summary.json's name, in milliseconds.
    """
    told = titles_compare.METRICS.get(metric, metric)
    loads = [load for load in found.loads if _known(load, metric)][:_MOST_LOADS]
    if not loads:
        return nothing(f"How the {told} is distributed is not known", _nothing(told))
    rows = pd.DataFrame([row for load in loads for row in _curves(found, load, metric)])
    low, high = float(rows["value"].quantile(0.02)), float(rows["value"].max())
    wide = high > 30 * max(low, 1e-3)
    scale = alt.Scale(type="log", nice=False) if wide else alt.Scale(zero=False, nice=True)
    rows["value"] = rows["value"].clip(lower=1e-3)
    panels = [
        _both(found, rows[rows["load"] == load.label], load.label, told, scale, wide=wide) for load in loads
    ]
    subtitle = ["thick: all runs of a side together; thin: each run"]
    return _stacked(panels, _found(found, loads[-1], metric, rows), subtitle)


def shift(found: Comparison, metric: str = "ttft_ms") -> Drawing:
    """Which requests became slower, the usual ones or the slow ones? The change of each quantile, with its band.

    Args:
        found: the comparison.
        metric: by summary.json's name.
    """
    told = titles_compare.METRICS.get(metric, metric)
    loads = [load for load in found.loads if _known(load, metric)][:_MOST_LOADS]
    tables = [(load, pd.DataFrame(list(_shifts(load, metric)))) for load in loads]
    tables = [(load, table) for load, table in tables if len(table)]
    if not tables:
        return nothing(f"How the {told} has shifted is not known", _nothing(told))
    seen = pd.concat([table[["low", "high", "change"]] for _, table in tables])
    matters = 100 * found.parameters.change
    ends = [
        max(-90.0, 1.1 * min(float(seen.min().min()), -matters)),
        min(200.0, 1.1 * max(float(seen.max().max()), matters)),
    ]
    panels = [_shifted(found, load.label, table, told, ends) for load, table in tables]
    banded = any(table["low"].notna().any() for _, table in tables)
    alpha = found.loads[0].numbers[0].difference.alpha if found.loads[0].numbers else 0.05
    subtitle = [
        f"band: {100 * (1 - alpha):.3g} % for each quantile by itself, from the spread of the runs"
        if banded
        else "a single run a side: no band, and nothing is decided",
        f"left: the fastest; right: the slowest; drawn as far as each run has {_BEYOND} values beyond",
    ]
    heaviest, table = tables[-1]
    return _stacked(panels, titles_compare.shift(metric, heaviest.label, table, alpha), subtitle)


def _found(found: Comparison, load: LoadCompared, metric: str, rows: pd.DataFrame) -> str:
    """What the distributions under a load say."""
    own = rows[(rows["load"] == load.label) & (rows["run"] == "all")]
    base, new = (own[own["side"] == name] for name in found.names)
    sizes = [size for run in [*load.base, *load.new] if (size := _size(run, metric)) is not None]
    tail = not sizes or 0.01 * min(sizes) >= _BEYOND
    return titles_compare.distributions(metric, load.label, found.names, (base, new), tail=tail)


def _known(load: LoadCompared, metric: str) -> bool:
    return all(_quantiles(run, metric) is not None for run in [*load.base, *load.new])


def _quantiles(run: ComparedRun, metric: str) -> Floats | None:
    samples = run.samples
    return None if samples is None else samples.quantiles.get(metric)


def _nothing(told: str) -> str:
    return f"Not every run has its requests' {told}: files with statistics alone have no distribution."


def _curves(found: Comparison, load: LoadCompared, metric: str) -> Iterator[dict[str, Any]]:
    for name, side in zip(found.names, (load.base, load.new), strict=True):
        own = [each for run in side if (each := _quantiles(run, metric)) is not None]
        together = np.quantile(
            np.concatenate([np.interp(np.linspace(0, 1, 401), GRID, each) for each in own]), _DRAWN
        )
        yield from _curve(load.label, name, "all", together)
        if len(load.base) + len(load.new) <= _MOST_LINES and len(own) > 1:
            for run, each in zip(side, own, strict=True):
                yield from _curve(load.label, name, run.name, np.interp(_DRAWN, GRID, each))


def _curve(load: str, side: str, run: str, values: Floats) -> Iterator[dict[str, Any]]:
    for share, value in zip(_DRAWN, values, strict=True):
        yield {
            "load": load,
            "side": side,
            "run": run,
            "line": f"{side} {run}",
            "share": float(share),
            "value": float(value),
        }


def _both(
    found: Comparison, rows: pd.DataFrame, load: str, told: str, scale: alt.Scale, *, wide: bool
) -> Panel:
    x = alt.X(
        "value:Q",
        title=f"{told} (ms{', logarithmic' if wide else ''})",
        scale=scale,
        axis=alt.Axis(format=",.6~f", tickCount=6 if wide else 8, labelOverlap=True),
    )
    y = alt.Y(
        "share:Q",
        title="share at or below",
        axis=alt.Axis(format="%", tickCount=5),
        scale=alt.Scale(domain=[0, 1]),
    )
    names = list(found.names)
    legend = alt.Legend(symbolType="stroke", symbolOpacity=1)
    color = alt.Color("side:N", scale=alt.Scale(domain=names), legend=legend)
    dash = alt.StrokeDash("side:N", scale=alt.Scale(domain=names, range=[[1, 0], [7, 3]]), legend=legend)
    tooltip = [
        "side:N",
        "run:N",
        alt.Tooltip("value:Q", title="ms", format=",.3~f"),
        alt.Tooltip("share:Q", title="share at or below", format=".1%"),
    ]
    all_, single = rows[rows["run"] == "all"], rows[rows["run"] != "all"]
    thick = alt.Chart(all_).mark_line(strokeWidth=2.5, point={"opacity": 0, "size": 40})
    thin = alt.Chart(single).mark_line(strokeWidth=0.8, opacity=0.45)
    layers = [thick.encode(x=x, y=y, color=color, strokeDash=dash, tooltip=tooltip)]
    if len(single):
        layers.insert(0, thin.encode(x=x, y=y, color=color, detail="line:N"))
    return alt.layer(*layers).properties(width=theme.WIDTH, height=220, **({"title": load} if load else {}))


def _shifts(load: LoadCompared, metric: str) -> Iterator[dict[str, Any]]:
    compared = load.numbers[0].difference if load.numbers else None
    sizes = [size for run in [*load.base, *load.new] if (size := _size(run, metric)) is not None]
    fewest = min(sizes) if sizes else math.inf
    for share in _SHIFTED:
        if (1 - share) * fewest < _BEYOND:
            continue
        values = [[_at(run, metric, float(share)) for run in side] for side in (load.base, load.new)]
        found = difference(
            values[0],
            values[1],
            paired=load.pairing.paired,
            floor=CLIENT_FLOOR,
            alpha=compared.alpha if compared else 0.05,
        )
        if found.ratio is None:
            continue
        limits = found.interval()
        yield {
            "at": -math.log10(1 - share),
            "quantile": f"p{100 * share:g}",
            "change": 100 * (found.ratio - 1),
            "low": math.nan if limits is None else 100 * (limits[0] - 1),
            "high": math.nan if limits is None else 100 * (limits[1] - 1),
            "p": math.nan if found.p is None else found.p,
            "base": found.base,
            "new": found.new,
        }


def _size(run: ComparedRun, metric: str) -> int | None:
    """The values of a metric of requests; None of one of tokens, of which there are plenty."""
    values = None if run.samples is None else run.samples.requests.get(metric)
    return None if values is None else values.size


def _at(run: ComparedRun, metric: str, share: float) -> float | None:
    quantiles = _quantiles(run, metric)
    return None if quantiles is None else float(np.interp(share, GRID, quantiles))


def _shifted(found: Comparison, load: str, table: pd.DataFrame, told: str, span: list[float]) -> Panel:
    base, _ = found.names
    ends = [float(table["at"].min()), float(table["at"].max())]
    x = alt.X(
        "at:Q",
        title=f"quantile of the {told}",
        scale=alt.Scale(domain=ends, nice=False),
        axis=alt.Axis(
            values=[-math.log10(1 - share) for share in (0.1, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)],
            labelExpr=_LABELS,
        ),
    )
    scale = alt.Scale(domain=span, nice=False)
    y = alt.Y("change:Q", title=f"change against {base} (%)", scale=scale)
    change = 100 * found.parameters.change
    matters = pd.DataFrame({"from": [-change], "to": [change]})
    tooltip = [
        alt.Tooltip("quantile:N"),
        alt.Tooltip("change:Q", title="change (%)", format="+.2f"),
        alt.Tooltip("low:Q", title="from (%)", format="+.2f"),
        alt.Tooltip("high:Q", title="to (%)", format="+.2f"),
        alt.Tooltip("base:Q", title=f"{base} (ms)", format=",.4~g"),
        alt.Tooltip("new:Q", title=f"{found.names[1]} (ms)", format=",.4~g"),
    ]
    layers = [
        alt.Chart(matters)
        .mark_rect(color=theme.FAINT, opacity=0.16)
        .encode(y=alt.Y("from:Q", scale=scale), y2="to:Q"),
        alt.Chart(pd.DataFrame({"at_zero": [0.0]}))
        .mark_rule(strokeDash=[1, 0])
        .encode(y=alt.Y("at_zero:Q", scale=scale)),
    ]
    banded = table.dropna(subset=["low"])
    if len(banded):
        layers.append(
            alt.Chart(banded)
            .mark_area(opacity=0.25, clip=True)
            .encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q")
        )
    layers.append(alt.Chart(table).mark_line(point=True, clip=True).encode(x=x, y=y, tooltip=tooltip))
    return alt.layer(*layers).properties(width=theme.WIDTH, height=190, **({"title": load} if load else {}))


def _stacked(panels: Sequence[Panel], finding: str, subtitle: list[str]) -> Drawing:
    title = headed(finding, subtitle)
    if len(panels) == 1:
        only: Drawing = panels[0].properties(title=title)
        return only
    stacked: Drawing = alt.vconcat(*panels, title=title)
    return stacked
