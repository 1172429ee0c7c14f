"""What do other load generators hold? Each against the paced server of ``benchkit selftest``, by the same table.

    python tests/benchmarks/other_clients.py [--vllm PYTHON] [--guidellm PROGRAM] [--aiperf PROGRAM]
        [--streams 10,100,1000] [--rounds 2] [--write docs/accuracy.md] [--chart docs/images/other_clients.png]

Clients that are not installed are left out, and the table names those that ran with their versions. ``--vllm`` is the
interpreter of an environment with vLLM (default: $BENCHKIT_VLLM_PYTHON); the other two are looked for on the PATH.
All send the same closed loops one after the other, in turns from round to round, on whatever cores there are. The
error of a token is the time at which the client says it came less the time just before the server sent it. benchkit
is there twice: by the kernel's times, which its records hold, and by those of its own event loop, which is all that the
others have.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import altair as alt
import foreign_clients
import numpy as np
import pandas as pd
from published import write_between

import benchkit
from benchkit.analysis.client_error import Spread
from benchkit.analysis.client_map import BOUNDS_MS, Cell, Limit, View, limit
from benchkit.experiments.selftest import client_map
from benchkit.parameters import resolve
from benchkit.parameters.selftest import SelftestParameters
from benchkit.records import environment
from benchkit.report import renderer, theme
from benchkit.serving import paced, vllm
from benchkit.serving.paced.pace import Stage
from benchkit.telemetry.host import HostReader

_SETTLED_S = 0.1
_MARKERS = "other clients"
_QUESTION = "By how much is a token's time wrong?"


class Measured(NamedTuple):
    """A stage of one client's load."""

    client: str
    view: View
    cell: Cell


def ours(asked: SelftestParameters) -> list[Measured]:
    """One round of benchkit's own."""
    made = asyncio.run(client_map(asked))
    views: tuple[tuple[str, View], ...] = (("benchkit", "kernel"), ("benchkit, its event loop", "loop"))
    return [Measured(name, view, cell) for cell in made.cells for name, view in views]


def theirs(client: foreign_clients.Client, asked: SelftestParameters, tokenizer: str) -> list[Measured]:
    """One round of another client's."""
    found = []
    for streams in asked.streams:
        ramp_s = 0.3 + streams / 2000
        stages = [Stage(float(rate), asked.stage_s) for rate in asked.tokens_per_s]
        tokens = ramp_s * stages[0].tokens_per_s + sum(stage.tokens_per_s * stage.seconds for stage in stages)
        load = (streams, math.ceil(tokens / asked.answer_tokens) + streams, asked.answer_tokens, tokenizer)
        with tempfile.TemporaryDirectory(prefix="other-client-") as place:
            host = HostReader()
            list(host())
            with paced.start_stages(stages, ramp_s=ramp_s, answer_tokens=asked.answer_tokens) as server:
                told = client.run(foreign_clients.Asked(server.url, *load), Path(place))
                log = server.log()
            steal = next((each.value for each in host() if each.name == "steal_percent"), None)
        sent_ns, late_ms = foreign_clients.errors_ms(told, log)
        by_sending = np.argsort(log.sent_ns, kind="stable")
        for stage, begun_ns in zip(stages, log.stages_ns, strict=True):
            begin_ns, end_ns = begun_ns + round(_SETTLED_S * 1e9), begun_ns + round(stage.seconds * 1e9)
            inside = slice(*np.searchsorted(sent_ns, [begin_ns, end_ns]))
            sends = slice(*np.searchsorted(log.sent_ns[by_sending], [begin_ns, end_ns]))
            arrived = np.count_nonzero((log.arrived_ns >= begin_ns) & (log.arrived_ns < end_ns))
            cell = Cell(
                kind="streams",
                streams=streams,
                asked_per_s=stage.tokens_per_s,
                events_per_s=(sends.stop - sends.start) / ((end_ns - begin_ns) / 1e9),
                requests_per_s=arrived / ((end_ns - begin_ns) / 1e9),
                kernel=None,
                loop=Spread.of(late_ms[inside]),
                lateness=None,
                server=Spread.of((log.late_ns[by_sending] / 1e6)[sends]),
                steal_percent=steal,
            )
            found.append(Measured(client.name, "loop", cell))
    return found


def table(found: Sequence[Measured], asked: SelftestParameters) -> str:
    """A row a client and number of streams: its p99 at each pace, and what it holds."""
    paces = [f"{rate:,}" for rate in asked.tokens_per_s]
    bounds = [f"within {bound:g} ms" for bound in BOUNDS_MS]
    lines = [
        f"| client | streams | {' | '.join([*paces, *bounds])} |",
        f"|---|---|{'---|' * (len(paces) + len(bounds))}",
    ]
    for client in dict.fromkeys(each.client for each in found):
        for streams in asked.streams:
            of = [each for each in found if each.client == client and each.cell.streams == streams]
            p99 = [
                _median(each for each in of if each.cell.asked_per_s == rate) for rate in asked.tokens_per_s
            ]
            cells = sorted((each.cell for each in of), key=lambda cell: cell.rate)
            held = [_said(limit(cells, bound, of[0].view)) for bound in BOUNDS_MS]
            shown = ["-" if math.isnan(value) else f"{value:,.2f}" for value in p99]
            lines.append(f"| {client} | {streams:,} | {' | '.join([*shown, *held])} |")
    return "\n".join(lines)


def _said(found: Limit) -> str:
    """A limit in tokens/s, to two digits: no more is known of it."""
    digits = 1 - math.floor(math.log10(found.rate))
    bound = "at least " if found.open else "under " if found.below else ""
    return f"{bound}{round(found.rate, digits):,.0f}"


