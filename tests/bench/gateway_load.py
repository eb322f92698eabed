# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load of the gateway's benchmark, run on its host by the engine's own Python, which has httpx.

Asks the engine directly and through the gateway in turns, over connections that both keep, and prints as JSON: the
seconds to the first token of single requests, in pairs; and the tokens and seconds of rounds of requests side by side.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from typing import Any

import httpx

DIRECT, THROUGH = "direct", "through"
URLS = {DIRECT: "http://127.0.0.1:8002/v1/completions", THROUGH: "https://127.0.0.1:8443/v1/completions"}
KEYS = {DIRECT: "key-of-the-engine", THROUGH: "key-of-the-benchmark-0123456789abcdef"}
PROMPT = "Tell a story of a service that was healthy because it had generated a token. " * 12
WARM_UP = 10


def body(tokens: int, number: int) -> dict[str, Any]:
    """Return a streamed completion whose prompt no cache has seen."""
    return {
        "model": "medium",
        "prompt": f"{number}. {PROMPT}",
        "max_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


class Load:
    """Requests on the one way and the other."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._number = 0

    async def complete(self, way: str, tokens: int) -> tuple[float, int]:
        """Return the seconds to the first token, and how many there were."""
        self._number += 1
        headers = {"Authorization": f"Bearer {KEYS[way]}"}
        first, counted = 0.0, 0
        began = time.perf_counter()
        async with self._client.stream("POST", URLS[way], json=body(tokens, self._number), headers=headers) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line[6:])
                if event["choices"] and not first:
                    first = time.perf_counter() - began
                if event.get("usage"):
                    counted = event["usage"]["completion_tokens"]
        if counted != tokens:
            raise SystemExit(f"{way}: {counted} tokens instead of {tokens}")
        return first, counted

    async def firsts(self, pairs: int) -> dict[str, list[float]]:
        """Return the seconds to the first token of single requests; the ways take turns in going first."""
        seconds: dict[str, list[float]] = {DIRECT: [], THROUGH: []}
        for pair in range(pairs + WARM_UP):
            for way in (DIRECT, THROUGH) if pair % 2 else (THROUGH, DIRECT):
                first, _last = await self.complete(way, 2)
                if pair >= WARM_UP:
                    seconds[way].append(first)
        return seconds

    async def rounds(self, rounds: int, requests: int, abreast: int, tokens: int) -> dict[str, list[list[float]]]:
        """Return (tokens, seconds) of each round of ``requests``, so many ``abreast``."""
        found: dict[str, list[list[float]]] = {DIRECT: [], THROUGH: []}
        for number in range(rounds + 1):
            for way in (DIRECT, THROUGH) if number % 2 else (THROUGH, DIRECT):
                left = iter(range(requests))

                async def work(way: str = way, left: Any = left) -> int:
                    return sum([(await self.complete(way, tokens))[1] for _request in left])

                began = time.perf_counter()
                counted = sum(await asyncio.gather(*[work() for _client in range(abreast)]))
                if number:  # the first one warms up
                    found[way].append([counted, time.perf_counter() - began])
        return found


async def measure(plan: dict[str, int]) -> dict[str, Any]:
    """Return both measurements."""
    trust = ssl.create_default_context(cafile="/etc/haproxy/vllm/self-signed.pem")
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(verify=trust, timeout=120, limits=limits) as client:
        load = Load(client)
        firsts = await load.firsts(plan["pairs"])
        rounds = await load.rounds(plan["rounds"], plan["requests"], plan["abreast"], plan["tokens"])
    return {"first_token_seconds": firsts, "rounds": rounds}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(json.loads(sys.argv[1])))))
