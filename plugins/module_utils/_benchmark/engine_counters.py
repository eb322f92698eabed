# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine's ``/metrics`` counted during a measurement, out of readings one after the other. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .result import EngineCounters

Reading = Mapping[str, float]

_COUNTERS = ("num_preemptions_total", "prompt_tokens_total", "generation_tokens_total", "request_success_total")
_GAUGES = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
_HISTOGRAMS = ("request_queue_time_seconds", "time_to_first_token_seconds", "inter_token_latency_seconds")
_KEPT = (*_COUNTERS, *_GAUGES, *(f"{name}_{part}" for name in _HISTOGRAMS for part in ("sum", "count")))


def reading(sums: Mapping[str, float]) -> Reading:
    """Return what is needed of an engine's metrics; a soak of a day takes many readings, and an engine has hundreds."""
    return {name: sums[name] for name in _KEPT if name in sums}


def grown(readings: Sequence[Reading], name: str) -> float | None:
    """Return by how much a counter grew; None where it is in no reading.

    An engine that was started again begins at 0: what it has counted by then is all new.
    """
    values = [reading[name] for reading in readings if name in reading]
    if not values:
        return None
    return sum(now - before if now >= before else now for before, now in zip(values, values[1:]))


def highest(readings: Sequence[Reading], name: str) -> float | None:
    """Return the highest value of a gauge."""
    return max((reading[name] for reading in readings if name in reading), default=None)


def observed_mean(readings: Sequence[Reading], name: str) -> float | None:
    """Return the mean of a histogram's new observations; None where there is none."""
    total, count_between = grown(readings, f"{name}_sum"), grown(readings, f"{name}_count")
    return total / count_between if total is not None and count_between else None


def count_between(readings: Sequence[Reading]) -> EngineCounters:
    """Return what the engine counted between the first and the last of these readings."""
    return EngineCounters(
        preemptions=_whole(grown(readings, "num_preemptions_total")),
        prompt_tokens=_whole(grown(readings, "prompt_tokens_total")),
        generation_tokens=_whole(grown(readings, "generation_tokens_total")),
        waiting_max=_whole(highest(readings, "num_requests_waiting")),
        queue_mean_seconds=observed_mean(readings, "request_queue_time_seconds"),
        ttft_mean_seconds=observed_mean(readings, "time_to_first_token_seconds"),
        inter_token_mean_seconds=observed_mean(readings, "inter_token_latency_seconds"),
        kv_cache_usage_max=highest(readings, "kv_cache_usage_perc"),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
