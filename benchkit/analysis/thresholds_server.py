"""Checks of the server's side: its counts against ours, its cache, how its streams arrive, how tokens are counted."""

from __future__ import annotations

from benchkit.analysis.threshold import Threshold

_ELSEWHERE = "find out who else sends to it, or whether `/metrics` is the page of one server of several"

OF_COUNTS: tuple[Threshold, ...] = (
    Threshold(
        name="in_flight_gap",
        means="requests in flight by the client against those running and waiting at the server, mean beyond chance",
        unit="share",
        suspect=0.1,
        reason="requests stand where neither sees them (a proxy's queue, a busy front end), or others load the server",
        remedy=_ELSEWHERE + "; look at the server's front end and at what lies before it",
        basis="of 10 % more in flight, latency has 10 %; two standard errors and 20 ms on the way are granted before",
    ),
    Threshold(
        name="requests_gap",
        means="requests that the server says to have ended against those that came back",
        unit="share",
        suspect=0.01,
        reason="the server had other work beside this load, or work of this load never came back",
        remedy=_ELSEWHERE,
        basis="1 % is more than the edges of a page explain; one stray request is granted",
    ),
    Threshold(
        name="tokens_gap",
        means="tokens that the server says to have made against those that were stamped",
        unit="share",
        suspect=0.01,
        reason="throughput by the client is not the server's: tokens were made for others, lost, or counted otherwise",
        remedy=_ELSEWHERE + "; compare `usage` with what the server counts",
        basis="as of `requests_gap`; of answers that broke off, all that was asked for may have been made",
    ),
    Threshold(
        name="prefix_hits",
        means="prompt tokens from the server's prefix cache beyond what all prompts share",
        unit="share",
        suspect=0.01,
        reason="contents are distinct and should not be there: the server has seen this plan before and skips prefill",
        remedy="change `seed`, restart the server or clear its cache (vLLM: POST /reset_prefix_cache)",
        basis="a block of 16 tokens can be met by chance at the head of a prompt; 1 % of prompt tokens cannot",
    ),
    Threshold(
        name="buffered",
        means="ok requests whose tokens came at once at their end, or in bursts, less than 0.2 ms apart",
        unit="share",
        suspect=0.01,
        reason="something holds streams back: TTFT is that of the first burst, gaps are 0 or the time between bursts",
        remedy="look for a buffering proxy (nginx: `proxy_buffering off`), or ask the server's own port",
        basis="engines take 0.3 ms a token and more; answers of 8 tokens are judged, and the tail starts at 1 %",
    ),
)

OF_TOKENS: tuple[Threshold, ...] = (
    Threshold(
        name="usage_gap",
        means="ok requests whose `usage` counts other tokens than their events brought",
        unit="share",
        suspect=0.01,
        reason="rates count the tokens that were stamped, per-request numbers those of `usage`: they contradict",
        remedy="look at single answers (`keep_text`): the server drops, merges or adds events at their end",
        basis="both counts are exact where they are known: 1 % is a habit, not an accident",
    ),
    Threshold(
        name="tokens_unknown",
        means="ok requests whose tokens per event are unknown",
        unit="share",
        suspect=0.01,
        reason="per-token times (`itl_ms`, `tpot_ms`) are those of the other requests only",
        remedy="use a server that sends `usage` on every chunk (`continuous_usage_stats`)",
        basis="1 % of missing requests can be the p99",
    ),
    Threshold(
        name="tokens_assumed",
        means="ok requests whose tokens nobody counted",
        unit="share",
        suspect=0.01,
        reason="each event is taken for one token: too few with speculative decoding or merged events",
        remedy="use a server that reports `usage` in streams (`include_usage`)",
        basis="as of `tokens_unknown`",
    ),
)
