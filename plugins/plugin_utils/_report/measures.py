# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: one number per run, service and metric, with its unit and which way is better.

A number that a run does not carry is None: a percentile of too few requests, energy that no device told of.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import (
    Request,
    RunResult,
    ServiceResult,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._report.statistics import (
    Estimate,
    geometric_mean,
    mean,
    percentile,
    rate,
)

OUT_OF_MEMORY = (
    "out_of_device_memory",
    "no_host_memory",
    "host_oom_kill",
    "memory_share_too_large",
    "no_room_for_kv_cache",
)

# A run and one of its services.
MeasuredRun = tuple[RunResult, ServiceResult]
Reader = Callable[[RunResult, ServiceResult], "float | None"]


@dataclass(frozen=True)
class Metric:
    """``better`` is ``lower`` or ``higher``; ``words`` are a heading's; ``positive`` metrics are compared as ratios.

    ``kinds`` are those of the incidents that it counts, empty for all; None for a metric that counts none.
    """

    name: str
    words: str
    unit: str
    better: str
    read: Reader
    positive: bool = True
    kinds: tuple[str, ...] | None = None


LATENCIES = {"ttft": "time to first token", "inter_token": "time between tokens", "end_to_end": "response time"}
PERCENTILES = (50, 90, 95, 99)
_PERCENTILE = re.compile(rf"({'|'.join(LATENCIES)})_p([0-9]{{1,2}}(?:\.[0-9]{{1,3}})?)_seconds")


def completed(service: ServiceResult) -> list[Request]:
    """Return the requests that were answered to their end."""
    return [request for request in service.requests if request.status == "completed"]


def counted(service: ServiceResult) -> list[Request]:
    """Return the requests that say something about the service: not those that the load generator itself ended."""
    return [request for request in service.requests if request.status != "cancelled"]


def latencies(service: ServiceResult, kind: str) -> list[float]:
    """Return one latency of every request that has it; ``kind`` is one of LATENCIES."""
    values = (getattr(request, f"{kind}_seconds") for request in completed(service))
    return [value for value in values if value is not None]


def in_flight(service: ServiceResult) -> float | None:
    """Return how many requests were under way on average (Little's law), whatever was asked for."""
    if not service.duration_seconds:
        return None
    return sum(latencies(service, "end_to_end")) / service.duration_seconds


@dataclass(frozen=True)
class Goodput:
    """What a request has to keep, in seconds, to count as good; None: anything."""

    ttft_seconds: float | None = None
    inter_token_seconds: float | None = None
    end_to_end_seconds: float | None = None

    def holds(self, request: Request) -> bool:
        """Tell whether a request was answered, and in time."""
        if request.status != "completed":
            return False
        limits = {name: limit for name, limit in vars(self).items() if limit is not None}
        if request.inter_token_seconds is None:
            limits.pop("inter_token_seconds", None)  # an answer of one token
        values = {name: getattr(request, name) for name in limits}
        return all(values[name] is not None and values[name] <= limit for name, limit in limits.items())


def good_share(service: ServiceResult, objective: Goodput) -> float | None:
    """Return the share of requests that keep an objective."""
    requests = counted(service)
    return sum(map(objective.holds, requests)) / len(requests) if requests else None


def goodput(service: ServiceResult, objective: Goodput) -> float | None:
    """Return how many requests per second keep an objective."""
    if not service.duration_seconds or service.not_started:
        return None
    return sum(map(objective.holds, service.requests)) / service.duration_seconds


def count_incidents_of(run: RunResult, service: ServiceResult, kinds: Sequence[str] = ()) -> int:
    """Return how many incidents of a service and of its host a run saw; no ``kinds`` means all."""
    return sum(
        incident.service in (None, service.service) and (not kinds or incident.kind in kinds)
        for incident in run.incidents
    )


def latency_percentile(name: str) -> tuple[str, float] | None:
    """Return which latency, and which percentile of it, a metric is; None for one of another kind."""
    found = _PERCENTILE.fullmatch(name)
    return (found[1], float(found[2])) if found and 0 < float(found[2]) < 100 else None


def metric(name: str) -> Metric:
    """Return a metric by its name, of which there is one for every percentile; InferenceError for an unknown one."""
    found = latency_percentile(name)
    if found:
        return _latency(*found)
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name, METRICS, n=2, cutoff=0.5) or sorted(METRICS)
    raise InferenceError(f"There is no metric {name!r:.80}; did you mean {' or '.join(near[:8])}?")


def values(one: Metric, found: Iterable[MeasuredRun]) -> list[float]:
    """Return the number of every run that has one."""
    read = (one.read(run, service) for run, service in found if not service.not_started)
    return [value for value in read if value is not None]


