# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests of our own to an engine: what warms it up, and what asks it how it sees a text."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .._engine.api import connect
from .._engine.endpoint import Endpoint
from .._errors import InferenceError
from .scenarios import Asked

# The log-probabilities of a long text, as JSON, take about 100 bytes per token.
_LIMIT = 256 << 20
_MOST_THREADS = 64


class Client:
    """Asks one service; ``timeout`` is in seconds, for each step of an answer."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON that the service answers; InferenceError where that is not what it does."""
        headers = {"Content-Type": "application/json"}
        if self._endpoint.api_key:
            headers["Authorization"] = f"Bearer {self._endpoint.api_key}"
        connection = connect(self._endpoint, self._timeout)
        with contextlib.closing(connection):
            try:
                connection.request("POST", path, json.dumps({"model": self._endpoint.model, **body}), headers)
                response = connection.getresponse()
                said = response.read(_LIMIT)
                answer = json.loads(said) if response.status == http.client.OK else None
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise InferenceError(
                    f"{self._endpoint.address} did not answer {path} ({type(error).__name__}: {error})"
                ) from error
        if not isinstance(answer, dict):
            text = said[:500].decode("utf-8", "replace").strip()
            raise InferenceError(f"{self._endpoint.address} answered {response.status} to {path}: {text}")
        return answer

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, by the engine's own tokenizer."""
        return [int(token) for token in self.post("/tokenize", {"prompt": text, "add_special_tokens": False})["tokens"]]

    def complete(self, prompt: str | Sequence[int], tokens: int, **options: Any) -> dict[str, Any]:
        """Return the one choice of a greedy completion of so many tokens."""
        body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, **options}
        return dict(self.post("/v1/completions", body)["choices"][0])


def warm_up(client: Client, asked: Asked, text: Sequence[int], salt: str) -> float | None:
    """Send the warm-up's requests; return how many the service answered per second, None without any.

    The fastest wave counts: in the first one an engine may still compile. Prompts are pieces of ``text``, which the
    measurement does not use.
    """
    if not asked.warmup_requests:
        return None
    wave = min(asked.concurrency or 4, asked.warmup_requests, _MOST_THREADS)
    waves = -(-asked.warmup_requests // wave)
    repeated = list(text) * (2 + asked.input_tokens // len(text))
    best = 0.0

    def ask(number: int) -> None:
        start = 7 * number % len(text)
        prompt = repeated[start : start + asked.input_tokens]
        tokens = asked.output_tokens
        client.complete(prompt, tokens, min_tokens=tokens, ignore_eos=True, cache_salt=f"{salt}-{number}")

    with concurrent.futures.ThreadPoolExecutor(wave) as pool:
        for number in range(waves):
            began = time.monotonic()
            list(pool.map(ask, range(number * wave, (number + 1) * wave)))
            best = max(best, wave / (time.monotonic() - began))
    return best
