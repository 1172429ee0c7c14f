"""What a capacity analysis can be asked: measured loads, objectives, and the load that is to be served."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from benchkit.errors import ParameterConflict
from benchkit.parameters.model import Count, Objectives, ParameterGroup, Seconds, as_structure


def _texts(value: Any) -> Any:
    """One text as a list of one, a list as a tuple."""
    value = as_structure(value)
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    return tuple(value) if isinstance(value, list) else value


class CapacityParameters(ParameterGroup):
    """Everything that a capacity analysis can be asked; it sends no load."""

    asked_by: ClassVar[str] = "capacity_analysis"
    command: ClassVar[str] = "capacity"
    sections: ClassVar[dict[str, str]] = {
        "sources": "What was measured",
        "target_rps": "What is to be served",
        "headroom": "How safely",
        "price_per_hour": "Price",
    }

    sources: Annotated[tuple[str, ...], BeforeValidator(_texts, json_schema_input_type=list[str] | str)] = (
        Field(
            (),
            description="Measured loads: sweeps, runs, other tools' files, points tables; empty = latest.",
        )
    )
    slo: Objectives = Field(
        (), description="Service-level objectives that every server must meet; empty = those of the sources."
    )

    target_rps: Annotated[float, Field(ge=0, le=1e9)] = Field(
        0.0, description="Requests/s to serve, at the peak where a profile is given; 0 = not said."
    )
    target_users: Count = Field(
        0, description="People at once to serve, in place of target_rps, at the peak; 0 = not said."
    )
    think_time_s: Seconds = Field(
        0.0, description="Seconds between an answer's end and the same person's next request."
    )
    profile: str = Field(
        "",
        description="Load over time: a CSV of time and rate, or office_day, consumer_day, batch_night, office_week.",
    )

    headroom: Annotated[float, Field(ge=0, le=10)] = Field(
        0.0, description="Load to be ready for beyond the target, as a share of it: 0.2 = 20 % more."
    )
    dispersion: Annotated[float, Field(ge=0, le=1e6)] = Field(
        0.0,
        description="Variance over mean of arrivals within start_up_s, to derive headroom from: "
        "1 = Poisson; 0 = use headroom.",
    )
    spare: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="Servers that may fail at once while the rest still carry the load: 1 = N+1."
    )
    zones: Annotated[int, Field(ge=1, le=100)] = Field(
        1,
        description="Zones that servers are spread over; from 2, the load is still carried with one zone lost.",
    )
    start_up_s: Seconds = Field(
        0.0, description="Seconds until a new server serves; 0 = as the sources timed it."
    )
    scale_down_s: Seconds = Field(
        300.0, description="Seconds that load must stay lower before a scaling fleet gives a server back."
    )
    routing: Literal["unstated", "keeps_hits"] = Field(
        "unstated",
        description="What routing does to prefix-cache hits that were measured on one server; "
        "keeps_hits = requests find their server again.",
    )

    price_per_hour: Annotated[float, Field(ge=0, le=1e9)] = Field(
        0.0, description="Price of one server for an hour, in whatever currency; 0 = unknown."
    )
    gpus_per_server: Annotated[int, Field(ge=0, le=100_000)] = Field(
        0, description="GPUs of one server; 0 = unknown."
    )

    @model_validator(mode="after")
    def _possible_together(self) -> CapacityParameters:
        _check(self)
        return self


def _check(p: CapacityParameters) -> None:
    if p.target_rps and p.target_users:
        raise ParameterConflict(
            f"'target_rps' {p.target_rps:g} and 'target_users' {p.target_users} say the same thing twice: "
            "leave one of them out"
        )
    if p.think_time_s and not p.target_users:
        raise ParameterConflict(
            f"'think_time_s' {p.think_time_s:g} has no meaning without 'target_users': set that, or leave it out"
        )
    if p.headroom and p.dispersion:
        raise ParameterConflict(
            f"'headroom' {p.headroom:g} is given and 'dispersion' {p.dispersion:g} asks to derive it: "
            "leave one of them out"
        )
