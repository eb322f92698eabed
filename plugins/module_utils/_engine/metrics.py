# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine's ``/metrics`` reports of its work."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

# A sample of Prometheus' text format without a timestamp: name{labels} value
_SAMPLE = re.compile(r"^vllm:(\w+)(?:\{.*\})? ([0-9.eE+-]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Metrics:
    """An engine's work, over all of its ranks.

    ``requests`` are running or waiting now, ``finished`` has counted them since the engine started; ``progress``
    changes whenever the engine makes a step with a request.
    """

    requests: float
    finished: int
    progress: tuple[float, float, float]  # prompt tokens, generated tokens, fraction of the KV cache in use

    def worked_since(self, before: Metrics | None) -> bool:
        """Whether tokens were counted since, by the same engine, or its cache fills as it does under a long prompt."""
        if before is None:
            return False
        tokens, tokens_before = sum(self.progress[:2]), sum(before.progress[:2])
        usage, usage_before = self.progress[2], before.progress[2]
        return tokens > tokens_before or (tokens == tokens_before and 0 < usage != usage_before)


def read_sums(text: str) -> dict[str, float]:
    """Return every sample of an engine's ``/metrics``, its ``vllm:`` left out, summed over all labels."""
    sums: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        with contextlib.suppress(ValueError):
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums


def parse_metrics(text: str) -> Metrics | None:
    """Return what the text of ``/metrics`` tells; None where it is not that of an engine."""
    sums = read_sums(text)
    if "generation_tokens_total" not in sums:
        return None
    return Metrics(
        requests=sums.get("num_requests_running", 0.0) + sums.get("num_requests_waiting", 0.0),
        finished=int(sums.get("request_success_total", 0)),
        progress=(
            sums.get("prompt_tokens_total", 0.0),
            sums["generation_tokens_total"],
            sums.get("kv_cache_usage_perc", 0.0),
        ),
    )
