"""A run's parameters and plan -> what its load processes are told."""

from __future__ import annotations

import math
from urllib.parse import urlsplit

from benchkit.load.spec import LoadSpec
from benchkit.parameters import RunParameters
from benchkit.plan.spec import PlanSpec
from benchkit.redaction import redact_url
from benchkit.target import COMPLETION_PATHS

_NANO = 1_000_000_000


def load_spec(
    parameters: RunParameters, plan: PlanSpec, url: str, *, exact_length: bool, origin_ns: int, run_id: str
) -> LoadSpec:
    """What the load processes of one repeat are told."""
    p = parameters
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    path = f"{parts.path.rstrip('/')}/v1/{COMPLETION_PATHS[p.endpoint]}" + (
        f"?{parts.query}" if parts.query else ""
    )
    return LoadSpec(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=port,
        path=path,
        target=redact_url(url),
        model=plan.model,
        api_key_env=p.api_key_env,
        load=p.load,
        concurrency=0 if plan.is_open_loop else p.streams,
        max_in_flight=p.max_in_flight if plan.is_open_loop else 0,
        warmup_ns=ns(p.warmup_s),
        duration_ns=ns(p.duration_s),
        drain_ns=ns(p.drain_s),
        timeout_ns=ns(p.timeout_s),
        max_error_rate=p.max_error_rate,
        workers=max(1, p.workers),
        repeat=plan.repeat,
        origin_ns=origin_ns,
        transport=p.transport,
        reuse=p.connections == "reuse",
        verify_tls=p.verify_tls,
        keep_text=p.keep_text,
        exact_length=exact_length and p.ignore_eos,
        run_id=run_id,
        plan=plan.to_json(),
    )


def ns(seconds: float) -> int:
    """Seconds as whole nanoseconds."""
    return math.floor(seconds * _NANO + 0.5)
