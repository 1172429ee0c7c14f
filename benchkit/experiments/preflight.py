"""Looks at a server before the load: whether it can be measured, and what it honours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchkit.answers import ModelCard
from benchkit.errors import (
    BenchkitError,
    PreflightFailed,
    TargetError,
    Unauthorized,
    UnexpectedAnswer,
    UnknownModel,
)
from benchkit.experiments import judgements, surroundings
from benchkit.experiments.findings import Finding, Level, plain
from benchkit.experiments.probe import Ask, Negotiated, Probe, negotiate, send
from benchkit.experiments.prompt_lengths import WordCosts, count_words, settle
from benchkit.http import ControlClient
from benchkit.parameters import RunParameters, context_needed
from benchkit.plan.vocabulary import DEFAULT_VOCABULARY, Vocabulary

__all__ = ["Preflight", "check"]

QUICK_TOKENS = 8
"""Enough events to see a stream, few enough not to delay a run."""
WHOLE_TOKENS = 32
LONGEST_WAIT_S = 120.0
"""A cold server may compile for a minute; one that takes longer is not ready to be measured."""
PROBE_TEXT = "Say yes and nothing more."
"""Invites a short answer, so that a server that ignores ``ignore_eos`` shows it."""
PROBE_IDS = tuple(range(1000, 1016))


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a look at the server found."""

    url: str
    """Without secrets."""
    model: str
    """What to ask for; empty when there is none."""
    vocabulary: Vocabulary
    stream_usage: str
    """Which ``stream_options`` to send: ``continuous``, ``final`` or ``none``."""
    send_ignore_eos: bool
    """Whether to send ``ignore_eos``: it is wanted and was not refused."""
    ignore_eos_honoured: bool | None
    """Whether answers have the wanted length; None when it was not asked for or cannot be told."""
    server: Mapping[str, Any]
    """``version``, ``models``, ``max_model_len``, ``engine`` (a guess), ``software`` (its Server header)."""
    findings: tuple[Finding, ...]
    probes: tuple[Probe, ...] = ()
    error: BenchkitError | None = field(default=None, repr=False, compare=False)
    """The error behind a fatal finding, where one was raised."""

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """The findings for which a run would measure nothing."""
        return tuple(finding for finding in self.findings if finding.level is Level.FATAL)

    @property
    def exit_code(self) -> int:
        """0 when a run makes sense, else 1."""
        return 1 if self.fatal else 0

    def as_dict(self) -> dict[str, Any]:
        """Give everything as JSON values, for the manifest; of the vocabulary its size and source."""
        return {
            "url": self.url,
            "model": self.model,
            "stream_usage": self.stream_usage,
            "send_ignore_eos": self.send_ignore_eos,
            "ignore_eos_honoured": self.ignore_eos_honoured,
            "prompt_lengths": {
                "source": self.vocabulary.source,
                "words": len(self.vocabulary.words),
                "overhead_tokens": self.vocabulary.overhead_tokens,
            },
            "findings": [finding.as_dict() for finding in self.findings],
            "probes": [probe.as_dict() for probe in self.probes],
        }

    def raise_if_fatal(self) -> None:
        """Do nothing when a run makes sense.

        Raises:
            TargetError: The server cannot be reached, wants a key, has another model, or is no such API.
            PreflightFailed: Anything else for which a run would measure nothing.
        """
        if self.error is not None:
            raise self.error
        if self.fatal:
            lines = [f"{f.name}: {f.text}{f'; {f.remedy}' if f.remedy else ''}" for f in self.fatal]
            raise PreflightFailed(f"a run against {self.url} would measure nothing. " + " ".join(lines))


def check(parameters: RunParameters, url: str, *, quick: bool = True) -> Preflight:
    """Look at a server with the run's parameters.

    Args:
        parameters: The run's.
        url: The server; ``parameters.url`` is not read, since an embedded server's address is known late.
        quick: What a run does: one short request and the counting of prompts. Otherwise everything.

    Raises:
        InvalidParameter: The URL, the key's variable or the tokenizer file is not there.
    """
    with ControlClient(
        url,
        api_key_env=parameters.api_key_env,
        headers=parameters.headers,
        verify_tls=parameters.verify_tls,
    ) as client:
        look = _Look(client, parameters, quick=quick)
        try:
            look.look()
        except TargetError as error:
            look.fail(error)
        return look.result()


