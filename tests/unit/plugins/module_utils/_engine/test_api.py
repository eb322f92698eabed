# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service is healthy when it has generated a token; everything else is said in words.

The answers here are those of a broken or strange server; the real engine answers in the scenarios.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._engine.api import Completion, generate, listening
from ansible_collections.llmops.inference.plugins.module_utils._engine.endpoint import Endpoint
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

Serve = Callable[[int, bytes], Endpoint]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server that answers every request with one status and body."""
    servers = []

    def start(status: int, body: bytes) -> Endpoint:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

            def log_message(self, *arguments: object) -> None:
                """Write nothing into the test's output."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return Endpoint("127.0.0.1", server.server_address[1], "mini")

    yield start
    for server in servers:
        server.shutdown()


def event(text: str) -> bytes:
    return b"data: " + text.encode() + b"\n\n"


TOKENS = event('{"choices": [{"text": "a"}]}') + event('{"choices": [], "usage": {"completion_tokens": 2}}')


def test_a_stream_of_tokens_is_counted_as_the_engine_counts_it(serve: Serve) -> None:
    measured = generate(serve(200, TOKENS + event("[DONE]")), tokens=2, deadline=5)
    assert measured.tokens == 2
    assert 0 < measured.first_token_seconds <= measured.total_seconds


def test_a_stream_that_came_at_once_has_no_speed(serve: Serve) -> None:
    token = event('{"choices": [{"text": "a"}]}')
    usage = event('{"choices": [], "usage": {"completion_tokens": 16}}')
    measured = generate(serve(200, token * 16 + usage + event("[DONE]")), tokens=16, deadline=5)
    assert measured.tokens == 16
    assert measured.tokens_per_second is None


def test_the_speed_is_that_of_the_tokens_after_the_first() -> None:
    assert Completion(11, 0.5, 1.5, step_seconds=0.1).tokens_per_second == pytest.approx(10)
    assert Completion(11, 0.5, 0.5001, step_seconds=0.00001).tokens_per_second is None
    assert Completion(11, 0.5, 1.5, step_seconds=None).tokens_per_second is None, "all tokens came in one part"
    assert Completion(1, 0.5, 0.6).tokens_per_second is None


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, b'{"error": "Unauthorized"}', "answered 401 to a completion"),
        (500, b"engine dead", "answered 500 to a completion: engine dead"),
        (200, b"", "answered 200 but generated no token"),
        (200, event('{"error": {"message": "EngineDeadError"}}'), "broke off a completion: .*EngineDeadError"),
        (200, event("not json"), "generated nothing within"),
    ],
)
def test_whatever_is_not_a_token_is_no_health(serve: Serve, status: int, body: bytes, message: str) -> None:
    with pytest.raises(InferenceError, match=message):
        generate(serve(status, body), tokens=1, deadline=5)


def test_nobody_listening_is_said_with_the_address() -> None:
    with pytest.raises(InferenceError, match=r"http://127.0.0.1:9/v1 generated nothing within"):
        generate(Endpoint("127.0.0.1", 9, "mini"), tokens=1, deadline=2)
    assert not listening(Endpoint("127.0.0.1", 9, "mini"))


def test_listening_is_a_200_on_health_and_no_more(serve: Serve) -> None:
    assert listening(serve(200, b""))
    assert not listening(serve(503, b""))


class UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        return self.socket.accept()[0], ("a client", 0)


def test_a_service_on_a_unix_socket_is_asked_there(tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(TOKENS + event("[DONE]"))

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            """Write nothing into the test's output."""

    path = tmp_path / "api.sock"
    endpoint = Endpoint("127.0.0.1", None, "mini", socket=str(path))
    assert endpoint.address == f"unix:{path}"
    assert not listening(endpoint)
    server = UnixServer(str(path), Handler)  # type: ignore[arg-type]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert listening(endpoint)
    assert generate(endpoint, tokens=2, deadline=5).tokens == 2
    server.shutdown()


def test_the_status_of_a_refusal_comes_with_it(serve: Serve) -> None:
    with pytest.raises(InferenceError) as refused:
        generate(serve(429, b"later"), tokens=1, deadline=5)
    assert refused.value.details == {"status": 429}
