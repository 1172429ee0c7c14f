"""The look before the load sees what a server honours, on a good server and on odd ones."""

import json
import time

import pytest

from benchkit.errors import (
    InvalidParameter,
    PreflightFailed,
    Unauthorized,
    UnexpectedAnswer,
    UnknownModel,
    Unreachable,
)
from benchkit.experiments.findings import Level
from benchkit.experiments.preflight import check
from benchkit.http import ControlClient
from benchkit.plan.plan import Plan
from benchkit.plan.spec import PlanSpec
from benchkit.records.kinds import Phase


def levels(preflight):
    return {finding.name: str(finding.level) for finding in preflight.findings}


def named(preflight, name):
    return next(finding for finding in preflight.findings if finding.name == name)


def fault(parameters, text, **values):
    return parameters(headers={"X-Benchkit-Fault": text}, **values)


def test_a_good_server_has_nothing_against_it(small_server, parameters):
    """Every finding of the quick look is ok, and says what the plan needs."""
    found = check(parameters(), small_server.url)
    assert levels(found) == dict.fromkeys(
        [
            "reachable",
            "model",
            "context",
            "stream",
            "usage",
            "tokens_per_chunk",
            "ignore_eos",
            "prompt_lengths",
        ],
        "ok",
    )
    assert found.model == "simulated"
    assert found.stream_usage == "continuous"
    assert found.send_ignore_eos
    assert found.ignore_eos_honoured
    assert found.vocabulary.source == "tokenize_endpoint"
    assert found.vocabulary.overhead_tokens == 7
    assert found.server["engine"] == "benchkit"
    assert found.server["max_model_len"] == 2048
    assert found.exit_code == 0
    found.raise_if_fatal()


def test_the_quick_look_is_quick(small_server, parameters):
    """Beside the time that the answer takes, a run waits less than 0.3 s for it."""
    waits = []
    for _ in range(3):
        begin = time.perf_counter()
        found = check(parameters(), small_server.url)
        waits.append(time.perf_counter() - begin - sum(probe.latency_ms for probe in found.probes) / 1e3)
    assert min(waits) < 0.3


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize("tokens", [30, 64, 301])
def test_planned_prompts_have_their_length_on_the_server(small_server, parameters, endpoint, tokens):
    """The server counts exactly the wanted tokens in prompts drawn with the vocabulary that was found."""
    wanted = parameters(endpoint=endpoint, input_tokens=tokens, output_tokens=1, requests=3)
    found = check(wanted, small_server.url)
    plan = Plan(PlanSpec.of(wanted, model=found.model, vocabulary=found.vocabulary))
    sessions = plan.sessions(Phase.WINDOW)
    with ControlClient(small_server.url) as client:
        for _ in range(3):
            body = json.loads(next(sessions).turns[0].body)
            body.pop("stream_options")
            answer = client.complete(body, endpoint)
            assert answer.json()["usage"]["prompt_tokens"] == tokens


@pytest.mark.parametrize(
    ("text", "name", "level", "stream_usage", "honoured"),
    [
        ("no_usage", "usage", "warning", "none", True),
        ("no_continuous_usage", "usage", "ok", "final", True),
        ("no_continuous_usage,merge:4", "usage", "warning", "final", True),
        ("merge:4", "tokens_per_chunk", "note", "continuous", True),
        ("buffer", "stream", "warning", "continuous", True),
        ("short:3", "ignore_eos", "warning", "continuous", False),
        ("no_eos_control", "ignore_eos", "warning", "continuous", False),
        ("ping", "stream", "ok", "continuous", True),
        ("no_done", "stream", "ok", "continuous", True),
    ],
)
def test_what_a_server_does_otherwise_is_seen(
    small_server, parameters, text, name, level, stream_usage, honoured
):
    """Each peculiarity has its finding, and the plan is told what to send and to expect."""
    found = check(fault(parameters, text), small_server.url)
    assert levels(found)[name] == level
    assert found.stream_usage == stream_usage
    assert found.ignore_eos_honoured is honoured
    assert found.exit_code == 0


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("429", "request", "turns requests away"),
        ("503", "request", "turns requests away"),
        ("500", "request", "the server fails"),
        ("error_event:2", "stream", "carried an error"),
        ("malformed:2", "stream", "not JSON"),
        ("no_finish_reason", "stream", "finish reason"),
        ("cut_after:2", "request", "broke off"),
    ],
)
def test_what_makes_a_run_senseless_stops_it(small_server, parameters, text, name, words):
    """A server that fails the first request fails the run before it begins, with a remedy."""
    found = check(fault(parameters, text), small_server.url)
    assert words in named(found, name).text
    assert named(found, name).remedy
    assert [finding.name for finding in found.fatal] == [name]
    assert found.exit_code == 1
    with pytest.raises((PreflightFailed, UnexpectedAnswer), match=words):
        found.raise_if_fatal()


