"""Small control calls to the server under test: health, version, models, tokenize, metrics, completion."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import httpx

from benchkit.answers import Answer, ModelCard, Read, StreamedAnswer
from benchkit.errors import Unauthorized, UnexpectedAnswer, Unreachable
from benchkit.redaction import (
    REDACTED,
    redact_arguments,
    redact_headers,
    redact_text,
    redact_url,
    redact_values,
)
from benchkit.target import COMPLETION_PATHS, api_key, normalise_url

__all__ = [
    "REDACTED",
    "Answer",
    "ControlClient",
    "ModelCard",
    "Read",
    "StreamedAnswer",
    "api_key",
    "normalise_url",
    "redact_arguments",
    "redact_headers",
    "redact_text",
    "redact_url",
    "redact_values",
]


class ControlClient:
    """Asks a server the few things that a benchmark must know about it; blocking, one connection at a time.

    Proxy variables of the environment are ignored and redirects are not followed: the load does neither.

    Args:
        url: Base URL, with or without ``/v1``.
        api_key_env: Name of the environment variable that holds the key; empty for none.
        headers: Further headers of every call.
        verify_tls: Whether certificates are checked.
        timeout_s: Limit of connecting and of each pause while reading.

    Raises:
        InvalidParameter: The URL is none, or the key's variable is unset.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key_env: str = "",
        headers: Mapping[str, str] | None = None,
        verify_tls: bool = True,
        timeout_s: float = 10.0,
    ) -> None:
        self.base_url = normalise_url(url)
        self.shown_url = redact_url(self.base_url)
        self._api_key_env = api_key_env
        key = api_key(api_key_env)
        extra = dict(headers or {})
        hidden = redact_headers(extra)
        self.secrets = tuple(s for s in (key, *(v for n, v in extra.items() if hidden[n] == REDACTED)) if s)
        sent = {"accept-encoding": "identity", "user-agent": "benchkit"} | extra
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        # Loading the certificates of the authorities takes longer than a run's other control calls together.
        verify = verify_tls and self.base_url.startswith("https:")
        self._client = httpx.Client(
            headers=sent, verify=verify, timeout=timeout_s, trust_env=False, follow_redirects=False
        )
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def root_url(self, path: str) -> str:
        """Give the URL of a path beside the API, such as ``health``."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(path=f"{parts.path}/{path.lstrip('/')}"))

    def api_url(self, path: str) -> str:
        """Give the URL of a path of the API, such as ``models``."""
        return self.root_url(f"v1/{path.lstrip('/')}")

    def request(self, method: str, url: str, *, body: Any = None, timeout_s: float | None = None) -> Answer:
        """Give the answer, whatever its status; ``timeout_s`` takes the place of the client's own.

        Raises:
            Unreachable: Nothing answers there.
            UnexpectedAnswer: What answers does not speak HTTP.
        """
        with self._mapped_errors(url):
            response = self._client.request(
                method, url, timeout=timeout_s or self._timeout_s, **({} if body is None else {"json": body})
            )
            return Answer(response.status_code, _lower(response.headers), response.content)

    def health(self) -> bool:
        """Tell whether ``/health`` says 200."""
        return self.request("GET", self.root_url("health")).status == 200

    def version(self) -> str | None:
        """Give the version that ``/version`` states; None where there is no such path."""
        answer = self.request("GET", self.root_url("version"))
        value = answer.json() if answer.status == 200 else None
        version = value.get("version") if isinstance(value, dict) else None
        return version if isinstance(version, str) else None

    def models(self) -> list[ModelCard]:
        """Give what ``/v1/models`` lists, in its order.

        Raises:
            Unreachable: Nothing answers there.
            Unauthorized: The server wants a key, or another one.
            UnexpectedAnswer: The answer is not a list of models.
        """
        url = self.api_url("models")
        answer = self.require_ok(self.request("GET", url), url)
        value = answer.json()
        entries = value.get("data") if isinstance(value, dict) else None
        if not isinstance(entries, list):
            kind = answer.headers.get("content-type", "no content type")
            raise UnexpectedAnswer(
                f"{redact_url(url)} answered with something that is not a list of models: "
                f"{answer.error_text(self.secrets)!r} ({kind}); "
                "is this the address of an OpenAI-compatible server?"
            )
        return [
            ModelCard(entry["id"], _positive_int(entry.get("max_model_len")), entry)
            for entry in entries
            if isinstance(entry, dict) and isinstance(entry.get("id"), str)
        ]

    def tokenize(
        self,
        model: str,
        *,
        prompt: str | None = None,
        messages: list[dict[str, str]] | None = None,
        add_special_tokens: bool | None = None,
    ) -> list[int] | None:
        """Give the token ids that the server makes of a prompt or of chat messages; None where it cannot.

        Raises:
            Unreachable: Nothing answers there.
        """
        body: dict[str, Any] = {"model": model}
        body |= {"prompt": prompt} if messages is None else {"messages": messages}
        if add_special_tokens is not None:
            body["add_special_tokens"] = add_special_tokens
        answer = self.request("POST", self.root_url("tokenize"), body=body)
        value = answer.json() if answer.status == 200 else None
        tokens = value.get("tokens") if isinstance(value, dict) else None
        if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
            return None
        return tokens

    def metrics(self) -> str:
        """Give the text of ``/metrics``.

        Raises:
            Unreachable: Nothing answers there.
            UnexpectedAnswer: There is no such path.
        """
        url = self.root_url("metrics")
        return self.require_ok(self.request("GET", url), url).body.decode("utf-8", "replace")

    def complete(self, body: Mapping[str, Any], endpoint: str, *, timeout_s: float | None = None) -> Answer:
        """Give the answer to one completion that is not streamed, whatever its status; as ``stream``."""
        url = self.api_url(COMPLETION_PATHS[endpoint])
        return self.request("POST", url, body={**body, "stream": False}, timeout_s=timeout_s)

    def stream(
        self, body: Mapping[str, Any], endpoint: str, *, timeout_s: float | None = None
    ) -> StreamedAnswer:
        """Give the answer to one streamed completion, read by read, whatever its status.

        Args:
            body: The request.
            endpoint: ``chat`` or ``completions``.
            timeout_s: Longest wait, instead of the client's.

        Raises:
            Unreachable: Nothing answers, or the answer pauses longer than the timeout.
            UnexpectedAnswer: The connection broke in the middle of the answer.
        """
        url = self.api_url(COMPLETION_PATHS[endpoint])
        reads: list[Read] = []
        with self._mapped_errors(url):
            sent_ns = time.monotonic_ns()
            timeout = timeout_s or self._timeout_s
            with self._client.stream("POST", url, json={**body, "stream": True}, timeout=timeout) as response:
                headers_ns = time.monotonic_ns()
                reads.extend(Read(time.monotonic_ns(), data) for data in response.iter_raw())
                end_ns = time.monotonic_ns()
            body_bytes = b"".join(read.data for read in reads)
            answer = Answer(response.status_code, _lower(response.headers), body_bytes)
        return StreamedAnswer(answer, sent_ns, headers_ns, tuple(reads), end_ns)

    def require_ok(self, answer: Answer, url: str) -> Answer:
        """Give the answer back if its status is 200, else raise what the status means.

        Raises:
            Unauthorized: 401 or 403.
            UnexpectedAnswer: Any other status; a redirect names its destination.
        """
        shown, said = redact_url(url), answer.error_text(self.secrets)
        if answer.status == 200:
            return answer
        if answer.status in {401, 403}:
            remedy = (
                f"the key in the environment variable {self._api_key_env} is not accepted"
                if self._api_key_env
                else "set api_key_env to the name of an environment variable that holds the server's key"
            )
            raise Unauthorized(f"{shown} answered {answer.status} ({said}); {remedy}")
        if 300 <= answer.status < 400:
            where = redact_url(answer.headers.get("location", "elsewhere"))
            raise UnexpectedAnswer(
                f"{shown} redirects to {where} ({answer.status}); give url the address that it redirects to"
            )
        raise UnexpectedAnswer(
            f"{shown} answered {answer.status} ({said}); is this the address of an OpenAI-compatible server?"
        )

    @contextmanager
    def _mapped_errors(self, url: str) -> Iterator[None]:
        shown = redact_url(url)
        try:
            yield
        except httpx.TimeoutException as error:
            what = (
                "accepted no connection"
                if isinstance(error, httpx.ConnectTimeout)
                else "did not answer in time"
            )
            raise Unreachable(f"{shown} {what}; is the server still starting, or overloaded?") from error
        except httpx.ConnectError as error:
            raise Unreachable(f"nothing can be reached at {shown}: {self._why(error)}") from error
        except (httpx.RemoteProtocolError, httpx.DecodingError) as error:
            raise UnexpectedAnswer(
                f"{shown} broke off or does not speak HTTP ({self._text(error)}); "
                "check the scheme (http or https) and the port, and the server's log"
            ) from error
        except httpx.HTTPError as error:
            raise Unreachable(
                f"{shown} cannot be called: {self._text(error)}; see the server's log"
            ) from error

    def _why(self, error: httpx.ConnectError) -> str:
        text = self._text(error)
        if _caused_by(error, ssl.SSLError) or "SSL" in text or "CERTIFICATE" in text.upper():
            return (
                f"TLS failed ({text}); is it http rather than https? "
                "For a certificate of your own set verify_tls to false"
            )
        if "name" in text.lower() and ("resol" in text.lower() or "known" in text.lower()):
            return f"its host name does not resolve ({text}); check the spelling of url"
        return f"{text}; is the server running, and is this its port?"

    def _text(self, error: Exception) -> str:
        return redact_text(str(error) or type(error).__name__, self.secrets)


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _positive_int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