def estimate(one: Metric, found: Sequence[MeasuredRun], level: float) -> Estimate | None:
    """Return the typical value over runs with its interval; None where no run has it.

    Geometric where a metric varies by factors. Incidents are counted over all runs: they are too rare to differ by run.
    """
    if one.kinds is not None:
        thousands = sum(len(counted(service)) for _run, service in found) / 1000.0
        events = sum(count_incidents_of(run, service, one.kinds) for run, service in found)
        return rate(events, thousands, level) if thousands else None
    numbers = values(one, found)
    if not numbers:
        return None
    if one.positive and min(numbers) > 0:
        return geometric_mean(numbers, level)
    middle = mean(numbers, level)
    if len(set(numbers)) == 1:
        # Runs that do not differ in what hardly ever happens do not say how seldom it happens.
        return replace(middle, low=None, high=None)
    if middle.low is None or middle.high is None or min(numbers) < 0:
        return middle
    # Nothing is less than nothing, and no share more than all.
    return replace(middle, low=max(0.0, middle.low), high=min(1.0, middle.high) if one.unit == "share" else middle.high)


def _latency(kind: str, percent: float) -> Metric:
    return Metric(
        f"{kind}_p{percent:g}_seconds",
        f"{LATENCIES[kind]}, {'median' if percent == 50 else f'p{percent:g}'}",
        "s",
        "lower",
        lambda _run, service: percentile(latencies(service, kind), percent),
    )


def _per_second(count: Callable[[Request], int]) -> Reader:
    def read(_run: RunResult, service: ServiceResult) -> float | None:
        if not service.duration_seconds or not completed(service):
            return None
        return sum(map(count, completed(service))) / service.duration_seconds

    return read


def _share(*statuses: str) -> Reader:
    def read(_run: RunResult, service: ServiceResult) -> float | None:
        requests = counted(service)
        return sum(request.status in statuses for request in requests) / len(requests) if requests else None

    return read


def _per_thousand(kinds: Sequence[str] = ()) -> Reader:
    def read(run: RunResult, service: ServiceResult) -> float | None:
        requests = counted(service)
        return 1000.0 * count_incidents_of(run, service, kinds) / len(requests) if requests else None

    return read


def _memory_share(run: RunResult, _service: ServiceResult) -> float | None:
    shares = [item.peak_bytes / item.budget_bytes for item in run.memory if item.budget_bytes and item.peak_bytes]
    return max(shares, default=None)


def _memory_room(run: RunResult, _service: ServiceResult) -> float | None:
    rooms = [item.budget_bytes - item.peak_bytes for item in run.memory if item.budget_bytes and item.peak_bytes]
    return min(rooms, default=None)


def _energy(run: RunResult, _service: ServiceResult) -> float | None:
    tokens = sum(request.tokens_out for item in run.services for request in completed(item))
    return None if run.energy_joules is None or not tokens else 1000.0 * run.energy_joules / tokens


def _mean_queue(_run: RunResult, service: ServiceResult) -> float | None:
    return service.engine.queue_mean_seconds


_FIXED = (
    Metric(
        "output_tokens_per_second", "output tokens/s", "tokens/s", "higher", _per_second(lambda one: one.tokens_out)
    ),
    Metric(
        "total_tokens_per_second",
        "all tokens/s",
        "tokens/s",
        "higher",
        _per_second(lambda one: one.tokens_in + one.tokens_out),
    ),
    Metric("requests_per_second", "requests/s", "requests/s", "higher", _per_second(lambda _one: 1)),
    Metric("failed_share", "failed or aborted", "share", "lower", _share("failed", "aborted"), positive=False),
    Metric("aborted_share", "aborted", "share", "lower", _share("aborted"), positive=False),
    Metric(
        "incidents_per_1000_requests",
        "incidents per 1,000 requests",
        "",
        "lower",
        _per_thousand(),
        positive=False,
        kinds=(),
    ),
    Metric(
        "out_of_memory_per_1000_requests",
        "out of memory per 1,000 requests",
        "",
        "lower",
        _per_thousand(OUT_OF_MEMORY),
        positive=False,
        kinds=OUT_OF_MEMORY,
    ),
    Metric("restarts", "restarts", "", "lower", lambda _run, service: float(service.restarts), positive=False),
    Metric("preemptions", "preemptions", "", "lower", lambda _run, service: service.engine.preemptions, positive=False),
    Metric("queue_mean_seconds", "time in the engine's queue, mean", "s", "lower", _mean_queue, positive=False),
    Metric("memory_peak_share_of_budget", "memory, peak of the budget", "share", "lower", _memory_share),
    Metric("memory_room_bytes", "memory, least left of the budget", "bytes", "higher", _memory_room, positive=False),
    Metric("energy_joules_per_1000_tokens", "energy per 1,000 tokens", "J", "lower", _energy),
    Metric("perplexity_short", "perplexity, short text", "", "lower", lambda _run, one: one.quality.perplexity_short),
    Metric("perplexity_long", "perplexity, long text", "", "lower", lambda _run, one: one.quality.perplexity_long),
    Metric(
        "greedy_agreement",
        "greedy tokens that agree",
        "share",
        "higher",
        lambda _run, service: service.quality.greedy_agreement,
        positive=False,
    ),
)
METRICS = {item.name: item for item in (*(_latency(kind, p) for kind in LATENCIES for p in PERCENTILES), *_FIXED)}
