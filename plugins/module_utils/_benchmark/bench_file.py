# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that ``vllm bench serve --save-result --save-detailed`` writes, read into requests. Pure.

The file has one list per quantity, in the order in which requests were made. It does not say which of them failed:
one without an end has no latency, and one that broke off after its first token has a time of that token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._errors import InferenceError
from .result import LoadShape, Request

_LISTS = ("start_times", "ttfts", "itls", "input_lens", "output_lens", "errors")
# What older versions do not write. The last token's time is then the sum of all gaps, which is how it is measured.
_OPTIONAL = ("latencies", "queue_times")
# An open loop that waits for a place among its own connections is none; a tenth of a request's time is no accident.
_QUEUE_SHARE = 0.1


def read_bench_file(content: object, where: str = "the file") -> tuple[tuple[Request, ...], LoadShape, float]:
    """Return the requests, how they were sent, and how many seconds the measurement took.

    ``content`` is what the JSON says. InferenceError where it is not of that program, has no details, or contradicts
    itself.
    """
    if not isinstance(content, Mapping) or "request_throughput" not in content:
        raise InferenceError(f"{where} is no result of `vllm bench serve`: it has no request_throughput.")
    missing = [name for name in _LISTS if not isinstance(content.get(name), list)]
    if missing:
        raise InferenceError(
            f"{where} has no {', '.join(missing)} of single requests; `vllm bench serve` writes them with "
            "--save-detailed."
        )
    counts = {name: len(content[name]) for name in (*_LISTS, *_OPTIONAL) if isinstance(content.get(name), list)}
    if len(set(counts.values())) != 1:
        said = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InferenceError(f"{where} is not whole: its lists differ in length ({said}).")
    try:
        duration = float(content["duration"])
        mode, rate = _mode(content)
        requests = _requests(content, mode)
        load = LoadShape(
            driver="vllm bench serve",
            mode=mode,
            concurrency=content.get("max_concurrency"),
            requests_per_second=rate,
        )
    except (TypeError, ValueError, KeyError) as error:
        raise InferenceError(f"{where} is no result of `vllm bench serve`: {error}.") from error
    completed = sum(request.status == "completed" for request in requests)
    if completed != content.get("completed"):
        raise InferenceError(
            f"{where} says that {content.get('completed')} requests completed, but {completed} have a latency; "
            "it is not whole, or of a version of vLLM that this collection does not read."
        )
    return requests, replace(load, bottleneck=bottleneck(requests, load)), duration


def bottleneck(requests: Sequence[Request], load: LoadShape) -> str | None:
    """Return how the load generator held requests back although it was to send them at their time; None: it did not."""
    if load.mode != "open":
        return None
    ended = [request for request in requests if request.status == "completed"]
    waited = sum(request.client_queue_seconds or 0.0 for request in ended)
    took = sum(request.end_to_end_seconds or 0.0 for request in ended)
    if waited <= _QUEUE_SHARE * took:
        return None
    most = load.concurrency or "any number"
    return (
        f"requests waited {waited:.2f} s before they were sent, {waited / took:.0%} of the time that they then took: "
        f"{load.requests_per_second:g} per second could not be kept up with {most} in flight."
    )


def _requests(content: Mapping[str, Any], mode: str) -> tuple[Request, ...]:
    starts = content["start_times"]
    unknown = [None] * len(starts)
    first = min(starts, default=0.0)
    names = (*_LISTS, *_OPTIONAL)
    # In a closed loop a request has no time at which it was to be sent.
    known = {**content, "queue_times": content.get("queue_times") if mode == "open" else None}
    rows = zip(*(known.get(name) or unknown for name in names))
    return tuple(_request(dict(zip(names, row)), first) for row in rows)


def _request(values: Mapping[str, Any], first: float) -> Request:
    ttft, gaps, error, waited = (values[name] for name in ("ttfts", "itls", "errors", "queue_times"))
    latency = ttft + sum(gaps) if values["latencies"] is None else values["latencies"]
    begun = ttft > 0
    ended = begun and latency > 0 and not error
    # The engine may send several tokens at once: the time between tokens is over tokens, not over messages.
    spread = latency - ttft if ended else sum(gaps)
    tokens = values["output_lens"] if ended else len(gaps) + begun
    return Request(
        start_seconds=values["start_times"] - first,
        status="completed" if ended else "aborted" if begun else "failed",
        tokens_in=int(values["input_lens"]),
        tokens_out=int(tokens),
        ttft_seconds=float(ttft) if begun else None,
        inter_token_seconds=spread / (tokens - 1) if tokens > 1 else None,
        longest_gap_seconds=float(max(gaps)) if gaps else None,
        end_to_end_seconds=float(latency) if ended else None,
        client_queue_seconds=None if waited is None else max(0.0, float(waited)),
        error=None if ended else last_line(error) or "it ended without a token and without a reason",
    )


def _mode(content: Mapping[str, Any]) -> tuple[str, float | None]:
    """An endless rate is a closed loop: the next request goes when there is a place."""
    rate = float(content["request_rate"])
    return ("closed", None) if math.isinf(rate) else ("open", rate)


def last_line(text: str) -> str:
    """Return the last line that says something: of a traceback, the exception."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1][:400] if lines else ""
