"""What a comparison will take, and in which order, said before it starts."""

from __future__ import annotations

from benchkit.analysis.looks import looks_of, spent
from benchkit.experiments.ab_pairs import runs_of
from benchkit.experiments.sweep_outline import AROUND_S, START_S, minutes
from benchkit.parameters import AbParameters


def outline(asked: AbParameters) -> str:
    """A few lines; no server is asked."""
    p, runs = asked, runs_of(asked)
    looks = looks_of(p.pairs) if p.stop_early else (p.pairs,)
    starts = len(runs) if p.restart == "each" else 0 if p.url else 2
    lines = [
        f"order:    {''.join(run.side.upper() for run in runs)}",
        f"looks:    after {', '.join(map(str, looks))} pairs, each at {100 * (1 - spent(looks)):.4g} %",
        f"decided:  what differs, or differs by no more than {100 * p.change:g} %: {', '.join(p.numbers)}",
    ]
    if p.duration_s:
        each = p.warmup_s + p.duration_s + AROUND_S
        most = len(runs) * each + starts * START_S[p.backend]
        least = 2 * looks[0] * each + starts * START_S[p.backend] * (looks[0] / p.pairs if starts > 2 else 1)
        between = f"{minutes(least)} to {minutes(most)}" if len(looks) > 1 else minutes(most)
        lines.append(f"time:     about {between}")
    return "\n".join(lines)
