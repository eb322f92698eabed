# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs for tests of what is made of them: generated ones, and those that an engine on this project's CPU host gave."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import (
    EngineCounters,
    Environment,
    LoadShape,
    Memory,
    NotStarted,
    Quality,
    Request,
    RunIncident,
    RunResult,
    ServiceResult,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._report.statistics import schedule
from ansible_collections.llmops.inference.tests.unit.scene import GIB

ENVIRONMENT = Environment(
    host="generated", engine_version="0.32.0", accelerator="cuda", generation=7, devices=("GPU 2",)
)
LOAD = LoadShape(driver="vllm bench serve", mode="closed", concurrency=4, seed=7, warmup_requests=4)


def service(
    name: str = "mini", *, seed: int = 0, slower: float = 1.0, requests: int = 40, **changes: Any
) -> ServiceResult:
    """A service that answered requests, in a closed loop of four; ``slower`` stretches every time."""
    chance = random.Random(f"{name} {seed}")
    answered, clock = [], 0.0
    for number in range(requests):
        ttft = slower * 0.04 * math.exp(chance.gauss(0, 0.3))
        gap = slower * 0.010 * math.exp(chance.gauss(0, 0.1))
        whole = ttft + 63 * gap
        answered.append(
            Request(
                start_seconds=clock,
                status="completed",
                tokens_in=64,
                tokens_out=64,
                ttft_seconds=ttft,
                inter_token_seconds=gap,
                longest_gap_seconds=3 * gap,
                end_to_end_seconds=whole,
                client_queue_seconds=0.0,
            )
        )
        clock += whole / 4 if number % 4 == 3 else 0.0
    took = sum(one.end_to_end_seconds or 0.0 for one in answered) / 4
    made = ServiceResult(name, name, "standard", took, LOAD, tuple(answered))
    return replace(made, **changes)


def refused(name: str, **why: Any) -> ServiceResult:
    """A service that could not start."""
    cause = "Free memory on device (79.2/80.0 GiB) is less than desired GPU memory utilization (0.9999, 79.99 GiB)."
    return ServiceResult(
        name, name, "standard", 0.0, not_started=NotStarted(**{"kind": "memory_share_too_large", "cause": cause, **why})
    )


def run(*services: ServiceResult, number: int = 0, **changes: Any) -> RunResult:
    """A run of these services, or of a usual one; ``number`` places it in time."""
    made = RunResult(
        started=f"2026-11-23T{number // 60 % 24:02d}:{number % 60:02d}:00Z",
        environment=ENVIRONMENT,
        services=services or (service(seed=number),),
        memory=(memory(seed=number),),
    )
    return replace(made, **changes)


def memory(seed: int = 0, peak: float = 70.0) -> Memory:
    """Memory that rises to a peak on an 80 GiB card with a budget of 0.99."""
    chance = random.Random(seed)
    samples = tuple((float(n), int(GIB * (peak - 6 + 6 * min(1.0, n / 10) - chance.random()))) for n in range(30))
    return Memory("GPU-2", "GPU 2", 80 * GIB, int(79.2 * GIB), (*samples, (30.0, int(peak * GIB))))


def turns(rounds: int, *, slower: float = 1.0, noise: float = 0.02, seed: int = 1, **changes: Any) -> list[RunResult]:
    """Runs of two sides in turns on a machine that drifts; ``slower`` is what ``after`` takes longer."""
    chance = random.Random(seed)
    made: list[RunResult] = []
    drift = 0.0
    for number, order in enumerate(schedule(rounds, seed)):
        for side in order:
            drift = 0.8 * drift + chance.gauss(0, 0.03)
            factor = math.exp(drift + chance.gauss(0, noise)) * (slower if side == "after" else 1.0)
            place = len(made)
            made.append(
                run(service(seed=place, slower=factor), number=place, **{"side": side, "round": number, **changes})
            )
    return made


def eventful() -> list[RunResult]:
    """A comparison in which everything happens that a report can show: generated, of three services."""
    runs = []
    for one in turns(8, slower=0.8):
        number = int(one.started[14:16])
        side = one.side or ""
        quality = Quality(9.41 if side == "before" else 9.64, 21.3 if side == "before" else 12.8, 2048, 60000)
        mini = replace(one.services[0], quality=quality, engine=EngineCounters(preemptions=number % 3))
        medium = service("medium", seed=number, slower=3.0)
        micro = service("micro", seed=number, slower=0.4)
        if side == "before":
            micro = refused("micro", needed_bytes=85890755952, available_bytes=85040352460)
        broken = replace(mini.requests[-1], status="aborted", end_to_end_seconds=None, error="ServerDisconnectedError")
        incidents: Sequence[RunIncident] = ()
        if side == "before" and (one.round or 0) % 2 == 0:
            mini = replace(mini, requests=(*mini.requests[:-1], broken), restarts=1)
            incidents = (RunIncident("out_of_device_memory", 12.5, "mini", "CUDA out of memory."),)
        environment = replace(one.environment, profile=side, generation=6 + (side == "after"))
        runs.append(
            replace(
                one,
                environment=environment,
                services=(medium, mini, micro),
                incidents=tuple(incidents),
                memory=(memory(number, 78.9 if side == "before" else 74.0),),
                energy_joules=9000.0 + 40 * number,
            )
        )
    return runs
