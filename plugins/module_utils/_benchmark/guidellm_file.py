# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks.json that GuideLLM writes, read into requests. Pure.

A file holds several benchmarks, one per rate or concurrency that was tried. Of each it keeps the requests by how they
ended; those that GuideLLM cut off at its own end are ``incomplete`` there and ``cancelled`` here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._errors import InferenceError
from .bench_file import bottleneck, last_line
from .result import LoadShape, Request

VERSIONS = (1, 2)
_GROUPS = {"successful": "completed", "errored": "failed", "incomplete": "cancelled"}
_OPEN = ("constant", "poisson", "async", "trace")


@dataclass(frozen=True)
class Benchmark:
    """One benchmark of the file; ``started`` is in seconds since 1970."""

    requests: tuple[Request, ...]
    load: LoadShape
    started: float
    duration_seconds: float


def read_guidellm_file(content: object, where: str = "the file") -> tuple[Benchmark, ...]:
    """Return the benchmarks in the order of the file; InferenceError where it is none or of an unknown version."""
    if not isinstance(content, Mapping) or not isinstance(content.get("benchmarks"), list):
        raise InferenceError(f"{where} is no result of GuideLLM: it has no list of benchmarks.")
    metadata = content.get("metadata")
    version = metadata.get("version") if isinstance(metadata, Mapping) else None
    if version not in VERSIONS:
        raise InferenceError(
            f"{where} is of version {version!r} of GuideLLM's format; this collection reads "
            f"{', '.join(map(str, VERSIONS))} (GuideLLM 0.5 to 0.8)."
        )
    try:
        return tuple(_benchmark(item) for item in content["benchmarks"])
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InferenceError(f"{where} is not what GuideLLM writes: {type(error).__name__} {error}.") from error


def _benchmark(item: Mapping[str, Any]) -> Benchmark:
    sample = item["config"].get("sample_size")
    if sample is not None and any(len(item["requests"][group] or ()) >= sample for group in _GROUPS):
        raise ValueError(f"it keeps only {sample} requests of each kind; rates need all: leave out the sample size")
    started, duration = float(item["start_time"]), float(item["duration"])
    load = _load(item)
    found = [
        _request(entry, status, started, load)
        for group, status in _GROUPS.items()
        for entry in item["requests"][group] or ()
    ]
    # What was under way when the measurement began belongs to its warm-up.
    kept = (request for request in found if request.start_seconds >= 0)
    requests = tuple(sorted(kept, key=lambda one: one.start_seconds))
    return Benchmark(requests, replace(load, bottleneck=bottleneck(requests, load)), started, duration)


def _request(entry: Mapping[str, Any], status: str, started: float, load: LoadShape) -> Request:
    timings = entry["info"]["timings"]
    ttft, gap = entry.get("time_to_first_token_ms"), entry.get("inter_token_latency_ms")
    begun = ttft is not None
    error = last_line(entry["info"].get("error") or "")
    return Request(
        start_seconds=float(entry["request_start_time"]) - started,
        status="aborted" if status == "failed" and begun else status,
        tokens_in=int(entry.get("prompt_tokens") or 0),
        tokens_out=int(entry.get("output_tokens") or 0),
        ttft_seconds=None if ttft is None else ttft / 1000,
        inter_token_seconds=None if gap is None else gap / 1000,
        end_to_end_seconds=entry.get("request_latency") if status == "completed" else None,
        # In a closed loop a request has no time at which it was to be sent.
        client_queue_seconds=_waited(timings) if load.mode == "open" else None,
        error=None if status == "completed" else error or f"it was {status} without a reason",
    )


def _waited(timings: Mapping[str, Any]) -> float | None:
    """Seconds between the time at which a request was to be sent and the time at which it was."""
    wanted, sent = timings.get("targeted_start"), timings.get("request_start")
    return None if wanted is None or sent is None else max(0.0, sent - wanted)


def _load(item: Mapping[str, Any]) -> LoadShape:
    strategy = item["config"]["strategy"]
    kind = strategy["type_"]
    streams = 1 if kind == "synchronous" else strategy.get("streams") or strategy.get("max_concurrency")
    return LoadShape(
        driver="GuideLLM",
        mode="open" if kind in _OPEN else "closed",
        concurrency=streams,
        requests_per_second=strategy.get("rate") if kind in _OPEN else None,
    )
