# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scenario asks of a service: numbers of requests, tokens and seconds. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from .._errors import InferenceError

# A limit of all scenarios, so that a slip of the hand does not keep a host busy for days.
MOST_REQUESTS = 100_000
MOST_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Scenario:
    """What to ask, before it is known of which service.

    Prompts have ``input_tokens``, or fill with their answers ``context_share`` of the longest context. ``concurrency``
    requests are kept in flight; with ``requests_per_second`` it is only a limit, None for none. ``seconds`` is about
    how long the load may last. ``together``: all services at once.
    """

    output_tokens: int = 64
    requests: int = 100
    seconds: int = 120
    input_tokens: int | None = 128
    context_share: float | None = None
    concurrency: int | None = 4
    requests_per_second: float | None = None
    warmup_requests: int = 8
    together: bool = False


SCENARIOS: Mapping[str, Scenario] = {
    "standard": Scenario(),
    "long_context": Scenario(
        input_tokens=None, context_share=0.9, concurrency=1, requests=8, seconds=300, warmup_requests=1
    ),
    "burst": Scenario(concurrency=64, requests=128),
    "soak": Scenario(concurrency=None, requests_per_second=1.0, requests=600, seconds=600),
    "mixed": Scenario(together=True),
}
# What a user may state instead.
OVERRIDES = tuple(field.name for field in fields(Scenario))


@dataclass(frozen=True)
class Asked:
    """What is asked of one service. ``requests`` is the most; :meth:`within` says how many fit into ``seconds``."""

    scenario: str
    input_tokens: int
    output_tokens: int
    concurrency: int | None
    requests_per_second: float | None
    requests: int
    seconds: int
    warmup_requests: int

    @property
    def mode(self) -> str:
        """``open`` where requests are sent at their time, whatever comes back, else ``closed``."""
        return "closed" if self.requests_per_second is None else "open"

    @property
    def limit_seconds(self) -> int:
        """After how long a measurement that does not end is ended."""
        return 3 * self.seconds + 60

    def within(self, answered_per_second: float | None) -> int:
        """Return how many requests to send, given what the warm-up had answered; None where there was none."""
        rate = answered_per_second if self.requests_per_second is None else self.requests_per_second
        return max(1, self.requests if rate is None else min(self.requests, math.floor(rate * self.seconds)))


def scenario(name: str, overrides: Mapping[str, Any]) -> Scenario:
    """Return a scenario with what a user states instead; None is not stated. InferenceError for what cannot be."""
    stated = {key: value for key, value in overrides.items() if value is not None}
    if stated.get("input_tokens") is not None and stated.get("context_share") is not None:
        raise InferenceError(
            "load has input_tokens and context_share; state one of them, as both say how long prompts are."
        )
    for one, other in (("input_tokens", "context_share"), ("context_share", "input_tokens")):
        if stated.get(one) is not None:
            stated[other] = None
    if "requests_per_second" in stated and "concurrency" not in stated:
        stated["concurrency"] = None
    made = replace(SCENARIOS[name], **stated)
    for key, lowest, highest in (
        ("input_tokens", 1, 1 << 24),
        ("output_tokens", 1, 1 << 20),
        ("concurrency", 1, 4096),
        ("requests", 1, MOST_REQUESTS),
        ("seconds", 1, MOST_SECONDS),
        ("warmup_requests", 0, 1000),
    ):
        value = getattr(made, key)
        if value is not None and not lowest <= value <= highest:
            raise InferenceError(f"load.{key} is {value}; {lowest} to {highest} is expected.")
    if made.context_share is not None and not 0 < made.context_share <= 1:
        raise InferenceError(f"load.context_share is {made.context_share:g}; above 0 and at most 1 is expected.")
    if made.requests_per_second is not None and not 0 < made.requests_per_second <= 10_000:
        raise InferenceError(
            f"load.requests_per_second is {made.requests_per_second:g}; above 0 and at most 10000 is expected."
        )
    return made


def asked_of(service: str, max_model_len: int, name: str, made: Scenario) -> Asked:
    """Return what a scenario asks of a service; InferenceError where prompt and answer do not fit its context."""
    length = made.input_tokens
    if length is None:
        length = math.floor(max_model_len * (made.context_share or 1.0)) - made.output_tokens
    if length < 1 or length + made.output_tokens > max_model_len:
        raise InferenceError(
            f"service '{service}': {max(length, 0)} tokens in and {made.output_tokens} out do not fit its "
            f"max_model_len of {max_model_len}; lower load.input_tokens or load.output_tokens for the scenario {name}",
            service=service,
        )
    return Asked(
        scenario=name,
        input_tokens=length,
        output_tokens=made.output_tokens,
        concurrency=made.concurrency,
        requests_per_second=made.requests_per_second,
        requests=made.requests,
        seconds=made.seconds,
        warmup_requests=made.warmup_requests,
    )
