"""The grammar of service-level objectives: text to values; evaluation is elsewhere.

::

    objective  = statistic metric op bound            p99 ttft < 80ms
               | "attainment" "(" term {"," term} ")" op share
                                                      attainment(ttft < 200ms, tpot < 50ms) > 99%
               | rate op bound                        error_rate < 1%
    term       = metric op bound
    statistic  = "mean" | "median" | "std" | "min" | "max" | "p" number
    op         = "<" | "<=" | ">" | ">="
    bound      = number [unit]                        5s, 80 ms, 0.5 %, 900 tokens/s

Metrics and rates go by the names of ``summary.json``; ``_ms`` may be left out. Case and spaces do not matter.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from benchkit.errors import ObjectiveSyntaxError

Op = Literal["<", "<=", ">", ">="]

_TIMES = (
    "ttft_ms",
    "ttft_text_ms",
    "ttft_answer_ms",
    "ttft_from_schedule_ms",
    "connect_ms",
    "itl_ms",
    "chunk_gap_ms",
    "max_gap_ms",
    "tpot_ms",
    "latency_ms",
    "latency_from_schedule_ms",
    "normalized_latency_ms",
    "lateness_ms",
    "pickup_lag_ms",
)
METRICS: Mapping[str, str] = {
    **dict.fromkeys(_TIMES, "ms"),
    "tokens_per_chunk": "tokens",
    "in_flight": "requests",
}
"""Metrics that an objective may name, with their units."""

PER_REQUEST = frozenset(_TIMES) - {"itl_ms", "chunk_gap_ms"}
"""Metrics of which a request has one value: what attainment may be made of."""

RATES: Mapping[str, str] = {
    "error_rate": "share",
    "shed_rate": "share",
    "requests_per_s": "requests/s",
    "output_tokens_per_s": "tokens/s",
    "total_tokens_per_s": "tokens/s",
    "offered_per_s": "requests/s",
    "sent_per_s": "requests/s",
    "goodput_per_s": "requests/s",
}
"""Rates that an objective may name: shares of all requests, and the windows' rates."""

_UNITS: Mapping[str, Mapping[str, float]] = {
    "ms": {"us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "sec": 1e3, "min": 60e3},
    "share": {"%": 0.01, "": 1.0},
    "tokens": {"": 1.0, "token": 1.0, "tokens": 1.0},
    "requests": {"": 1.0, "request": 1.0, "requests": 1.0},
    "tokens/s": {"": 1.0, "/s": 1.0, "tokens/s": 1.0, "token/s": 1.0, "tok/s": 1.0},
    "requests/s": {"": 1.0, "/s": 1.0, "requests/s": 1.0, "request/s": 1.0, "req/s": 1.0},
}
_STATISTICS = {"mean": "mean", "average": "mean", "median": "p50", "std": "std", "min": "min", "max": "max"}
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)|(?P<word>[a-z_µμ%/][\w.µμ%/]*)"
    r"|(?P<op><=|>=|<|>|≤|≥)|(?P<mark>[(),])|(?P<bad>\S))"
)


class _Bounded:
    """Whatever is compared with a bound."""

    __slots__ = ()

    op: Op
    bound: float

    def holds(self, value: float) -> bool:
        """Whether a value, in the bound's unit, meets the bound."""
        return _COMPARE[self.op](value, self.bound)


@dataclass(frozen=True, slots=True)
class Term(_Bounded):
    """What one request must do: a metric of it, compared with a bound in the metric's unit."""

    metric: str
    op: Op
    bound: float


