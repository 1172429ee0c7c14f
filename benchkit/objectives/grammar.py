"""The grammar of service-level objectives: text to values.

::

    objective  = single {"and" single}                 p99 ttft < 80ms and error_rate < 1%
    single     = statistic metric op bound             p99 ttft < 80ms
               | "attainment" "(" term {sep term} ")" op share
                                                       attainment(ttft < 200ms, tpot < 50ms) > 99%
               | rate op bound                         error_rate < 1%
               | preset                                chat
    term       = metric op bound
    sep        = "," | "and"
    statistic  = "mean" | "median" | "std" | "min" | "max" | "p" number
    op         = "<" | "<=" | ">" | ">="
    bound      = quantity | quantity "+" quantity "/token" | quantity "/token"
                                                       100ms + 0.2ms/token
    quantity   = number [unit]                         5s, 80 ms, 0.5 %, 900 tokens/s

Metrics and rates go by the names of ``summary.json``; ``_ms`` may be left out. Case and spaces do not matter.
A bound "/token" grows with each token of the request's prompt; only those of TTFT and latency may.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

from benchkit.errors import ObjectiveSyntaxError
from benchkit.objectives.model import (
    AllOf,
    AttainmentObjective,
    Objective,
    Op,
    RateObjective,
    Single,
    StatisticObjective,
    Term,
    singles,
)
from benchkit.objectives.names import (
    GROWING,
    METRICS,
    PER_REQUEST,
    RATES,
    STATISTICS,
    UNITS,
    metric_name,
    statistic_name,
)
from benchkit.objectives.presets import PRESETS, preset_of

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)"
    r"|(?P<word>[a-z_µμ%/](?:[\w.µμ%/]|-(?=[a-z]))*)"
    r"|(?P<op><=|>=|<|>|≤|≥)|(?P<mark>[(),+])|(?P<bad>\S))"
)
_PER_TOKEN = re.compile(r"(.*)/(?:prompt_?)?tokens?")


def parse(text: str) -> Objective:
    """The objective that a text says; ``AllOf`` where it says several.

    Raises:
        ObjectiveSyntaxError: it says none; names the place and what was expected there.
    """
    return _Parser(text).objective()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Bound(NamedTuple):
    bound: float
    per_token: float = 0.0


class _Parser:
    """Recursive descent over the tokens of one text."""

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
        parts = self._single()
        while self._peek().text == "and":
            self._take()
            parts += self._single()
        if self._peek().kind != "end":
            raise self._error("'and' or the end", self._peek())
        found = tuple(dict.fromkeys(parts))
        if len(found) > 1:
            return AllOf(found, self._text)
        # The same objective said twice is shown as it was written, a preset's only one by its own text.
        return found[0] if len(parts) == 1 else replace(found[0], text=self._text)

    def _single(self) -> tuple[Single, ...]:
        """One objective, or all those of a preset."""
        first = self._peek()
        if first.kind != "word":
            raise self._error("a statistic, 'attainment(' or a rate, as in 'p99 ttft < 80ms'", first)
        if first.text == "attainment":
            return (self._attainment(),)
        if first.text in RATES:
            self._take()
            op = self._op()
            bound = self._quantity(RATES[first.text])
            return (RateObjective(first.text, op, bound, self._since(first)),)
        preset = preset_of(first.text)
        if preset is not None:
            self._take()
            return singles(parse(text) for text in preset.objectives)
        return (self._statistic(),)

    def _statistic(self) -> StatisticObjective:
        first = self._peek()
        statistic = self._statistic_name()
        metric = self._metric()
        op = self._op()
        bound = self._bound(metric)
        if bound.per_token and statistic == "std":
            raise self._error("another statistic: the bound of a spread cannot grow with the prompt", first)
        return StatisticObjective(statistic, metric, op, bound.bound, self._since(first), bound.per_token)

    def _attainment(self) -> AttainmentObjective:
        first = self._take()
        self._mark("(")
        terms = [self._term()]
        while self._peek().text in (",", "and"):
            self._take()
            terms.append(self._term())
        self._mark(")")
        op = self._op()
        bound = self._quantity("share")
        return AttainmentObjective(tuple(terms), op, bound, self._since(first))

    def _term(self) -> Term:
        first = self._peek()
        if statistic_name(first.text):
            raise self._error("a metric alone, since attainment judges each request by itself", first)
        metric = self._metric()
        if metric not in PER_REQUEST:
            remedy = "a metric of which a request has one value, such as 'tpot' or 'max_gap'"
            raise self._error(remedy, first)
        op = self._op()
        return Term(metric, op, *self._bound(metric))

    def _statistic_name(self) -> str:
        token = self._take()
        statistic = statistic_name(token.text)
        if statistic is not None:
            return statistic
        if metric_name(token.text) is not None:
            raise self._error(f"a statistic first, as in 'p99 {token.text} < …'", token)
        known = [*STATISTICS, "p50", "p90", "p95", "p99", "p99.9", "attainment", *RATES, *PRESETS]
        raise self._error(f"a statistic, 'attainment(' or a rate{_nearest(token.text, known)}", token)

    def _metric(self) -> str:
        token = self._take()
        metric = metric_name(token.text) if token.kind == "word" else None
        if metric is None:
            known = [name.removesuffix("_ms") for name in METRICS]
            raise self._error(f"a metric{_nearest(token.text, known) or ', such as ' + repr('ttft')}", token)
        return metric

    def _op(self) -> Op:
        token = self._take()
        if token.kind != "op":
            raise self._error("'<', '<=', '>' or '>='", token)
        return cast("Op", {"≤": "<=", "≥": ">="}.get(token.text, token.text))

    def _bound(self, metric: str) -> _Bound:
        """A bound of a metric, which may grow where the metric's time holds the reading of the prompt."""
        unit = METRICS[metric]
        if metric not in GROWING:
            if self._grows():
                remedy = ", ".join(sorted(name.removesuffix("_ms") for name in GROWING))
                raise self._error(
                    f"a bound that does not grow with the prompt; those of {remedy} may", self._peek()
                )
            return _Bound(self._quantity(unit))
        if self._grows():
            return _Bound(0.0, self._quantity(unit, per_token=True))
        bound = self._quantity(unit)
        if self._peek().text != "+":
            return _Bound(bound)
        self._take()
        return _Bound(bound, self._quantity(unit, per_token=True))

    def _grows(self) -> bool:
        """Whether the quantity that comes next is one a prompt token."""
        unit, _ = self._unit(self._next + 1)
        return self._peek().kind == "number" and _PER_TOKEN.fullmatch(unit) is not None and unit[0] != "/"

    def _quantity(self, unit: str, *, per_token: bool = False) -> float:
        number = self._take()
        if number.kind != "number":
            raise self._error("a number", number)
        at = self._peek()
        given, self._next = self._unit(self._next)
        factors = UNITS[unit]
        names = {f"{name}/token": factor for name, factor in factors.items()} if per_token else factors
        if per_token and (match := _PER_TOKEN.fullmatch(given)):
            given = f"{match[1]}/token"
        if given not in names:
            wanted = ", ".join(f"'{name}'" for name in names if name)
            raise self._error(f"a unit after the number: {wanted}", at)
        bound = float(number.text) * names[given]
        if unit == "share" and not 0.0 <= bound <= 1.0:
            raise self._error("a share from 0% to 100%", number)
        return bound

    def _unit(self, start: int) -> tuple[str, int]:
        """The unit from a token on, spaces around '/' left out, and the number of the token after it."""
        unit, after = "", start
        for token in self._tokens[start:]:
            joined = not unit or unit[-1] == "/" or token.text[0] == "/"
            if token.kind != "word" or token.text == "and" or not joined:
                break
            unit += token.text
            after += 1
        return unit, after

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

    def _since(self, first: _Token) -> str:
        """The source from a token to the one just taken, spaces tidied."""
        last = self._tokens[self._next - 1]
        return " ".join(self._source[first.at : last.at + len(last.text)].split())

    def _error(self, expected: str, token: _Token) -> ObjectiveSyntaxError:
        found = f"'{token.text}'" if token.kind != "end" else "nothing"
        return ObjectiveSyntaxError(
            f"objective '{self._text}': at character {token.at + 1} stands {found}, expected {expected}"
        )


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
