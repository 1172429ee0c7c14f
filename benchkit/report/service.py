"""What a notebook shows of a server that it started: its start, one request, and how to use and stop it."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path
from typing import Any, Final

from benchkit.http import ControlClient
from benchkit.parameters import ServingParameters
from benchkit.redaction import redact_text
from benchkit.report.amounts import amount
from benchkit.report.section import Section
from benchkit.serving.process import ServerProcess
from benchkit.serving.startup import measure_startup

_ANSWER_TOKENS: Final = 48
_SHOWN: Final = 2_000


def asked_for(parameters: ServingParameters) -> Section:
    """What was asked for: each parameter, its value, what it means."""
    rows = [
        (name, repr(getattr(parameters, name)), str(field.description))
        for name, field in ServingParameters.model_fields.items()
    ]
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return Section(f"<table>{cells}</table>", "\n".join(f"{name} = {value}" for name, value, _ in rows))


def start_up(server: ServerProcess) -> Section:
    """How long did it take until it served, and how much slower is a cold first answer than a warm one?"""
    told = server.startup or measure_startup(server)
    rows = [
        ("its process exists", f"{amount(told.process_s)} s"),
        ("it says that it is healthy", f"{amount(told.healthy_s)} s"),
        ("its first token is here", f"{amount(told.first_token_s)} s"),
        ("time to first token, cold", f"{amount(told.cold_ttft_ms)} ms"),
        ("time to first token, warm", f"{amount(told.warm_ttft_ms)} ms"),
    ]
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(took)}</td></tr>" for name, took in rows)
    return Section(
        f"<table><thead><tr><th>stage</th><th>took</th></tr></thead><tbody>{cells}</tbody></table>",
        "\n".join(f"{name}: {took}" for name, took in rows),
    )


def one_request(server: ServerProcess, prompt: str) -> Section:
    """What does it answer? One chat request of at most 48 tokens, the text as the model wrote it."""
    with ControlClient(server.url) as client:
        body = _body(client, prompt, _ANSWER_TOKENS)
        began = time.monotonic()
        answer = client.complete(body, "chat", timeout_s=300)
        took_s = time.monotonic() - began
        answer = client.require_ok(answer, client.api_url("chat/completions"))
    text, usage = _text(answer.json())
    facts = f"model {body['model']}, {usage}, {amount(took_s)} s"
    return Section(
        f'<p>{escape(prompt)}</p><blockquote class="bk-said">{escape(text)}</blockquote>'
        f'<p class="bk-quiet">{escape(facts)}</p>',
        f"> {prompt}\n{text}\n({facts})",
    )


async def twin(server: ServerProcess, parameters: ServingParameters) -> Section:
    """How would an embedded server have to be set to behave like this one, and how far off would it be?

    Runs the loads of a calibration and writes the preset file that ``twin`` names; nothing where it is empty.
    """
    if not parameters.twin:
        text = 'No twin was asked for; name a preset file: twin = "my-server.yaml".'
        return Section(f"<p>{escape(text)}</p>", text)
    from benchkit.experiments import calibrate as twins

    known = {name: value for name, value in parameters.server_args.items() if name in twins.KNOWN}
    made = await twins.calibrate_async(
        {"url": server.url, "out": str(Path(parameters.twin).with_suffix(""))},
        Path(parameters.twin),
        server=known,
    )
    command = f"benchkit serve -p preset {parameters.twin}"
    return Section(
        f"<pre>{escape(str(made))}</pre><p><code>{escape(command)}</code></p>", f"{made}\n{command}"
    )


def how_to_use(server: ServerProcess) -> Section:
    """Where is it, how is it measured, and how does it end?"""
    state = server.state
    lines = [
        f"benchkit run -p url {server.url}",
        f"papermill notebooks/run_benchmark.ipynb outputs/run.ipynb -p url {server.url}",
    ]
    if state.mode == "detached":
        end = f"It stays until: benchkit stop {state.name}"
        if state.stop_after_s:
            end += f"; at the latest it ends {state.stop_after_s:g} s after its start"
    else:
        end = "It ends with this notebook's kernel"
    html = (
        f"<p>It serves at <code>{escape(server.url)}</code>. {escape(end)}.</p>"
        f"<pre>{escape(chr(10).join(lines))}</pre>"
    )
    return Section(html, "\n".join([f"It serves at {server.url}. {end}.", *lines]))


def _body(client: ControlClient, prompt: str, tokens: int) -> dict[str, Any]:
    return {
        "model": client.models()[0].id,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
    }


def _text(answer: Any) -> tuple[str, str]:
    """The answer's text, and its size in words; lenient, since servers differ."""
    choice = ((answer or {}).get("choices") or [{}])[0]
    message = choice.get("message") or {}
    text = str(message.get("content") or message.get("reasoning") or message.get("reasoning_content") or "")
    used = (answer or {}).get("usage") or {}
    counted = f"{used.get('prompt_tokens', '?')} tokens in, {used.get('completion_tokens', '?')} out"
    return redact_text(text)[:_SHOWN], counted
