"""What a sweep can be asked for: a run's parameters, and which loads, on which server settings, how carefully."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from benchkit.errors import ParameterConflict
from benchkit.parameters import conflicts
from benchkit.parameters.model import Mapping, RunParameters, ServingParameters, as_structure

_MOST_CELLS = 200
_SET_BY_POINTS = {
    "load": "'sweep', 'arrivals', 'rates' or 'concurrencies'",
    "rate": "'rates' (or leave both out: the rates between the slowest and the fastest load are found)",
    "concurrency": "'concurrencies'",
    "burstiness": "'arrivals': a sweep has constant or Poisson arrivals",
}


def _numbers(value: Any) -> Any:
    """A number as a list of one, a list as a tuple; a text as YAML."""
    value = as_structure(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _positive(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(value <= 0 for value in values):
        raise ValueError("a list of numbers above 0")
    if len(set(values)) < len(values):
        raise ValueError("a list in which nothing comes twice")
    return values


def _grid(value: dict[str, Any]) -> dict[str, Any]:
    for name, choices in value.items():
        if not isinstance(choices, list) or not choices:
            raise ValueError(f"a mapping of settings to lists of values; {name!r} has no list")
    return value


class SweepParameters(RunParameters):
    """Everything that a sweep can be asked for; what a run has applies to each of its points."""

    asked_by: ClassVar[str] = "sweep"
    command: ClassVar[str] = "sweep"
    sections: ClassVar[dict[str, str]] = {
        "url": "Target",
        "sweep": "Which loads",
        "slo": "Objectives",
        "warmup_s": "Extent of each load",
        "dataset": "Work",
        "backend": "Server that the sweep starts",
        "load": "Load",
        "price_per_hour": "Price, and going on",
        "out": "Place and means",
    }
    not_asked: ClassVar[frozenset[str]] = frozenset(_SET_BY_POINTS)

    sweep: Literal["even", "adaptive"] = Field(
        "even",
        description="Which loads: even = one at a time, full throughput, then rates spaced evenly between the two; "
        "adaptive = a search for the highest rate that meets 'slo'.",
    )
    points: Annotated[int, Field(ge=1, le=100)] = Field(
        8, description="Rates between the slowest and the fastest load of an even sweep."
    )
    arrivals: Literal["constant", "poisson"] = Field("poisson", description="How requests arrive at a rate.")
    rates: Annotated[
        tuple[float, ...],
        BeforeValidator(_numbers, json_schema_input_type=list[float] | float),
        AfterValidator(_positive),
    ] = Field((), description="Rates in requests/s to measure, in place of those that 'sweep' would choose.")
    concurrencies: Annotated[
        tuple[int, ...],
        BeforeValidator(_numbers, json_schema_input_type=list[int] | int),
        AfterValidator(_positive),
    ] = Field((), description="Numbers of streams to measure, in place of or beside 'rates'.")
    shuffle: bool = Field(
        True,
        description="Whether points run in an order drawn from 'seed', so that drift does not look like load.",
    )
    stop_saturated: bool = Field(
        True, description="Whether a point ends early once requests clearly pile up in the server."
    )
    settle_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        30.0, description="Longest wait in seconds, between points, for the server's queue to be empty."
    )
    budget_s: Annotated[float, Field(gt=0)] = Field(
        3600.0, description="Seconds of load that an adaptive sweep may take."
    )
    twin: str = Field(
        "",
        description="Preset file of the server's twin, on which an adaptive sweep searches first; empty = none.",
    )

    backend: Literal["simulated", "vllm"] = Field(
        "simulated", description="Engine that serves where 'url' is empty."
    )
    served_model: str = Field(
        "", description="Model that it serves; 'tiny-random' makes a small one for vllm."
    )
    preset: Annotated[str, Field(min_length=1)] = Field(
        "fixed", description="Behaviour of the simulated engine, as for serve_model."
    )
    server_args: Mapping = Field(
        default_factory=dict, description="Further flags of the engine by name, such as max_num_seqs."
    )
    server_grid: Annotated[Mapping, AfterValidator(_grid)] = Field(
        default_factory=dict,
        description="Lists of values by flag: the server is restarted for each combination, and all points run on it.",
    )
    price_per_hour: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Price of one server for an hour, in whatever currency; 0 = unknown."
    )
    gpus_per_server: Annotated[int, Field(ge=0)] = Field(0, description="GPUs of the server; 0 = unknown.")
    resume: str = Field(
        "auto",
        description="Which unfinished sweep goes on: auto = the newest of these parameters, never, or a folder.",
    )

    @property
    def is_list(self) -> bool:
        """Whether the loads are those that were listed."""
        return bool(self.rates or self.concurrencies)

    @property
    def run_values(self) -> dict[str, Any]:
        """What each point shares with a run, by name; its load, place and seed are the point's own."""
        return self.model_dump(include=set(RunParameters.model_fields) - {*_SET_BY_POINTS, "max_in_flight"})

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Every combination of the server's settings that is measured; one empty one without a grid."""
        cells: list[dict[str, Any]] = [{}]
        for name, choices in self.server_grid.items():
            cells = [{**cell, name: choice} for cell in cells for choice in choices]
        return cells

    def serving_values(self, cell: dict[str, Any]) -> dict[str, Any]:
        """What ``serving.start`` takes for a cell."""
        return {
            "backend": self.backend,
            "served_model": self.served_model,
            "preset": self.preset,
            "server_args": {**self.server_args, **cell},
        }

    @model_validator(mode="after")
    def _possible_together(self) -> SweepParameters:
        for name, instead in _SET_BY_POINTS.items():
            if conflicts.asked(self, name):
                raise ParameterConflict(f"'{name}' is set by each point of a sweep: use {instead}")
        if self.sweep == "adaptive" and self.is_list:
            raise ParameterConflict(
                "'rates' and 'concurrencies' say which loads to measure, and 'sweep' adaptive searches for them: "
                "leave one of the two out"
            )
        if self.sweep == "adaptive" and not self.slo:
            raise ParameterConflict(
                "'sweep' adaptive searches for the highest rate that meets 'slo', which is empty: "
                "give an objective such as 'p99 ttft < 200ms'"
            )
        if self.twin and self.sweep != "adaptive":
            raise ParameterConflict(
                "'twin' is where an adaptive sweep searches first: set 'sweep' to 'adaptive'"
            )
        if self.sweep == "adaptive" and self.server_grid:
            raise ParameterConflict(
                "'server_grid' with 'sweep' adaptive is one search for each combination: run them one by one, or "
                "list 'rates'"
            )
        self._check_server()
        if self.repeats == 0:
            raise ParameterConflict("'repeats' 0 (until the answer is sure) is not for sweeps: give a number")
        if self.duration_s == 0 and self.requests == 0:
            raise ParameterConflict(
                "'duration_s' and 'requests' are both 0, so nothing ends a point: set one of them"
            )
        conflicts.check_work(self)
        return self

    def _check_server(self) -> None:
        if self.url:
            for name in ("server_grid", "server_args", "served_model", "preset", "backend"):
                if conflicts.asked(self, name):
                    raise ParameterConflict(
                        f"'{name}' is for a server that the sweep starts, and 'url' names one that runs: "
                        "leave one of the two out"
                    )
            return
        cells = self.cells
        if len(cells) > _MOST_CELLS:
            raise ParameterConflict(
                f"'server_grid' has {len(cells)} combinations; {_MOST_CELLS} are the most: take some values out"
            )
        ServingParameters(**self.serving_values(cells[0]))