@dataclass(frozen=True, slots=True)
class StatisticObjective(_Bounded):
    """A statistic of a metric's values, compared with a bound."""

    statistic: str
    """mean, std, min, max, or a percentile as in summary.json: p50, p99, p99_9."""
    metric: str
    op: Op
    bound: float
    """In the metric's unit, see ``METRICS``."""
    text: str = field(compare=False)
    """As the user wrote it, spaces tidied."""

    @property
    def quantile(self) -> float | None:
        """The percentile as a fraction; None for other statistics."""
        return float(self.statistic[1:].replace("_", ".")) / 100.0 if self.statistic[0] == "p" else None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class AttainmentObjective(_Bounded):
    """The share of requests that meet every term; failed and shed ones do not."""

    terms: tuple[Term, ...]
    op: Op
    bound: float
    """A fraction, 0 to 1."""
    text: str = field(compare=False)
    """As the user wrote it, spaces tidied."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class RateObjective(_Bounded):
    """A share of all requests, or a rate over the window, compared with a bound."""

    name: str
    op: Op
    bound: float
    """A fraction for error_rate and shed_rate, else per second; see ``RATES``."""
    text: str = field(compare=False)
    """As the user wrote it, spaces tidied."""

    def __str__(self) -> str:
        return self.text


Objective = StatisticObjective | AttainmentObjective | RateObjective


def parse(text: str) -> Objective:
    """The objective that a text says.

    Raises:
        ObjectiveSyntaxError: it says none; names the place and what was expected there.
    """
    return _Parser(text).objective()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    """Recursive descent over the tokens of one objective."""

    def __init__(self, text: str) -> None:
        self._source = text
        self._text = " ".join(text.split())
        self._tokens = [
            _Token(str(match.lastgroup), match[str(match.lastgroup)], match.start(str(match.lastgroup)))
            for match in _TOKEN.finditer(text.lower())
        ]
        self._next = 0

    def objective(self) -> Objective:
        """The whole text as one objective."""
        found = self._objective()
        if self._peek().kind != "end":
            raise self._error("the end", self._peek())
        return found

    def _objective(self) -> Objective:
        first = self._peek()
        if first.kind != "word":
            raise self._error("a statistic, 'attainment(' or a rate, as in 'p99 ttft < 80ms'", first)
        if first.text == "attainment":
            return self._attainment()
        if first.text in RATES:
            self._take()
            op = self._op()
            return RateObjective(first.text, op, self._bound(RATES[first.text]), self._text)
        statistic = self._statistic()
        metric = self._metric()
        op = self._op()
        return StatisticObjective(statistic, metric, op, self._bound(METRICS[metric]), self._text)

    def _attainment(self) -> AttainmentObjective:
        self._take()
        self._mark("(")
        terms = [self._term()]
        while self._peek().text == ",":
            self._take()
            terms.append(self._term())
        self._mark(")")
        op = self._op()
        return AttainmentObjective(tuple(terms), op, self._bound("share"), self._text)

    def _term(self) -> Term:
        first = self._peek()
        if _statistic(first.text):
            raise self._error("a metric alone, since attainment judges each request by itself", first)
        metric = self._metric()
        if metric not in PER_REQUEST:
            remedy = "a metric of which a request has one value, such as 'tpot' or 'max_gap'"
            raise self._error(remedy, first)
        op = self._op()
        return Term(metric, op, self._bound(METRICS[metric]))

    def _statistic(self) -> str:
        token = self._take()
        statistic = _statistic(token.text)
        if statistic is not None:
            return statistic
        if _metric(token.text) is not None:
            raise self._error(f"a statistic first, as in 'p99 {token.text} < …'", token)
        known = [*_STATISTICS, "p50", "p90", "p95", "p99", "p99.9", "attainment", *RATES]
        raise self._error(f"a statistic, 'attainment(' or a rate{_nearest(token.text, known)}", token)

    def _metric(self) -> str:
        token = self._take()
        metric = _metric(token.text) if token.kind == "word" else None
        if metric is None:
            known = [name.removesuffix("_ms") for name in METRICS]
            raise self._error(f"a metric{_nearest(token.text, known) or ', such as ' + repr('ttft')}", token)
        return metric

    def _op(self) -> Op:
        token = self._take()
        if token.kind != "op":
            raise self._error("'<', '<=', '>' or '>='", token)
        return cast("Op", {"≤": "<=", "≥": ">="}.get(token.text, token.text))

    def _bound(self, unit: str) -> float:
        number = self._take()
        if number.kind != "number":
            raise self._error("a number", number)
        given = self._take().text if self._peek().kind == "word" else ""
        factors = _UNITS[unit]
        if given not in factors:
            wanted = ", ".join(f"'{name}'" for name in factors if name)
            raise self._error(f"a unit after the number: {wanted}", self._tokens_before_end())
        bound = float(number.text) * factors[given]
        if unit == "share" and not 0.0 <= bound <= 1.0:
            raise self._error("a share from 0% to 100%", number)
        return bound

    def _mark(self, text: str) -> None:
        token = self._take()
        if token.text != text:
            raise self._error(f"'{text}'", token)

    def _peek(self) -> _Token:
        if self._next < len(self._tokens):
            return self._tokens[self._next]
        return _Token("end", "", len(self._source.rstrip()))

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _tokens_before_end(self) -> _Token:
        """The token just taken if it was a word, else what comes next: where a unit was expected."""
        taken = self._tokens[self._next - 1]
        return taken if taken.kind == "word" else self._peek()

    def _error(self, expected: str, token: _Token) -> ObjectiveSyntaxError:
        found = f"'{token.text}'" if token.kind != "end" else "nothing"
        return ObjectiveSyntaxError(
            f"objective '{self._text}': at character {token.at + 1} stands {found}, expected {expected}"
        )


def _statistic(word: str) -> str | None:
    """The summary's key of a statistic: p99.9 -> p99_9; None if it is none."""
    percentile = re.fullmatch(r"p(\d{1,2}(?:[._]\d+)?)", word)
    if percentile is None:
        return _STATISTICS.get(word)
    value = float(percentile[1].replace("_", "."))
    return f"p{value:g}".replace(".", "_") if 0.0 < value < 100.0 else None


def _metric(word: str) -> str | None:
    """The summary's name of a metric, with or without its unit; None if it is none."""
    return next((name for name in (word, f"{word}_ms") if name in METRICS), None)


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
