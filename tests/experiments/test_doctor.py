"""What the doctor writes can be read and acted on."""

from dataclasses import replace

import pytest

from benchkit.experiments.doctor import render
from benchkit.experiments.findings import Finding, Level, plain
from benchkit.experiments.judgements import judge_stream, judge_warmth, looks_buffered
from benchkit.experiments.preflight import Preflight
from benchkit.experiments.probe import Probe
from benchkit.experiments.surroundings import judge_server_clock
from benchkit.plan.vocabulary import DEFAULT_VOCABULARY

GOOD = Finding(Level.OK, "reachable", "http://h lists 1 model(s)")
NOTE = Finding(Level.NOTE, "proxy", "a proxy answers")
WARNING = Finding(Level.WARNING, "ignore_eos", "ignored", "set ignore_eos to false")
FATAL = Finding(Level.FATAL, "context", "too long", "lower input_tokens")


def preflight(*findings):
    return Preflight(
        url="http://h",
        model="m",
        vocabulary=DEFAULT_VOCABULARY,
        stream_usage="continuous",
        send_ignore_eos=True,
        ignore_eos_honoured=True,
        server={"engine": "vllm", "version": "0.32.0"},
        findings=findings,
    )


def test_each_finding_has_a_line_and_each_remedy_too():
    """Marks, names in a column, remedies below, the server on top and the verdict at the end."""
    assert render(preflight(GOOD, NOTE, WARNING)).splitlines() == [
        "http://h (vllm 0.32.0)",
        "",
        "✓ reachable   http://h lists 1 model(s)",
        "· proxy       a proxy answers",
        "! ignore eos  ignored",
        "              → set ignore_eos to false",
        "",
        "It can be measured; mind ignore eos.",
    ]


@pytest.mark.parametrize(
    ("findings", "verdict", "exit_code"),
    [
        ([GOOD, NOTE], "It can be measured.", 0),
        ([GOOD, WARNING], "It can be measured; mind ignore eos.", 0),
        ([GOOD, WARNING, FATAL], "A run would measure nothing: context.", 1),
    ],
)
def test_the_verdict_is_the_heaviest_finding(findings, verdict, exit_code):
    """Only what makes a run senseless fails the doctor."""
    found = preflight(*findings)
    assert render(found).splitlines()[-1] == verdict
    assert found.exit_code == exit_code


def test_long_texts_are_wrapped_in_their_column():
    """A long finding stays readable in a terminal."""
    lines = render(preflight(replace(GOOD, text="word " * 60, remedy="thing " * 60))).splitlines()[2:-2]
    assert len(lines) > 6
    assert max(map(len, lines)) <= 110
    assert all(line.startswith(" " * 13) for line in lines[1:])


def test_colours_are_only_for_terminals():
    """Without being asked the text is plain."""
    assert "\x1b" not in render(preflight(GOOD, FATAL))
    assert "\x1b[31m✗\x1b[0m" in render(preflight(GOOD, FATAL), colour=True)


def test_texts_of_servers_are_made_plain():
    """Control characters go, long texts are cut."""
    assert plain("a\x1b[31m\tb\r\nc\u202e") == "a [31m b c"
    assert plain("x" * 300) == "x" * 199 + "…"


def probe(**facts):
    values = {
        "status": 200,
        "content_type": "text/event-stream",
        "events": 8,
        "reads": 8,
        "ttft_ms": 50.0,
        "last_token_ms": 190.0,
        "latency_ms": 191.0,
        "output_tokens": 8,
        "prompt_tokens": 10,
        "usage": "continuous",
        "has_token_ids": False,
        "finish_reason": "length",
        "done": True,
        "error": None,
        "headers": {},
    }
    return Probe(**{**values, **facts})


@pytest.mark.parametrize(
    ("ttft", "last", "events", "expected"),
    [
        (50, 190, 8, False),
        (190, 190.2, 8, True),
        (190, 190.2, 2, False),
        (1.0, 1.02, 8, False),
        (1000, 1080, 8, False),
        (1000, 1010, 8, True),
        (None, None, 0, False),
    ],
)
def test_streams_that_come_at_once_look_buffered(ttft, last, events, expected):
    """All tokens within a twentieth of the latency, long after the request; not when all takes a moment."""
    facts = {"ttft_ms": ttft, "last_token_ms": last, "events": events, "latency_ms": (last or 0) + 1}
    assert looks_buffered(probe(**facts)) is expected


def test_a_longer_answer_tells_buffering_from_speed():
    """A slow prefill and fast tokens are no buffer: a longer answer's first token then comes no later."""
    fast = probe(ttft_ms=190.0, last_token_ms=190.2, latency_ms=190.3)
    later = probe(ttft_ms=760.0, last_token_ms=760.2, latency_ms=760.3, events=32)
    same = probe(ttft_ms=192.0, last_token_ms=192.9, latency_ms=193.0, events=32)
    assert judge_stream(fast, later).level is Level.WARNING
    assert judge_stream(fast, same).level is Level.OK
    assert judge_stream(probe()).level is Level.OK
    assert judge_stream(probe(events=1)).level is Level.NOTE


@pytest.mark.parametrize(
    ("first", "second", "level"),
    [(751.0, 52.0, Level.NOTE), (60.0, 50.0, Level.OK), (140.0, 50.0, Level.OK), (None, 50.0, Level.NOTE)],
)
def test_a_cold_server_is_much_slower_at_first(first, second, level):
    """The first answer must be well over twice as slow to speak of a cold server."""
    assert judge_warmth(probe(ttft_ms=first), probe(ttft_ms=second)).level is level


@pytest.mark.parametrize(
    ("date", "level"),
    [
        ("Tue, 24 Nov 2026 04:00:00 GMT", Level.OK),
        ("Tue, 24 Nov 2026 04:00:30 GMT", Level.NOTE),
        ("Tue, 24 Nov 2026 03:59:00 GMT", Level.NOTE),
        ("yesterday", Level.OK),
    ],
)
def test_a_servers_clock_is_held_against_ours(date, level):
    """Whole seconds agree or they do not; a date that cannot be read says nothing."""
    assert judge_server_clock({"date": date}, 1795492800.9).level is level
    assert judge_server_clock({}, 0.0).level is Level.OK