def test_answers_without_ignore_eos_are_as_long_as_they_are(small_server, parameters):
    """Who does not ask for it is not told that it was ignored."""
    found = check(fault(parameters, "no_eos_control", ignore_eos=False), small_server.url)
    assert found.ignore_eos_honoured is None
    assert not found.send_ignore_eos
    assert levels(found)["ignore_eos"] == "ok"


def test_unknown_models_are_told_with_the_nearest(small_server, parameters):
    """A typing error names what is served and what was probably meant."""
    found = check(parameters(model="simulatd"), small_server.url)
    assert named(found, "model").remedy == "did you mean 'simulated'?"
    with pytest.raises(UnknownModel, match="the server has simulated"):
        found.raise_if_fatal()


def test_lengths_over_the_context_stop_a_run(small_server, parameters):
    """Requests that cannot fit are not sent: 2,000 + 49 tokens do not go into 2,048, 2,000 + 48 do."""
    with pytest.raises(PreflightFailed, match="2,049 tokens do not fit"):
        check(parameters(input_tokens=2000, output_tokens=49), small_server.url).raise_if_fatal()
    found = check(parameters(input_tokens=2000, output_tokens=48), small_server.url)
    assert levels(found)["context"] == "ok"


def test_token_ids_are_checked_where_they_are_wanted(small_server, parameters):
    """Taken and counted, or refused with the way out."""
    wanted = {"prompt_form": "token_ids", "endpoint": "completions"}
    found = check(parameters(**wanted), small_server.url)
    assert levels(found)["token_ids"] == "ok"
    assert "prompt_lengths" not in levels(found)
    refused = check(fault(parameters, "no_token_ids", **wanted), small_server.url)
    assert "prompt_form" in named(refused, "request").remedy


def test_the_whole_look_has_the_whole_list(small_server, parameters):
    """The doctor also checks a prompt of real length, warmth, token ids, metrics, round trip and clocks."""
    found = check(parameters(), small_server.url, quick=False)
    assert set(levels(found)) >= {
        "length",
        "warm",
        "token_ids",
        "metrics",
        "round_trip",
        "server_clock",
        "clock",
    }
    assert named(found, "length").text == "a prompt of 64 tokens is counted as 64"
    assert found.fatal == ()


def test_a_preflight_is_json(small_server, parameters):
    """The manifest can hold it, and it says who counted."""
    kept = check(parameters(), small_server.url).as_dict()
    assert json.loads(json.dumps(kept)) == kept
    assert kept["prompt_lengths"]["source"] == "tokenize_endpoint"
    assert kept["findings"][0] == {
        "level": "ok",
        "name": "reachable",
        "text": kept["findings"][0]["text"],
        "remedy": "",
    }
    assert kept["probes"][0]["events"] == 8


def test_nobody_there(parameters):
    """A closed port is a finding and an error."""
    found = check(parameters(), "http://127.0.0.1:9")
    assert levels(found) == {"reachable": "fatal"}
    assert "is the server running" in named(found, "reachable").remedy
    with pytest.raises(Unreachable):
        found.raise_if_fatal()


def test_a_refused_key_is_never_shown(scripted, parameters, monkeypatch):
    """Neither findings nor errors hold the key, even if the server repeats it."""
    monkeypatch.setenv("MY_KEY", "hunter22hunter22")
    scripted.models = (401, {"error": {"message": "wrong: hunter22hunter22"}})
    found = check(parameters(api_key_env="MY_KEY", headers={"X-Tenant": "blue-tenant"}), scripted.url)
    assert levels(found) == {"key": "fatal"}
    assert "hunter22" not in json.dumps(found.as_dict())
    with pytest.raises(Unauthorized, match="MY_KEY"):
        found.raise_if_fatal()


def test_a_key_that_completions_want_is_asked_for(scripted, parameters):
    """Some gateways list models to anyone and guard only the work."""
    scripted.complete = lambda body: (403, {"error": {"message": "forbidden"}})
    found = check(parameters(), scripted.url)
    assert levels(found)["key"] == "fatal"
    assert "api_key_env" in named(found, "key").remedy


