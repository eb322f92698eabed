# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long plans take: a curve over the number of hosts, each of 8 GPUs and 12 services, no two alike.

Printed are the time of the planner alone, the time from what an inventory holds to what a module returns
(layout, topology and geometries parsed, the plan as JSON types), and both as multiples of a baseline that is
taken in the same run: reading and writing the same plans as JSON. Seconds are those that the process computed,
whatever else the machine does. A whole curve is kept in figures/plans.json. Exits with 1 where the planner is too slow.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Settings
from ansible_collections.llmops.inference.plugins.module_utils._plan.planner import plan
from ansible_collections.llmops.inference.tests.bench import measuring
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_1_7B,
    QWEN3_8B,
    QWEN3_32B,
    YARN,
    gpus,
    models,
    parsed,
    service,
)

GPUS = 8
MODELS = [QWEN3_32B] * 2 + [QWEN3_8B] * 4 + [QWEN3_1_7B] * 6
MILLISECONDS_PER_HOST = 5.0
SECONDS_PER_1000_HOSTS = 5.0
GROWTH = 1.5  # of the time per host, from the second point of the curve to the last
CURVE = (1, 10, 100, 1_000, 10_000)


def host(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the topology and the layout of one host; cards, links, use and layout follow from ``seed``."""
    chance = random.Random(seed)
    described = gpus(*[chance.choice([80, 94, 141])] * GPUS)
    for gpu in described:
        gpu["memory_used_bytes"] = chance.randrange(2 * GIB)
        gpu["numa_node"] = gpu["index"] // 4
    joined = chance.choice(["NVLINK", "PIX"]), chance.choice(["NVLINK", "NODE"]), chance.choice(["NVLINK", "SYS"])
    links = [
        {"a": a, "b": b, "level": joined[0 if a // 2 == b // 2 else 1 if a // 4 == b // 4 else 2], "p2p_read": "ok"}
        for a, b in combinations(range(GPUS), 2)
    ]
    layout = []
    for number, geometry in enumerate(MODELS):
        keys = {"gpus": {"count": 2}} if geometry is QWEN3_32B else {}
        length = chance.choice(["fit", "fit", 32768, chance.randrange(8192, 32768)])
        layout.append(service(f"s{number}", geometry, rope=YARN, max_model_len=length, **keys))
    return {"driver_loaded": True, "gpus": described, "links": links}, layout


@dataclass
class Times:
    """Seconds that some hosts took, summed, and each plan of them."""

    hosts: int = 0
    refused: int = 0
    planning: float = 0.0
    whole: float = 0.0
    baseline: float = 0.0
    every: list[float] = field(default_factory=list)

    def take(self, seed: int) -> None:
        """Plan one host; making it up is not counted."""
        described, layout = host(seed)
        began = time.process_time()
        topology, services = Topology.from_dict(described), parsed(layout)
        known = models(services)
        ready = time.process_time()
        result = plan(services, topology, known, Settings())
        planned = time.process_time()
        data = result.to_dict()
        done = time.process_time()
        json.loads(json.dumps(data))
        self.baseline += time.process_time() - done
        self.hosts += 1
        self.refused += not result.fits
        self.planning += planned - ready
        self.whole += done - began
        self.every.append(planned - ready)

    @property
    def per_host(self) -> float:
        """Milliseconds of the planner per host."""
        return 1000 * self.planning / self.hosts


def measure(hosts: int) -> Times:
    """Return the times of so many hosts, one after the other in this process."""
    times = Times()
    for seed in range(hosts):
        times.take(seed)
    return times


def print_curve(curve: Sequence[int]) -> list[Times]:
    """Measure and print one line per point."""
    print(f"{GPUS} GPUs and {len(MODELS)} services per host; baseline: the same plans read and written as JSON")
    print("  hosts   seconds  ms/host   median  slowest   x baseline  | whole s  ms/host   x baseline")
    measure(20)  # imports, caches of patterns: not what a fleet pays per host
    result = []
    for hosts in curve:
        times = measure(hosts)
        every = sorted(times.every)
        print(
            f"{hosts:7d} {times.planning:9.3f} {times.per_host:8.2f} {1000 * every[hosts // 2]:8.2f} "
            f"{1000 * every[-1]:8.2f} {times.planning / times.baseline:12.1f}  |"
            f"{times.whole:8.3f} {1000 * times.whole / hosts:8.2f} {times.whole / times.baseline:12.1f}",
            flush=True,
        )
        result.append(times)
    return result


def complaints(result: Sequence[Times]) -> list[str]:
    """Return, in a sentence each, what is slower than it may be."""
    found = []
    for times in result:
        median = 1000 * sorted(times.every)[times.hosts // 2]
        if times.hosts >= 100 and median > MILLISECONDS_PER_HOST:
            found.append(f"half of {times.hosts} hosts take {median:.2f} ms and more; {MILLISECONDS_PER_HOST} at most.")
        if times.hosts == 1_000 and times.planning > SECONDS_PER_1000_HOSTS:
            found.append(f"1,000 hosts take {times.planning:.2f} s; {SECONDS_PER_1000_HOSTS} at most.")
        if times.refused:
            found.append(f"{times.refused} of {times.hosts} hosts were refused; they are made to fit.")
    long = [times for times in result if times.hosts >= 100]
    if long:
        first, last = (times.planning / times.baseline for times in (long[0], long[-1]))
        if last > GROWTH * first:
            found.append(
                f"a host takes {last / first:.2f} times as long among {long[-1].hosts} as among {long[0].hosts}."
            )
    return found


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=CURVE, help="points of the curve")
    curve = parser.parse_args().hosts
    result = print_curve(curve)
    if tuple(curve) == CURVE:
        points = [
            {"hosts": times.hosts, "baseline_ratio": times.planning / times.baseline, "milliseconds": times.per_host}
            for times in result
        ]
        measuring.keep("plans", "make bench-plan-speed", {"curve": points})
    found = complaints(result)
    for line in found:
        print(f"plan_speed: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
