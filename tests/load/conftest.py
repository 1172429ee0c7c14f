"""What the tests of the load share: scripted servers, both kinds of event loop, certificates."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
import uvloop
from raw_servers import Loops, Peer, RawServer


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    """Starts scripted servers; they end with the test, and their scripts' faults fail it."""
    servers: list[RawServer] = []

    def start(script: Callable[[Peer], None], **options: Any) -> RawServer:
        servers.append(RawServer(script, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Loops:
    """Runs a coroutine in asyncio's own loop, and in uvloop's."""
    return Loops(asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop)


@pytest.fixture
def on_asyncio() -> Loops:
    """Runs a coroutine in asyncio's own loop."""
    return Loops(asyncio.new_event_loop)


@pytest.fixture
def on_uvloop() -> Loops:
    """Runs a coroutine in uvloop's loop."""
    return Loops(uvloop.new_event_loop)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """An authority that signs the tests' certificates."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side of TLS, for localhost and the loopback addresses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "::1").configure_cert(context)
    return context


@pytest.fixture
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """A client's side of TLS that trusts the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context
