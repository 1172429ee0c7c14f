"""What a comparison of two settings can be asked for: a run's parameters, the two settings, and how many pairs."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from benchkit.errors import ParameterConflict
from benchkit.parameters import conflicts
from benchkit.parameters.model import Mapping, RunParameters, ServingParameters, address, as_structure

SIDES = ("a", "b")
_OF_STARTED = (
    "served_model",
    "preset",
    "backend",
    "server_args",
    "served_model_b",
    "preset_b",
    "server_args_b",
)


def _texts(value: Any) -> Any:
    """A text as a list of one, a list as a tuple."""
    value = as_structure(value)
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    return tuple(value) if isinstance(value, list) else value


class AbParameters(RunParameters):
    """Everything that a comparison of two settings can be asked for; what a run has applies to each of its runs."""

    asked_by: ClassVar[str] = "ab"
    command: ClassVar[str] = "ab"

    url_b: Annotated[str, AfterValidator(address)] = Field(
        "",
        description="Address of the second target; 'url' is the first. Both the same = how much runs differ anyway.",
    )
    model_b: str = Field("", description="Model to ask the second target for; empty = as for the first.")
    backend: Literal["simulated", "vllm"] = Field(
        "simulated", description="Engine that serves both sides where no 'url' is given."
    )
    served_model: str = Field(
        "", description="Model that it serves; 'tiny-random' makes a small one for vllm."
    )
    preset: Annotated[str, Field(min_length=1)] = Field(
        "fixed", description="Behaviour of the simulated engine, as for serve_model."
    )
    server_args: Mapping = Field(
        default_factory=dict, description="Further flags of the engine, on both sides."
    )
    served_model_b: str = Field("", description="Model of the second side; empty = that of the first.")
    preset_b: str = Field("", description="Preset of the second side; empty = that of the first.")
    server_args_b: Mapping = Field(
        default_factory=dict, description="Flags of the second side alone, laid over 'server_args'."
    )
    pairs: Annotated[int, Field(ge=2, le=1000)] = Field(
        10, description="Most pairs of runs; of a pair both runs have the same times and lengths."
    )
    change: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="Smallest change that matters, as a share: 0.05 is 5 %."
    )
    numbers: Annotated[
        tuple[str, ...], BeforeValidator(_texts, json_schema_input_type=list[str] | str), Field(min_length=1)
    ] = Field(
        ("mean ttft", "mean itl", "mean latency", "output_tokens_per_s"),
        description="What is compared: statistics of metrics such as 'p99 ttft', and rates; fewer are decided earlier.",
    )
    stop_early: bool = Field(
        True, description="Whether it ends at a look after 5, 10, 20 … pairs once every number is decided."
    )
    restart: Literal["never", "each"] = Field(
        "never",
        description="Whether servers that are started here serve side by side, or one is started for each run: needed "
        "where one fills the device, and for an answer that holds beyond one start.",
    )
    settle_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        30.0, description="Longest wait in seconds, before each run, for the server's queue to be empty."
    )
    resume: str = Field(
        "auto",
        description="Which unfinished comparison goes on: auto = the newest of these parameters, never, or a folder.",
    )

    @property
    def run_values(self) -> dict[str, Any]:
        """What all runs share, by name; target, model, place and seed are each run's own."""
        return self.model_dump(
            include=set(RunParameters.model_fields) - {"url", "model", "out", "name", "seed"}
        )

    def model_of(self, side: str) -> str:
        """The model that a side is asked for."""
        return (self.model_b or self.model) if side == "b" else self.model

    def serving_values(self, side: str) -> dict[str, Any]:
        """What ``serving.start`` takes for a side."""
        second = side == "b"
        return {
            "backend": self.backend,
            "served_model": (self.served_model_b if second else "") or self.served_model,
            "preset": (self.preset_b if second else "") or self.preset,
            "server_args": {**self.server_args, **(self.server_args_b if second else {})},
        }

    @model_validator(mode="after")
    def _possible_as_pairs(self) -> AbParameters:
        if self.repeats != 1:
            raise ParameterConflict(
                f"'repeats' {self.repeats} has no meaning here, where each run is half of a pair: set 'pairs'"
            )
        if bool(self.url) != bool(self.url_b):
            given, missing = ("url", "url_b") if self.url else ("url_b", "url")
            raise ParameterConflict(
                f"'{given}' names one side and '{missing}' is empty: give both (the same address twice compares a "
                "server with itself), or neither to start both sides here"
            )
        if self.url:
            for name in _OF_STARTED:
                if conflicts.asked(self, name):
                    raise ParameterConflict(
                        f"'{name}' is for servers that are started here, and 'url' names ones that run: leave one out"
                    )
            if self.restart == "each":
                raise ParameterConflict(
                    "'restart' each is for servers that are started here: leave out 'url'"
                )
            return self
        for side in SIDES:
            ServingParameters(**self.serving_values(side))
        return self
