# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A constant load on one endpoint while something is done to it, and what of the load was lost.

So many clients of the real OpenAI library ask for a short streamed completion every so many seconds, without retries of
their own, until SIGTERM. Each request in flight then is finished and counted. The result is a JSON file: requests,
the seconds of the slowest, and every failure with its time and text. A stream that ends before its last token counts
as a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import openai

TOKENS = 12


@dataclass
class Result:
    """What came of the load; times in seconds since the Epoch, durations in seconds."""

    started: float = field(default_factory=time.time)
    ended: float = 0.0
    requests: int = 0
    slowest: float = 0.0
    failures: list[dict[str, str | float]] = field(default_factory=list)


async def ask(client: openai.AsyncOpenAI, model: str) -> None:
    """Stream one completion to its end, or raise."""
    stream = await client.completions.create(
        model=model, prompt="a constant load", max_tokens=TOKENS, stream=True, extra_body={"ignore_eos": True}
    )
    reason: str | None = None
    async for chunk in stream:
        if chunk.choices:
            reason = chunk.choices[0].finish_reason  # None until the last of them, whatever its type says
    if reason != "length":
        raise RuntimeError(f"the stream ended early (finish_reason {reason})")


async def client_loop(
    client: openai.AsyncOpenAI, model: str, interval: float, ending: asyncio.Event, result: Result
) -> None:
    """Ask every ``interval`` seconds until the end, or at once after a longer answer, and keep what went wrong."""
    while not ending.is_set():
        began = time.time()
        try:
            await ask(client, model)
        except (openai.OpenAIError, RuntimeError) as error:
            result.failures.append({"at": began, "seconds": time.time() - began, "error": repr(error)})
            await asyncio.sleep(0.2)  # a refusal is immediate: one outage shall not become a thousand failures
        result.requests += 1
        result.slowest = max(result.slowest, time.time() - began)
        await asyncio.sleep(max(0.0, began + interval - time.time()))


async def drive(arguments: argparse.Namespace) -> Result:
    """Run all clients until SIGTERM."""
    ending, result = asyncio.Event(), Result()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    client = openai.AsyncOpenAI(base_url=arguments.url, api_key=os.environ["LOAD_API_KEY"], max_retries=0, timeout=120)
    loop = (client, arguments.model, arguments.interval, ending, result)
    await asyncio.gather(*(client_loop(*loop) for _turn in range(arguments.clients)))
    result.ended = time.time()
    return result


def main() -> None:
    """Write the result where the arguments say; the key comes from the environment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between two requests of a client")
    parser.add_argument("--result", type=Path, required=True)
    arguments = parser.parse_args()
    result = asyncio.run(drive(arguments))
    arguments.result.write_text(json.dumps(asdict(result), indent=1) + "\n")


if __name__ == "__main__":
    main()
