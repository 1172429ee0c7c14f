"""The embedded server's endpoints: OpenAI's API as vLLM serves it, with an engine behind."""

from __future__ import annotations

import asyncio
import hmac
import time
import traceback
from collections.abc import Callable

import orjson

from benchkit.serving.simulated import tokens
from benchkit.serving.simulated.answers import Answer, Names, StreamedAnswer, WholeAnswer
from benchkit.serving.simulated.api import ApiError, Call, check_model, read_call, read_json
from benchkit.serving.simulated.blocks import block_hashes
from benchkit.serving.simulated.crash import crash
from benchkit.serving.simulated.faulty import FaultyAnswer, FaultyWhole
from benchkit.serving.simulated.http_server import Exchange
from benchkit.serving.simulated.metrics import ServerMetrics
from benchkit.serving.simulated.pacer import Pacer
from benchkit.serving.simulated.send_log import SendLog
from benchkit.serving.simulated.settings import Settings
from benchkit.simulator.requests import Emission, EngineRequest

_JSON = "application/json"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_SECOND = 1e9


class App:
    """Answers requests; one object a server."""

    def __init__(
        self, settings: Settings, loop: asyncio.AbstractEventLoop, *, version: str, api_key: str = ""
    ) -> None:
        self._settings = settings
        self._version = version
        self._api_key = api_key.encode()
        self._created = int(time.time())
        self._sequence = 0
        self._answers: dict[EngineRequest, Answer] = {}
        self._ready_at_s = time.monotonic() + settings.startup_s
        self._sends = SendLog()
        if settings.crash_after_s:
            loop.call_later(settings.startup_s + settings.crash_after_s, crash)
        self._engine = settings.build_engine()
        self.pacer = Pacer(
            self._engine, self._deliver, loop, quantum_ns=round(settings.send_quantum_ms * 1e6)
        )
        self._metrics = ServerMetrics(
            settings.model,
            block_size=settings.block_size if settings.engine == "vllm" else 0,
            kv_blocks=settings.kv_blocks,
            prefix_caching=self._engine.wants_hashes,
        )
        self._routes: dict[str, dict[str, Callable[[Exchange], None]]] = {
            "/health": {"GET": self._health},
            "/ping": {"GET": self._health},
            "/version": {"GET": self._get_version},
            "/metrics": {"GET": self._get_metrics},
            "/tokenize": {"POST": self._tokenize},
            "/v1/models": {"GET": self._models},
            "/reset_prefix_cache": {"POST": self._reset_prefix_cache},
            "/v1/completions": {"POST": self._completions},
            "/v1/chat/completions": {"POST": self._chat_completions},
            "/benchkit/sends": {"GET": self._get_sends, "DELETE": self._clear_sends},
        }

    def handle(self, exchange: Exchange) -> None:
        """Answers one request."""
        self.pacer.run_due()
        try:
            methods = self._routes.get(exchange.path)
            if methods is None:
                exchange.respond(404, b'{"detail":"Not Found"}', _JSON)
                return
            method = methods.get("GET" if exchange.method == "HEAD" else exchange.method)
            if method is None:
                allowed = b"allow: " + ", ".join(methods).encode() + b"\r\n"
                exchange.respond(405, b'{"detail":"Method Not Allowed"}', _JSON, allowed)
                return
            if self._api_key and exchange.path.startswith("/v1/") and not self._authorised(exchange):
                exchange.respond(401, b'{"error":"Unauthorized"}', _JSON)
                return
            method(exchange)
        except ApiError as error:
            exchange.respond(error.status, error.body(), _JSON)
        except Exception:  # noqa: BLE001 - a bug of ours must not look like a bad request
            traceback.print_exc()
            exchange.respond(500, ApiError(500, "Internal Server Error").body(), _JSON)

    def _authorised(self, exchange: Exchange) -> bool:
        scheme, _, key = exchange.headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(key, self._api_key)

    def _health(self, exchange: Exchange) -> None:
        exchange.respond(200 if time.monotonic() >= self._ready_at_s else 503, b"", _JSON)

    def _reset_prefix_cache(self, exchange: Exchange) -> None:
        exchange.respond(200, orjson.dumps({"success": self._engine.reset_prefix_cache()}), _JSON)

    def _get_version(self, exchange: Exchange) -> None:
        exchange.respond(200, orjson.dumps({"version": f"benchkit-simulated {self._version}"}), _JSON)

    def _models(self, exchange: Exchange) -> None:
        card = {
            "id": self._settings.model,
            "object": "model",
            "created": self._created,
            "owned_by": "benchkit",
            "root": self._settings.model,
            "parent": None,
            "max_model_len": self._settings.max_model_len,
        }
        exchange.respond(200, orjson.dumps({"object": "list", "data": [card]}), _JSON)

    def _get_metrics(self, exchange: Exchange) -> None:
        engine = self._engine
        page = self._metrics.expose(running=engine.running, waiting=engine.waiting, stats=engine.stats)
        exchange.respond(200, page.encode(), _METRICS)

    def _get_sends(self, exchange: Exchange) -> None:
        exchange.respond(200, orjson.dumps(self._sends.records()), _JSON)

    def _clear_sends(self, exchange: Exchange) -> None:
        self._sends.clear()
        exchange.respond(200, b"{}", _JSON)

    def _tokenize(self, exchange: Exchange) -> None:
        body = read_json(exchange.body)
        check_model(body, self._settings)
        prompt, messages = body.get("prompt"), body.get("messages")
        if isinstance(prompt, str):
            ids = tokens.tokenize(prompt)
        elif isinstance(messages, list) and all(isinstance(message, dict) for message in messages):
            try:
                ids = tokens.tokenize_chat(messages)
            except ValueError as error:
                raise ApiError(400, str(error), "messages") from None
        else:
            raise ApiError(400, "give a prompt or messages", "prompt")
        answer = {
            "count": len(ids),
            "max_model_len": self._settings.max_model_len,
            "tokens": ids,
            "token_strs": None,
        }
        exchange.respond(200, orjson.dumps(answer), _JSON)

    def _completions(self, exchange: Exchange) -> None:
        self._complete(exchange, chat=False)

    def _chat_completions(self, exchange: Exchange) -> None:
        self._complete(exchange, chat=True)

    def _complete(self, exchange: Exchange, *, chat: bool) -> None:
        if time.monotonic() < self._ready_at_s:
            raise ApiError(503, "The model is being loaded.")
        body = read_json(exchange.body)
        faults = exchange.header(b"x-benchkit-fault")
        call = read_call(body, chat=chat, settings=self._settings, fault_header=faults)
        engine = self._engine
        most = call.faults.shed_above or self._settings.max_queue
        if 0 < most <= engine.waiting:
            self._metrics.shed += 1
            raise ApiError(
                429, f"Too many requests: {engine.waiting} wait already, and no more than {most} may."
            )
        hashes = block_hashes(body, call, self._settings.block_size) if engine.wants_hashes else ()
        request = EngineRequest(call.prompt_tokens, call.output_tokens, exchange.arrived_ns, hashes)
        answer = self._answer(exchange, call, request)
        self._answers[request] = answer
        exchange.on_disconnect = lambda: self._cancel(request)
        answer.start()
        self.pacer.submit(request)
        if call.faults.engine_stall_ms:
            engine.stall(call.faults.engine_stall_ms * 1_000_000)

    def _answer(self, exchange: Exchange, call: Call, request: EngineRequest) -> Answer:
        self._sequence += 1
        request_id = exchange.header(b"x-request-id") or f"{self._created:08x}{self._sequence:024x}"
        names = Names(
            f"{'chatcmpl' if call.chat else 'cmpl'}-{request_id[:128]}",
            self._settings.model,
            int(time.time()),
        )
        record = None
        if self._settings.log_sends or exchange.header(b"x-benchkit-log") == "1":
            record = self._sends.open(request_id, exchange.arrived_ns, call.output_tokens)
        kind: type[Answer]
        if not call.stream:
            kind = FaultyWhole if call.faults.crash_after else WholeAnswer
        else:
            kind = FaultyAnswer if call.faults.touches_stream else StreamedAnswer
        return kind(exchange, call, names, request, record)

    def _cancel(self, request: EngineRequest) -> None:
        if self._answers.pop(request, None) is not None:
            self.pacer.cancel(request)
            self._metrics.succeeded["abort"] += 1

    def _deliver(self, emission: Emission) -> None:
        request = emission.request
        answer = self._answers.get(request)
        if answer is None:
            return
        metrics = self._metrics
        metrics.generation_tokens += emission.tokens
        if emission.first:
            metrics.prompt_tokens += request.prompt_tokens
            metrics.ttft.observe((emission.due_ns - request.arrived_ns) / _SECOND)
        else:
            metrics.itl.observe((emission.due_ns - request.last_token_ns) / _SECOND)
        request.last_token_ns = emission.due_ns
        if emission.finished:
            del self._answers[request]
            self._observe_end(request, emission.due_ns, answer)
        answer.deliver(emission)

    def _observe_end(self, request: EngineRequest, ended_ns: int, answer: Answer) -> None:
        metrics = self._metrics
        metrics.succeeded[answer.finish_reason] += 1
        metrics.e2e.observe((ended_ns - request.arrived_ns) / _SECOND)
        metrics.queue.observe((request.admitted_ns - request.arrived_ns) / _SECOND)
        metrics.inference.observe((ended_ns - request.admitted_ns) / _SECOND)
        metrics.prompt_lengths.observe(request.prompt_tokens)
        metrics.answer_lengths.observe(request.emitted)
        metrics.prefill.observe((request.first_token_ns - request.admitted_ns) / _SECOND)
        metrics.decode.observe((ended_ns - request.first_token_ns) / _SECOND)
        if request.emitted > 1:
            metrics.tpot.observe((ended_ns - request.first_token_ns) / _SECOND / (request.emitted - 1))
