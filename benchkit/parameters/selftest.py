"""What a test of this machine's client can be asked: which streams, paces and rates of requests, and for how long."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from benchkit.parameters.model import ParameterGroup, as_structure


def _numbers(value: Any) -> Any:
    """A number as a list of one, a list as a tuple; a text as YAML."""
    value = as_structure(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _rising(values: tuple[int, ...]) -> tuple[int, ...]:
    if any(value <= 0 for value in values) or list(values) != sorted(set(values)):
        raise ValueError("a list of whole numbers above 0, each larger than the one before")
    return values


_Rising = Annotated[
    tuple[int, ...],
    BeforeValidator(_numbers, json_schema_input_type=list[int] | int),
    AfterValidator(_rising),
]


class SelftestParameters(ParameterGroup):
    """Everything that a test of this machine's client can be asked for."""

    asked_by: ClassVar[str] = "client_accuracy"
    command: ClassVar[str] = "selftest"

    streams: Annotated[_Rising, Field(min_length=1)] = Field(
        (10, 100, 1000), description="Streams at the same time, one load after the other."
    )
    tokens_per_s: Annotated[_Rising, Field(min_length=1)] = Field(
        (2000, 8000, 16000, 32000, 64000),
        description="Tokens/s over all streams, as stages of each load; each token is an event of its own.",
    )
    requests_per_s: _Rising = Field(
        (250, 1000, 2000, 4000), description="Poisson requests/s of short answers; empty = none."
    )
    stage_s: Annotated[float, Field(ge=0.3, le=600)] = Field(
        1.0, description="Seconds of each stage of streams; each rate of requests lasts half as long again."
    )
    answer_tokens: Annotated[int, Field(ge=2, le=100_000)] = Field(
        200, description="Tokens of an answer of the streams; the next request follows it at once."
    )
    arrive: Literal["evenly", "in_steps"] = Field(
        "evenly",
        description="How the server sends: evenly = one stream after the other; in_steps = all streams at once, as "
        "an engine's steps.",
    )
    workers: Annotated[int, Field(ge=0, le=64)] = Field(
        0, description="Load processes, as of the runs that are to be placed on the map; 0 = one."
    )
    stored: str = Field(
        "", description="Show this map and send no load: latest, or a file; empty = measure one."
    )
    out: str = Field("outputs", description="Folder in whose folder selftest the map is stored.")
