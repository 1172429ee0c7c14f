"""What a run would send, without sending it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from benchkit.parameters import RunParameters
from benchkit.plan.plan import Plan, PlanTotals
from benchkit.plan.spec import PlanSpec


@dataclass(frozen=True, slots=True)
class Preview:
    """Totals of a run's plan; ``None`` where only the server's speed decides."""

    parameters: RunParameters
    totals: PlanTotals
    plan_sha256: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self.totals), "repeats": self.parameters.repeats, "plan_sha256": self.plan_sha256}

    def text(self) -> str:
        """As a few lines for people."""
        p, totals = self.parameters, self.totals
        how = {
            "concurrent": f"{p.streams} streams in a closed loop",
            "synchronous": "one request at a time",
            "throughput": f"up to {p.streams} requests at once, as fast as the server takes them",
        }.get(p.load, f"{p.rate:g} requests/s, {p.load} arrivals (open loop)")
        spread = p.input_tokens_spread or p.output_tokens_spread
        each = (
            f"{totals.mean_prompt_tokens:g} prompt and {totals.mean_output_tokens:g} answer tokens "
            f"{'on average' if spread else 'each'}"
        )
        if totals.requests is None:
            amount = f"requests: as many as the server answers ({each})"
        else:
            amount = (
                f"requests: {totals.requests:,} ({each})\n"
                f"tokens:   {totals.prompt_tokens:,} in, {totals.output_tokens:,} out"
            )
        if totals.warmup_requests:
            amount += f"\nwarm-up:  {totals.warmup_requests:,} requests more"
        time = (
            "until the requests are answered"
            if totals.seconds is None
            else (
                f"{totals.seconds:g} s ({p.warmup_s:g} s warm-up, {p.duration_s:g} s window), "
                f"then at most {p.drain_s:g} s drain"
            )
        )
        from benchkit.analysis.repeat_looks import LOOKS

        often = (
            f"{p.repeats}" if p.repeats else f"until sure: {', '.join(map(str, LOOKS[:-1]))} or {LOOKS[-1]}"
        )
        repeats = f"\nrepeats:  {often}" if p.repeats != 1 else ""
        return f"load:     {how}\n{amount}\ntime:     {time}{repeats}\nplan:     {self.plan_sha256[:16]}"


def preview(parameters: RunParameters) -> Preview:
    """The totals of the plan that the parameters draw.

    No server is asked: words are assumed to cost one token each.
    """
    plan = Plan(PlanSpec.of(parameters, model=parameters.model or "model"))
    return Preview(parameters, plan.totals(), plan.sha256)