def _median(cells: Iterable[Measured]) -> float:
    """Over rounds, the p99 of the client's error in ms; NaN where it told too little."""
    values = [spread.p99 for each in cells if (spread := each.cell.spread(each.view)) is not None]
    return statistics.median([math.nan if value is None else value for value in values] or [math.nan])


def chart(found: Sequence[Measured]) -> alt.FacetChart:
    """Each client's error over the pace, a panel a number of streams."""
    rows = [
        {
            "client": each.client,
            "panel": f"{each.cell.streams:,} streams",
            "streams": each.cell.streams,
            "tokens": each.cell.asked_per_s,
            "p99": max(spread.p99, 1e-2),
        }
        for each in found
        if (spread := each.cell.spread(each.view)) is not None and spread.p99 is not None
    ]
    keys = ["client", "panel", "streams", "tokens"]
    told = pd.DataFrame(rows).groupby(keys, sort=False, as_index=False).median()
    names = list(dict.fromkeys(each.client for each in found))
    lines = (
        alt.Chart()
        .mark_line(point={"size": 40, "filled": True})
        .encode(
            x=alt.X(
                "tokens:Q",
                title="tokens/s over all streams",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(format="~s", values=sorted(set(told["tokens"]))),
            ),
            y=alt.Y(
                "p99:Q",
                title="p99 of the client's error (ms)",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(format="~g", values=[0.01, 0.1, 1, 5, 10, 100, 1000, 10000]),
            ),
            color=alt.Color("client:N", scale=alt.Scale(domain=names)),
        )
    )
    rules = alt.Chart().mark_rule().encode(y=alt.datum(BOUNDS_MS[0]))
    more = alt.Chart().mark_rule().encode(y=alt.datum(BOUNDS_MS[1]))
    panels = list(dict.fromkeys(told.sort_values("streams")["panel"]))
    drawn: alt.FacetChart = (
        alt.layer(rules, more, lines, data=told)
        .properties(width=(theme.WIDTH - 40) // len(panels), height=240)
        .facet(column=alt.Column("panel:N", title=None, sort=panels))
        .properties(
            title=alt.Title(
                _QUESTION,
                subtitle="against the log of the server that sent it; dashed: 1 and 5 ms",
            )
        )
    )
    return drawn


def where(clients: Sequence[foreign_clients.Client], found: Sequence[Measured], rounds: int) -> str:
    """Which machine, which versions, and how disturbed it was."""
    facts = environment.collect()
    steal = [each.cell.steal_percent for each in found if each.cell.steal_percent is not None]
    versions = ", ".join(f"{client.name} {client.version}" for client in clients)
    extent = "One round" if rounds == 1 else f"Medians of {rounds} rounds"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {facts['cpu_count']} cores ({facts['cpu_model']}), {facts['kernel']}, "
        f"{facts['python']}; benchkit {benchkit.__version__}{', ' if versions else ''}{versions}. "
        f"{extent}; {min(steal, default=0):.0f} to {max(steal, default=0):.0f} % of the machine's "
        "time went to others meanwhile (steal)."
    )


def _tokenizer(named: str | None, python: str | None) -> str:
    if named:
        return named
    if python is None:
        raise SystemExit("other clients want a tokenizer: name the folder of one with --tokenizer")
    return str(vllm.make_tiny_model(python))


def main() -> None:
    """Measures, prints the table, and puts it and the chart where they are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vllm", default=os.environ.get("BENCHKIT_VLLM_PYTHON"), metavar="PYTHON")
    parser.add_argument("--guidellm", metavar="PROGRAM")
    parser.add_argument("--aiperf", metavar="PROGRAM")
    parser.add_argument("--tokenizer", metavar="FOLDER", help="any; the server counts nothing with it")
    parser.add_argument("--streams", default="10,100,1000")
    parser.add_argument("--tokens-per-s", default="2000,4000,8000,16000,32000")
    parser.add_argument("--stage-s", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table between its markers there")
    parser.add_argument("--chart", type=Path, metavar="PNG")
    options = parser.parse_args()
    asked = resolve(
        {
            "streams": [int(each) for each in options.streams.split(",")],
            "tokens_per_s": [int(each) for each in options.tokens_per_s.split(",")],
            "requests_per_s": [],
            "stage_s": options.stage_s,
        },
        SelftestParameters,
    )
    if options.chart and not options.chart.parent.is_dir():
        parser.error(f"there is no folder {options.chart.parent}")
    clients = foreign_clients.found(
        vllm_python=options.vllm, guidellm_program=options.guidellm, aiperf_program=options.aiperf
    )
    tokenizer = _tokenizer(options.tokenizer, options.vllm) if clients else ""
    found: list[Measured] = []
    for number in range(options.rounds):
        for name, measure in [
            ("benchkit", lambda: ours(asked)),
            *((client.name, lambda client=client: theirs(client, asked, tokenizer)) for client in clients),
        ]:
            began = time.monotonic()
            found += measure()
            print(f"round {number + 1}: {name} took {time.monotonic() - began:.0f} s", flush=True)
    text = f"{table(found, asked)}\n\n{where(clients, found, options.rounds)}"
    print(f"\np99 of the error in ms, by tokens/s\n\n{text}")
    if options.chart:
        options.chart.write_bytes(renderer.png(chart(found)))
    if options.write:
        picture = (
            f"![{_QUESTION}]({os.path.relpath(options.chart, options.write.parent)})\n\n"
            if options.chart
            else ""
        )
        write_between(options.write, _MARKERS, picture + text)


if __name__ == "__main__":
    main()
