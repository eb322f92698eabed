# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a starting engine writes about memory. Pure.

The lines are those of ``vllm/v1/worker/gpu_worker.py``, ``gpu_model_runner.py``, ``cpu_worker.py`` and
``vllm/v1/core/kv_cache_utils.py``. Sizes are printed in GiB with two decimals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable

from .._values import GIB

# A printed size is off by at most this.
ROUNDING_BYTES = int(0.005 * GIB) + 1

_KV_TOKENS = re.compile(r"\b\w+ KV cache size: ([\d,]+) tokens")
_WEIGHTS = re.compile(r"Model loading took ([\d.]+) GiB")
_CUDA_KV = re.compile(r"Available KV cache memory: ([\d.]+) GiB")
_CUDA_SUMMARY = re.compile(
    r"Free memory on device \(([\d.]+)/([\d.]+) GiB\) on startup\. Desired GPU memory utilization is "
    r"\([\d.]+, ([\d.]+) GiB\)\. Actual usage is ([\d.]+) GiB for consumed memory \([^)]*\), ([\d.]+) GiB for peak "
    r"activation, and ([\d.]+) GiB for CUDAGraph memory"
)
_CUDA_GRAPHS = re.compile(r"CUDA graph pool memory: ([\d.]+) GiB \(actual\), ([\d.]+) GiB \(estimated\)")
_CPU_KV = re.compile(
    r"\(\w+ pid=(\d+)\).*Auto set \(([\d.]+)/([\d.]+)\) GiB for KV cache on node \d+, with ([\d.]+) GiB requested "
    r"memory for the worker\. ([\d.]+) GiB memory was consumed"
)


@dataclass(frozen=True)
class StartupLog:
    """Bytes and tokens that a log of one start reports; None where it does not.

    Of several ranks each value is that of the worst. ``kv_cache_bytes`` is None where the cache was not what the
    share left, but stated. ``transient_bytes`` includes ``graphs_bytes``, the engine's estimate of its CUDA graphs,
    as the share is charged with it. ``outside_bytes`` is everything on the device before the engine counted: of its
    own context and of others.
    """

    kv_cache_tokens: int | None = None
    kv_cache_bytes: int | None = None
    share_bytes: int | None = None
    consumed_bytes: int | None = None
    weights_bytes: int | None = None
    transient_bytes: int | None = None
    graphs_bytes: int | None = None
    outside_bytes: int | None = None
    worker_pids: frozenset[int] = frozenset()


def read_startup_log(lines: Iterable[str]) -> StartupLog:
    """Return what the lines of one start, of all its processes, tell."""
    found = _Found()
    for line in lines:
        found.read(line)
    return StartupLog(
        kv_cache_tokens=found.worst("kv_cache_tokens", min),
        kv_cache_bytes=found.worst("kv_cache", min),
        share_bytes=found.worst("share", min),
        consumed_bytes=found.worst("consumed", max),
        weights_bytes=found.worst("weights", max),
        transient_bytes=found.worst("transient", max),
        graphs_bytes=found.worst("graphs", max),
        outside_bytes=found.worst("outside", max),
        worker_pids=frozenset(found.values.get("pid", ())),
    )


class _Found:
    def __init__(self) -> None:
        self.values: dict[str, list[int]] = {}

    def add(self, **values: int) -> None:
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def worst(self, name: str, choose: Callable[[list[int]], int]) -> int | None:
        return choose(self.values[name]) if name in self.values else None

    def read(self, line: str) -> None:
        if match := _KV_TOKENS.search(line):
            self.add(kv_cache_tokens=int(match[1].replace(",", "")))
        elif match := _WEIGHTS.search(line):
            self.add(weights=_bytes(match[1]))
        elif match := _CUDA_KV.search(line):
            self.add(kv_cache=_bytes(match[1]))
        elif match := _CUDA_GRAPHS.search(line):
            self.add(graphs=_bytes(match[2]))
        elif match := _CUDA_SUMMARY.search(line):
            free, total, share, consumed, transient, _graphs = (_bytes(text) for text in match.groups())
            self.add(outside=total - free, share=share, consumed=consumed, transient=transient)
        elif match := _CPU_KV.search(line):
            self.add(pid=int(match[1]), kv_cache=_bytes(match[2]), share=_bytes(match[4]), consumed=_bytes(match[5]))


def _bytes(gib: str) -> int:
    return round(float(gib) * GIB)