class _Look:
    """One look at a server; gathers findings in the order in which they are made."""

    def __init__(self, client: ControlClient, parameters: RunParameters, *, quick: bool) -> None:
        self._client, self._parameters, self._quick = client, parameters, quick
        self._findings: list[Finding] = []
        self._probes: list[Probe] = []
        self._server: dict[str, Any] = {}
        self._model = ""
        self._vocabulary = DEFAULT_VOCABULARY
        self._stream_usage = "continuous"
        self._send_eos = parameters.ignore_eos
        self._eos: bool | None = None
        self._error: BenchkitError | None = None
        self._reached = False

    def result(self) -> Preflight:
        return Preflight(
            url=self._client.shown_url,
            model=self._model,
            vocabulary=self._vocabulary,
            stream_usage=self._stream_usage,
            send_ignore_eos=self._send_eos,
            ignore_eos_honoured=self._eos,
            server=self._server,
            findings=tuple(self._findings),
            probes=tuple(self._probes),
            error=self._error,
        )

    def fail(self, error: TargetError) -> None:
        name = "key" if isinstance(error, Unauthorized) else "request" if self._reached else "reachable"
        text, _, remedy = plain(str(error), 500).rpartition("; ")
        self._add(Finding(Level.FATAL, name, text, remedy) if text else Finding(Level.FATAL, name, remedy))
        self._error = error

    def look(self) -> None:
        """Take the steps, until one finds that the next make no sense."""
        cards = self._look_at_models()
        choice = judgements.choose_model(cards, self._parameters.model)
        self._model = choice.model
        self._add(choice.finding)
        self._server |= surroundings.describe_server(self._client, cards or [], choice.card)
        if choice.finding.level is Level.FATAL:
            self._error = UnknownModel(f"{choice.finding.text}; {choice.finding.remedy}")
            return
        max_model_len = choice.card.max_model_len if choice.card else None
        context = judgements.judge_context(max_model_len, context_needed(self._parameters))
        self._add(context)
        if context.level is Level.FATAL:
            return
        words = self._count_words()
        ask = self._ask()
        negotiated = negotiate(self._client, ask)
        if not self._read_answer(negotiated):
            return
        self._settle_lengths(words, negotiated)
        self._add(*surroundings.judge_proxy(negotiated.probe))
        if not self._quick:
            self._look_closer(negotiated)

    def _add(self, *findings: Finding | None) -> None:
        self._findings.extend(finding for finding in findings if finding is not None)

    def _look_at_models(self) -> Sequence[ModelCard] | None:
        try:
            cards = self._client.models()
        except UnexpectedAnswer as error:
            # A gateway may offer completions and no list; whether it does is seen by the request.
            if not self._parameters.model:
                raise
            self._add(
                Finding(Level.NOTE, "reachable", f"answers, without a list of models: {plain(str(error))}")
            )
            self._reached = True
            return None
        self._reached = True
        self._add(Finding(Level.OK, "reachable", f"{self._client.shown_url} lists {len(cards)} model(s)"))
        if self._parameters.api_key_env:
            self._add(Finding(Level.OK, "key", f"the one in {self._parameters.api_key_env} is accepted"))
        return cards

    def _count_words(self) -> WordCosts | None:
        if self._parameters.prompt_form == "token_ids":
            return None
        return count_words(self._client, self._model, self._parameters)

    def _ask(self) -> Ask:
        p = self._parameters
        return Ask(
            endpoint=p.endpoint,
            model=self._model,
            prompt=PROBE_IDS if p.prompt_form == "token_ids" else PROBE_TEXT,
            max_tokens=QUICK_TOKENS if self._quick else WHOLE_TOKENS,
            stream_usage="continuous",
            ignore_eos=p.ignore_eos,
            temperature=p.temperature,
            extra_body=p.extra_body,
            timeout_s=min(p.timeout_s, LONGEST_WAIT_S),
        )

    def _read_answer(self, negotiated: Negotiated) -> bool:
        """Judge the first answer; False when nothing more can be learnt."""
        probe, ask = negotiated.probe, negotiated.ask
        self._probes.append(probe)
        token_ids = not isinstance(ask.prompt, str)
        reason = judgements.judge_answer(probe, endpoint=ask.endpoint, token_ids=token_ids)
        if reason is not None:
            self._add(reason)
            return False
        self._stream_usage = probe.usage if ask.stream_usage != "none" else "none"
        self._send_eos = ask.ignore_eos
        longer = None
        if judgements.looks_buffered(probe):
            longer = send(self._client, replace(ask, max_tokens=4 * ask.max_tokens))
            self._probes.append(longer)
        eos = judgements.judge_ignore_eos(
            probe, asked=self._parameters.ignore_eos, sent=ask.ignore_eos, max_tokens=ask.max_tokens
        )
        self._eos = eos.honoured
        self._add(
            judgements.judge_stream(probe, longer),
            judgements.judge_usage(probe, negotiated.refusals),
            judgements.judge_tokens_per_chunk(probe),
            eos.finding,
        )
        return True

    def _settle_lengths(self, words: WordCosts | None, negotiated: Negotiated) -> None:
        probe, ask = negotiated.probe, negotiated.ask
        if not isinstance(ask.prompt, str):
            self._add(judgements.judge_token_ids(probe, len(ask.prompt)))
            return

        def prompt_tokens(text: str) -> int | None:
            form = replace(ask, prompt=text, max_tokens=1)
            return send(self._client, form).prompt_tokens

        counted = settle(
            self._client,
            self._model,
            self._parameters,
            words,
            sent_text=ask.prompt,
            sent_tokens=probe.prompt_tokens,
            prompt_tokens=prompt_tokens,
        )
        self._vocabulary = counted.vocabulary
        self._add(counted.finding)

    def _look_closer(self, negotiated: Negotiated) -> None:
        closer = surroundings.look_closer(self._client, negotiated, self._vocabulary, self._parameters)
        self._probes.extend(closer.probes)
        self._add(*closer.findings)
