"""What a comparison of measured runs can be asked: two sides, what is compared, and what fails it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from benchkit.errors import ParameterConflict
from benchkit.parameters.model import ParameterGroup, as_structure

DIFFERENCES = ("model", "workload", "load", "machine", "tool")
"""In what runs may differ when that is the point; the names are those of ``analysis.manifest_differences``."""


def _texts(value: Any) -> Any:
    """A text as a list of one, a list as a tuple."""
    value = as_structure(value)
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    return tuple(value) if isinstance(value, list) else value


def _known(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value not in DIFFERENCES:
            raise ValueError(f"a list of {', '.join(DIFFERENCES)}")
    return values


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts, json_schema_input_type=list[str] | str)]


class CompareParameters(ParameterGroup):
    """Everything that a comparison of measured runs can be asked; it sends no load."""

    asked_by: ClassVar[str] = "compare_runs"
    command: ClassVar[str] = "compare"
    sections: ClassVar[dict[str, str]] = {
        "base": "Sides",
        "differs": "How they are compared",
        "fail_on": "Gates",
    }

    base: Texts = Field(
        (),
        description="Runs to compare with: runs with their repeats, sweeps, other tools' files; alone, the folder that "
        "`benchkit ab` left; empty = the newest of these.",
    )
    new: Texts = Field((), description="Runs that are compared with them, of the same kinds.")
    base_name: Annotated[str, Field(min_length=1)] = Field(
        "base", description="What the first side is called, as 'v1.2' or 'eager'."
    )
    new_name: Annotated[str, Field(min_length=1)] = Field(
        "new", description="What the second side is called."
    )

    differs: Annotated[Texts, AfterValidator(_known)] = Field(
        (),
        description="In what the sides differ on purpose: model, workload, load, machine, tool; runs that differ in "
        "another of these are refused.",
    )
    paired: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="Whether run i of a side belongs to run i of the other; auto = where both have the same times and "
        "lengths.",
    )
    numbers: Texts = Field(
        (),
        description="What is compared: statistics of metrics such as 'p99 ttft', and rates; empty = the usual ones.",
    )
    change: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="Smallest change that matters, as a share: 0.05 is 5 %."
    )
    fail_on: Texts = Field(
        (),
        description="Changes that are not allowed: 'p99 ttft +5%', 'output_tokens_per_s -3%'.",
    )
    strict: bool = Field(False, description="Whether a gate that cannot be decided fails.")

    @model_validator(mode="after")
    def _possible_together(self) -> CompareParameters:
        if self.base_name == self.new_name:
            raise ParameterConflict(
                f"'base_name' and 'new_name' are both {self.base_name!r}: give them two names"
            )
        if self.strict and not self.fail_on:
            raise ParameterConflict(
                "'strict' is about gates, and 'fail_on' is empty: name one, as 'p99 ttft +5%'"
            )
        return self
