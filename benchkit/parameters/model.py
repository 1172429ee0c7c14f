"""The parameters themselves: names, types, limits, defaults and one sentence about each."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from benchkit.objectives import expand, parse
from benchkit.parameters import conflicts


def as_structure(value: Any) -> Any:
    """A list or mapping written as text, as it comes from papermill's ``-p``, read as YAML."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        import yaml

        try:
            return yaml.safe_load(value)
        except yaml.YAMLError:
            return value
    return value


def _objectives(value: Any) -> Any:
    """One objective as a list of one, a list as a tuple."""
    value = as_structure(value)
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    return tuple(value) if isinstance(value, list) else value


def _parsed(value: tuple[str, ...]) -> tuple[str, ...]:
    """Names of presets replaced by their objectives, so that a run records what was asked whatever they become."""
    texts = expand(value)
    for text in texts:
        parse(text)
    return texts


def _named(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", value):
        raise ValueError("up to 80 letters, digits, '-', '_' and '.', not starting with '-' or '.'")
    return value


def _variable(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("the name of an environment variable that holds the key, never the key itself")
    return value


def address(value: str) -> str:
    """An address of http or https as it is; ValueError for anything else that is not empty."""
    if value and not re.match(r"https?://[^/\s]", value):
        raise ValueError("an address such as 'http://127.0.0.1:8000', with http:// or https:// and a host")
    return value


Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, le=30 * 86400)]
Tokens = Annotated[int, Field(ge=1, le=10_000_000)]
Spread = Annotated[float, Field(ge=0, lt=1)]
Mapping = Annotated[dict[str, Any], BeforeValidator(as_structure)]
Objectives = Annotated[
    tuple[str, ...],
    BeforeValidator(_objectives, json_schema_input_type=list[str] | str),
    AfterValidator(_parsed),
]


