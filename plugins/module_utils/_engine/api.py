# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only honest sign of health: tokens that were generated just now, counted and timed."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import InferenceError
from .endpoint import Endpoint

# Any text will do: what counts is that the engine answers it.
PROMPT = "Reply with one short sentence: which day comes after Monday?"
# A stream with more than this in one line is no answer of the engine (bytes).
_LINE_LIMIT = 1 << 20
# No engine schedules and samples 5000 times a second; parts of a buffer are read 13 microseconds apart.
_LEAST_STEP_SECONDS = 0.0002


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connect(endpoint: Endpoint, timeout: float) -> http.client.HTTPConnection:
    """Return a connection that is opened by its first request; ``timeout`` in seconds bounds each of its steps."""
    if endpoint.socket:
        return _UnixConnection(endpoint.socket, timeout)
    return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout)


@dataclass(frozen=True)
class Completion:
    """What one request brought: ``tokens`` counted by the engine, times in seconds.

    ``step_seconds`` is the median time between two parts of the stream that carry tokens; None with fewer than two.
    ``tokens_per_second`` is of the decode alone, (tokens - 1) over the time after the first token. It is None for a
    single token, and for a stream that was held back and came at once, which says nothing of the decode.
    """

    tokens: int
    first_token_seconds: float
    total_seconds: float
    step_seconds: float | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Decode rate in tokens per second."""
        decode = self.total_seconds - self.first_token_seconds
        came_at_once = self.step_seconds is None or self.step_seconds < _LEAST_STEP_SECONDS
        return (self.tokens - 1) / decode if self.tokens > 1 and decode > 0 and not came_at_once else None


def generate(endpoint: Endpoint, tokens: int, deadline: float) -> Completion:
    """Ask for exactly ``tokens`` tokens and wait at most ``deadline`` seconds for all of them.

    Raises InferenceError with what the service answered instead; ``status`` among its details is that of an answer
    that was none of 200.
    """
    started = time.monotonic()
    body = {
        "model": endpoint.model,
        "prompt": PROMPT,
        "max_tokens": tokens,
        "min_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    connection = connect(endpoint, deadline)
    arrived: list[float] = []
    counted = 0
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), _headers(endpoint))
        response = connection.getresponse()
        if response.status != http.client.OK:
            said = response.read(2000).decode("utf-8", "replace")
            raise InferenceError(
                f"{endpoint.address} answered {response.status} to a completion: {said.strip()}",
                status=response.status,
            )
        for event in _events(response):
            if time.monotonic() - started > deadline:
                raise InferenceError(f"{endpoint.address} had not finished {tokens} tokens after {deadline:.0f} s")
            if event.get("choices"):
                arrived.append(time.monotonic())
            counted = max(counted, (event.get("usage") or {}).get("completion_tokens", 0))
            if "error" in event:
                raise InferenceError(f"{endpoint.address} broke off a completion: {json.dumps(event['error'])}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        waited = time.monotonic() - started
        raise InferenceError(
            f"{endpoint.address} generated nothing within {waited:.1f} s ({type(error).__name__}: {error})"
        ) from error
    finally:
        connection.close()
    if not arrived or counted < 1:
        raise InferenceError(f"{endpoint.address} answered 200 but generated no token")
    steps = sorted(later - earlier for earlier, later in zip(arrived, arrived[1:]))
    step = steps[len(steps) // 2] if steps else None
    return Completion(counted, arrived[0] - started, time.monotonic() - started, step)


def listening(endpoint: Endpoint, timeout: float = 2.0) -> bool:
    """Whether the engine answers ``/health`` with 200: ready to be asked for a token, no more than that."""
    connection = connect(endpoint, timeout)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _headers(endpoint: Endpoint) -> Mapping[str, str]:
    headers = {"Content-Type": "application/json"}
    if endpoint.api_key:
        headers["Authorization"] = f"Bearer {endpoint.api_key}"
    return headers


def _events(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """The JSON objects of a server-sent event stream, up to its ``[DONE]``."""
    while True:
        line = response.readline(_LINE_LIMIT)
        if not line:
            return
        if not line.startswith(b"data:"):
            continue
        data = line[len(b"data:") :].strip()
        if data == b"[DONE]":
            return
        event = json.loads(data)
        if isinstance(event, dict):
            yield event


_TIMEOUT_SECONDS = 5.0


_LIMIT = 8 << 20


def read_metrics(endpoint: Endpoint, timeout: float = _TIMEOUT_SECONDS) -> str:
    """Return the text of ``/metrics``, which the engine serves without a key; "" where it does not answer."""
    connection = connect(endpoint, timeout)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        if response.status == http.client.OK:
            return response.read(_LIMIT).decode("utf-8", "replace")
    return ""