def test_an_unset_key_is_a_bad_parameter(scripted, parameters, monkeypatch):
    """The variable is checked before anything is sent."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(InvalidParameter, match="NO_SUCH_KEY"):
        check(parameters(api_key_env="NO_SUCH_KEY"), scripted.url)


@pytest.mark.parametrize(
    ("field", "words", "stream_usage", "sends_eos"),
    [
        ("continuous_usage_stats", "Unrecognized argument: continuous_usage_stats", "final", True),
        ("stream_options", "stream_options: Extra inputs are not permitted", "none", True),
        ("ignore_eos", "Unrecognized request argument supplied: ignore_eos", "continuous", False),
        ("ignore_eos", "Bad Request", "continuous", False),
        ("stream_options", "Bad Request", "none", True),
    ],
)
def test_refused_fields_are_left_out(scripted, parameters, field, words, stream_usage, sends_eos):
    """A server that refuses what it does not know is asked again without it, whether or not it says which."""
    scripted.refuse(field, words)
    found = check(parameters(), scripted.url)
    assert found.fatal == ()
    assert found.stream_usage == stream_usage
    assert found.send_ignore_eos is sends_eos
    if not sends_eos:
        assert found.ignore_eos_honoured is False
        assert levels(found)["ignore_eos"] == "warning"


def test_a_refusal_for_another_reason_is_asked_once(scripted, parameters):
    """What is wrong with the prompt is not cured by leaving fields out."""
    scripted.complete = lambda body: (400, {"error": {"message": "the model has no chat template"}})
    found = check(parameters(), scripted.url)
    assert len(scripted.bodies) == 1
    assert "endpoint to 'completions'" in named(found, "request").remedy


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}), "not a stream"),
        ((200, b"<html>welcome</html>"), "not a stream"),
        ((200, []), "no token"),
        ((302, {}), "redirected"),
        ((404, {"detail": "Not Found"}), "404"),
    ],
)
def test_answers_that_are_no_streams_stop_a_run(scripted, parameters, answer, words):
    """Whole answers, web pages, empty streams and redirects are not what the load can measure."""
    scripted.complete = lambda body: answer
    found = check(parameters(), scripted.url)
    assert words in found.fatal[0].text


def test_a_server_without_a_list_can_be_measured_by_name(scripted, parameters):
    """Without /v1/models the named model is tried; without a name nothing can be."""
    scripted.models = (404, {"detail": "Not Found"})
    found = check(parameters(model="tiny"), scripted.url)
    assert found.fatal == ()
    assert levels(found)["model"] == "note"
    assert levels(check(parameters(), scripted.url))["reachable"] == "fatal"


def test_one_of_several_models_is_chosen_and_said(scripted, parameters):
    """The first is taken when none is named."""
    scripted.models = (200, {"data": [{"id": name} for name in "abcdefg"]})
    found = check(parameters(), scripted.url)
    assert found.model == "a"
    assert named(found, "model").text == "a, the first of 7: a, b, c, d, e and 2 more"
    assert levels(found)["context"] == "note"


def test_usage_of_short_prompts_counts_where_nothing_else_does(scripted, parameters):
    """Without a tokenizer the server's own count of a dozen prompts gives words of one token."""
    long = {"above", "across"}
    scripted.count = lambda text: sum(2 if word in long else 1 for word in text.split())
    found = check(parameters(), scripted.url)
    assert found.vocabulary.source == "usage_probe"
    assert found.vocabulary.overhead_tokens == 3
    assert set(found.vocabulary.tokens_per_word) == {1}
    assert not long & set(found.vocabulary.words)
    assert len(found.vocabulary.words) > 20
    assert len(scripted.bodies) <= 14


def test_lengths_that_nobody_counts_are_said_to_be_assumed(scripted, parameters):
    """Without tokenizer and usage, a word is taken for a token, with a warning."""
    scripted.refuse("stream_options", "no stream_options here")
    found = check(parameters(), scripted.url)
    assert found.vocabulary.source == "uncounted"
    assert levels(found)["prompt_lengths"] == "warning"


def test_a_tokenizer_of_another_model_is_noticed(scripted, parameters):
    """When the server's own count is smaller than the tokenizer's, lengths are not called exact."""
    ids: dict[str, int] = {}
    scripted.tokenize = lambda body: [ids.setdefault(word, len(ids)) for word in body["prompt"].split()]
    scripted.count = lambda text: 1
    scripted.overhead = 0
    found = check(parameters(), scripted.url)
    assert levels(found)["prompt_lengths"] == "warning"
    assert "another" in named(found, "prompt_lengths").text


def test_proxies_show_in_the_headers(scripted, parameters):
    """An answer that passed a proxy says so, and the note reaches whoever reads the numbers."""
    scripted.headers = {"via": "1.1 gateway", "server": "nginx/1.25"}
    found = check(parameters(), scripted.url)
    assert levels(found)["proxy"] == "note"


def test_texts_of_a_server_cannot_steer_a_terminal(scripted, parameters):
    """Control characters in names and messages are gone from every finding."""
    scripted.models = (200, {"data": [{"id": "a\x1b[31mred\r\n"}]})
    found = check(parameters(), scripted.url)
    texts = "".join(finding.text + finding.remedy for finding in found.findings)
    assert texts.isprintable()
    assert named(found, "model").level is Level.OK