class ParameterGroup(BaseModel):
    """Base of all groups of parameters: frozen, strict types, unknown names forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    asked_by: ClassVar[str]
    """Who takes these parameters, for messages: the notebook of that name, where there is one."""
    command: ClassVar[str]
    """The command that takes them."""
    sections: ClassVar[dict[str, str]] = {}
    """What is about the same thing: the first parameter of a section, and its title; in the order to be shown."""
    not_asked: ClassVar[frozenset[str]] = frozenset()
    """Parameters that only others of its family take."""


class RunParameters(ParameterGroup):
    """Everything that one run can be asked for."""

    asked_by: ClassVar[str] = "run_benchmark"
    command: ClassVar[str] = "run"
    sections: ClassVar[dict[str, str]] = {
        "url": "Target",
        "load": "Load",
        "warmup_s": "Extent",
        "dataset": "Work",
        "slo": "Objectives",
        "out": "Place and means",
    }

    url: Annotated[str, AfterValidator(address)] = Field(
        "",
        description="Address of the server, with or without /v1; empty = start the embedded one for the run.",
    )
    model: str = Field("", description="Model to ask for; empty = the one that the server names first.")
    endpoint: Literal["chat", "completions"] = Field("chat", description="API that requests go to.")
    api_key_env: Annotated[str, AfterValidator(_variable)] = Field(
        "", description="Name of the environment variable that holds the API key; empty = none."
    )
    headers: Annotated[dict[str, str], BeforeValidator(as_structure)] = Field(
        default_factory=dict, description="HTTP headers sent with each request, by name."
    )
    extra_body: Mapping = Field(default_factory=dict, description="Fields added to each request's JSON body.")
    timeout_s: float = Field(600.0, gt=0, description="Longest time in seconds that one request may take.")
    verify_tls: bool = Field(True, description="Whether the server's certificate is checked.")
    connections: Literal["reuse", "fresh"] = Field(
        "reuse", description="Whether requests share kept connections or each opens its own."
    )

    load: Literal["concurrent", "synchronous", "throughput", "constant", "poisson", "gamma"] = Field(
        "concurrent",
        description="How load is made: closed loops (first three) or arrivals at a rate (last three).",
    )
    concurrency: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        8, description="Streams of the load 'concurrent': requests that are always under way."
    )
    rate: float = Field(
        1.0,
        gt=0,
        le=1_000_000,
        description="Arrivals per second of an open loop.",
        json_schema_extra={"unit": "requests/s"},
    )
    burstiness: float = Field(
        1.0,
        ge=0.01,
        le=10_000,
        description="Shape of the load 'gamma': 1 = Poisson, below 1 burstier, above more even.",
    )
    max_in_flight: Count = Field(
        0, description="Most requests under way at once; 0 = no cap in an open loop, 512 for 'throughput'."
    )

    warmup_s: Seconds = Field(
        3.0, description="Seconds of load before the window; not drained, not measured."
    )
    duration_s: Seconds = Field(
        30.0, description="Seconds of the measured window; 0 = until 'requests' are done."
    )
    requests: Count = Field(0, description="Most requests of the window; 0 = no limit.")
    drain_s: Seconds = Field(60.0, description="Longest wait in seconds for answers after the window.")
    max_error_rate: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="Share of failed requests, after the first 20, at which the run stops."
    )
    repeats: Annotated[int, Field(ge=0, le=1000)] = Field(
        1,
        description="How often the run is repeated with other contents; 0 = until objectives are decided (without "
        "any: the headline means known to 5 %), looked at after 5, 10 and 20.",
    )

    dataset: Literal["synthetic"] = Field("synthetic", description="Where prompts come from.")
    prompt_form: Literal["text", "token_ids"] = Field(
        "text",
        description="Prompts as text, or as token ids, which skip the server's tokenizer and chat template.",
    )
    input_tokens: Tokens = Field(
        512, description="Wanted length of prompts in tokens, chat template included."
    )
    output_tokens: Tokens = Field(256, description="Wanted length of answers in tokens.")
    input_tokens_spread: Spread = Field(
        0.0,
        description="Half-width of the uniform distribution of prompt lengths, as a share of input_tokens.",
    )
    output_tokens_spread: Spread = Field(
        0.0,
        description="Half-width of the uniform distribution of answer lengths, as a share of output_tokens.",
    )
    prefix_tokens: Count = Field(
        0, description="Tokens at the start of each prompt that all prompts share (a system prompt, say)."
    )
    ignore_eos: bool = Field(True, description="Whether the server is asked to answer at full length.")
    temperature: Annotated[float, Field(ge=0, le=100)] = Field(0.0, description="Sampling temperature.")
    tokenizer: str = Field("", description="Tokenizer file to count prompts with; empty = ask the server.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="Seed of times, lengths and contents.")

    slo: Objectives = Field((), description="Service-level objectives, such as 'p99 ttft < 80ms'.")

    out: Annotated[str, Field(min_length=1)] = Field(
        "outputs", description="Folder that holds the runs' folders."
    )
    name: Annotated[str, AfterValidator(_named)] = Field("", description="A word in the run's folder name.")
    workers: Annotated[int, Field(ge=0, le=1024)] = Field(0, description="Processes that send; 0 = one.")
    transport: Literal["stamped", "httpx"] = Field(
        "stamped", description="Own sockets with kernel receive times, or the stock httpx transport."
    )
    keep_text: bool = Field(
        False, description="Whether prompts and answers are stored, not only their hashes and lengths."
    )

    @property
    def is_open_loop(self) -> bool:
        """Whether requests are due at times of the plan, whatever the server does."""
        return self.load in conflicts.OPEN_LOOPS

    @property
    def streams(self) -> int:
        """Requests that a closed loop keeps under way: 1, ``concurrency``, or the cap of throughput (512)."""
        if self.load == "synchronous":
            return 1
        if self.load == "throughput":
            return self.max_in_flight or 512
        return self.concurrency

    @model_validator(mode="after")
    def _possible_together(self) -> RunParameters:
        conflicts.check_run(self)
        return self


class ServingParameters(ParameterGroup):
    """Everything that a server which benchkit starts can be asked for."""

    asked_by: ClassVar[str] = "serve_model"
    command: ClassVar[str] = "serve"
    sections: ClassVar[dict[str, str]] = {"backend": "Server"}

    backend: Literal["simulated", "vllm"] = Field("simulated", description="Engine that serves.")
    served_model: str = Field(
        "", description="Model to serve; 'tiny-random' makes a small one; empty = the simulated engine's own."
    )
    preset: Annotated[str, Field(min_length=1)] = Field(
        "fixed",
        description="Behaviour of the simulated engine: fixed, simple, one like h100-llama-3.1-8b, or a preset file.",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(0, description="Port on 127.0.0.1; 0 = a free one.")
    server_args: Mapping = Field(
        default_factory=dict, description="Further flags of the engine by name, such as max_num_seqs."
    )
    detached: bool = Field(False, description="Whether the server outlives the notebook or command.")
    stop_after_s: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Seconds after which the server stops by itself; 0 = never."
    )
    twin: str = Field(
        "",
        description="Preset file to write for a twin of this server, from short loads; empty = none (notebook).",
    )

    @property
    def start_arguments(self) -> dict[str, Any]:
        """What ``serving.start`` takes of these."""
        return self.model_dump(exclude={"twin"})

    @model_validator(mode="after")
    def _possible_together(self) -> ServingParameters:
        conflicts.check_serving(self)
        return self


def context_needed(parameters: RunParameters) -> int:
    """Tokens of context that the longest request of a run needs: prompt and answer."""
    p = parameters
    return _longest(p.input_tokens, p.input_tokens_spread) + _longest(p.output_tokens, p.output_tokens_spread)


def _longest(tokens: int, spread: float) -> int:
    return tokens + min(int(spread * tokens + 1e-9), tokens - 1)
