# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine's log says about memory: numbers as it prints them, and how a failed start ended."""

from __future__ import annotations

import math
import re
from typing import Any, Optional, Union

Number = Union[int, float]
SUGGESTION_MARGIN = 150 << 20  # bytes

#: Names of the numbers, and where the log of a vLLM of the V1 engine has them (levels INFO and DEBUG).
PATTERNS: dict[str, str] = {
    "weights_gib": r"Model loading took ([\d.]+) GiB",
    "loading_s": r"Model loading took [\d.]+ GiB(?: memory)? and ([\d.]+) seconds",
    "free_at_start_gib": r"Initial free memory: ([\d.]+) GiB; Requested memory",
    "requested_gib": r"Requested memory: [\d.]+ \(util\), ([\d.]+) GiB",
    "not_kv_gib": r"Total non KV cache memory: ([-\d.]+)GiB",
    "transient_gib": r"torch peak memory increase: ([-\d.]+)GiB",
    "not_torch_gib": r"non-torch forward increase memory: ([-\d.]+)GiB",
    "consumed_gib": r"total consumed \(from mem_get_info\): ([-\d.]+)GiB",
    "available_kv_gib": r"Available KV cache memory: ([-\d.]+) GiB",
    "kv_tokens": r"GPU KV cache size: ([\d,]+) tokens",
    "graphs_gib": r"Graph capturing finished in [\d.]+ secs, took ([-\d.]+) GiB",
    "graphs_s": r"Graph capturing finished in ([\d.]+) secs",
    "graphs_estimated_gib": r"CUDA graph pool memory: [-\d.]+ GiB \(actual\), ([-\d.]+) GiB",
    "kv_to_requested_bytes": r"--kv-cache-memory=(-?\d+)` \([-\d.]+ GiB\) to fit into requested",
    "kv_to_free_bytes": r"--kv-cache-memory=(-?\d+)` \([-\d.]+ GiB\) to fully",
    "compile_s": r"torch\.compile took ([\d.]+) s",
    "engine_init_s": r"init engine \(profile, create kv cache, warmup model\) took ([\d.]+) s",
    "fitted_length": r"Auto-fit max_model_len: reduced from \d+ to (\d+)",
}
#: How a start can be refused, and the words by which to know it.
REFUSALS: dict[str, str] = {
    "gate1": "Free memory on device",
    "gate2-none": "No available memory for the cache blocks",
    "gate2-length": "To serve at least one request",
    "profiling": "Error in memory profiling",
    "out-of-memory": "out of memory",
}
#: Words of the lines worth keeping of a log of thousands.
TELLING = (
    "non-default args",
    "Model Runner",
    "memory",
    "Model loading took",
    "KV cache size",
    "Maximum concurrency",
    "Graph capturing finished",
    "torch.compile took",
    "init engine",
    "Auto-fit",
    "attention backend out of",
    "FlashAttention version",
    "top-p & top-k sampling",
    "nccl==",
    "all-reduce",
    "cuda graph addresses",
)


def numbers(log: str) -> dict[str, Number]:
    """Return every number of ``PATTERNS`` that the log holds; the last one counts."""
    found: dict[str, Number] = {}
    for name, pattern in PATTERNS.items():
        matches = re.findall(pattern, log)
        if matches:
            text = matches[-1].replace(",", "")
            found[name] = float(text) if "." in text else int(text)
    return found


def per_rank(log: str) -> dict[str, dict[str, Any]]:
    """Return the numbers that each tensor-parallel rank tells of itself; empty where there is one rank only."""
    lines: dict[str, list[str]] = {}
    for line in log.splitlines():
        match = re.search(r"\(Worker_(TP\d+) pid=", line)
        if match:
            lines.setdefault(match[1], []).append(line)
    return {rank: dict(numbers("\n".join(of))) for rank, of in sorted(lines.items())}


def exact_bytes(found: dict[str, Number], share: float, total: int) -> dict[str, int]:
    """Return to the byte what the log rounds to hundredths of GiB.

    After a start the engine suggests two sizes for ``--kv-cache-memory``, in bytes; both leave out the same sum
    and a margin (``vllm/v1/worker/gpu_worker.py``), so that they give that sum and the memory that was free
    when the share was taken. ``total`` is CUDA's total.
    """
    if "kv_to_requested_bytes" not in found:
        return {}
    requested = math.ceil(total * share)
    beside_cache = requested - SUGGESTION_MARGIN - int(found["kv_to_requested_bytes"])
    return {
        "requested": requested,
        "weights_transient_not_torch_and_graphs": beside_cache,
        "free_at_start": int(found["kv_to_free_bytes"]) + beside_cache + SUGGESTION_MARGIN,
    }


def refusal(log: str) -> Optional[tuple[str, str]]:
    """Return which refusal ended a start and the sentence the engine says it in, or None."""
    lines = log.splitlines()
    for kind, words in REFUSALS.items():
        for line in lines:
            if words in line and ("Error" in line or "error" in line):
                return kind, line[line.index(words) :].strip()
    return None


def telling_lines(log: str) -> list[str]:
    """Return the lines about memory and length: a traceback's code and its repetitions left out."""
    kept: list[str] = []
    for line in log.splitlines():
        told = any(words in line for words in TELLING) or any(words in line for words in REFUSALS.values())
        reported = re.search(r" (INFO|DEBUG|WARNING) \d", line) or re.search(r"\] [\w.]+Error: ", line)
        if told and reported and line not in kept:
            kept.append(line)
    return kept
