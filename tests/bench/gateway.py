# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway adds to an engine: time to the first token, and throughput, through it and beside it in one run.

Makes a test host with a real engine and the gateway, measures there (gateway_load.py), writes docs/gateway-overhead.md
and exits with 1 where the gateway costs more than it may.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "gateway-overhead.md"
HOST = "gateway-bench"
INVENTORY = "tests/bench/gateway_hosts.yml"
ENGINE = "/opt/vllm/0.32.0"

MOST_ADDED_MILLISECONDS = 2.0  # to the first token, at the median
LEAST_THROUGHPUT = 0.98  # of direct


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    pairs: int = 400
    rounds: int = 16
    requests: int = 32
    abreast: int = 16
    tokens: int = 64


@dataclass(frozen=True)
class Result:
    """What came of it. Times are in milliseconds, throughput in tokens per second."""

    direct_first: Sequence[float]
    through_first: Sequence[float]
    direct_rounds: Sequence[float]
    through_rounds: Sequence[float]
    ratio: float

    @property
    def added(self) -> float:
        """What the gateway adds to the first token at the median."""
        return statistics.median(self.through_first) - statistics.median(self.direct_first)


def result_of(measured: dict[str, Any]) -> Result:
    """Return the figures of what gateway_load.py printed."""
    first, rounds = measured["first_token_seconds"], measured["rounds"]
    speed = {way: sum(r[0] for r in rounds[way]) / sum(r[1] for r in rounds[way]) for way in rounds}
    return Result(
        direct_first=[1000 * seconds for seconds in first["direct"]],
        through_first=[1000 * seconds for seconds in first["through"]],
        direct_rounds=[tokens / seconds for tokens, seconds in rounds["direct"]],
        through_rounds=[tokens / seconds for tokens, seconds in rounds["through"]],
        ratio=speed["through"] / speed["direct"],
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def page(result: Result, plan: Plan, versions: str) -> str:
    """Return the page of a result."""
    first = [
        f"| {name} | " + " | ".join(f"{quantile(values, share):.2f}" for share in (0.5, 0.9, 0.99)) + " |"
        for name, values in (("direct", result.direct_first), ("through", result.through_first))
    ]
    rounds = [
        f"| {name} | {statistics.median(values):.0f} | {min(values):.0f} | {max(values):.0f} |"
        for name, values in (("direct", result.direct_rounds), ("through", result.through_rounds))
    ]
    return "\n".join(
        [
            "# What the gateway costs",
            "",
            "Written by `make bench-gateway`; not by hand.",
            "",
            "A real engine and the gateway on one host, asked directly over HTTP and through the gateway over TLS,",
            f"in turns in one run. {versions}",
            "",
            f"Time to the first token of {plan.pairs} single requests each way, in milliseconds:",
            "",
            "| | p50 | p90 | p99 |",
            "|---|---|---|---|",
            *first,
            "",
            f"**Added at the median: {result.added:.2f} ms** (at most {MOST_ADDED_MILLISECONDS:.0f} ms).",
            "",
            f"Tokens per second of {plan.rounds} rounds each way, {plan.requests} requests of {plan.tokens} tokens, "
            f"{plan.abreast} abreast:",
            "",
            "| | median | slowest | fastest |",
            "|---|---|---|---|",
            *rounds,
            "",
            f"**Through the gateway / direct, all rounds together: {result.ratio:.3f}** (at least {LEAST_THROUGHPUT}).",
            "",
        ]
    )


def complaints(result: Result) -> list[str]:
    """Return, in a sentence each, what costs too much."""
    found = []
    if result.added >= MOST_ADDED_MILLISECONDS:
        found.append(
            f"it adds {result.added:.2f} ms to the first token; less than {MOST_ADDED_MILLISECONDS} is wanted."
        )
    if result.ratio < LEAST_THROUGHPUT:
        found.append(f"throughput is {result.ratio:.3f} of direct; {LEAST_THROUGHPUT} at least is wanted.")
    return found


def run(*command: str) -> str:
    """Run a command in the checkout and return what it printed; its errors are shown."""
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def versions_of() -> str:
    """Return what was measured with, as a sentence."""
    haproxy = run("podman", "exec", HOST, "haproxy", "-v").split()[2]
    engine = json.loads(run("podman", "exec", HOST, "cat", f"{ENGINE}/engine.json"))
    return (
        f"{engine['distribution']} {engine['version']} (qwen3-medium, random weights), HAProxy {haproxy}, "
        f"Linux {platform.release()}, {os.cpu_count()} cores."
    )


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the host, for another run")
    arguments = parser.parse_args()
    plan = Plan()
    for playbook in ("tests/testbed/create.yml", "site.yml"):
        run("ansible-playbook", "--inventory", INVENTORY, playbook)
    try:
        load = (ROOT / "tests/bench/gateway_load.py").read_text(encoding="utf-8")
        command = ["podman", "exec", "--interactive", HOST, f"{ENGINE}/bin/python", "-", json.dumps(asdict(plan))]
        measured = subprocess.run(command, input=load, check=True, stdout=subprocess.PIPE, text=True).stdout
        result = result_of(json.loads(measured))
        text = page(result, plan, versions_of())
    finally:
        if not arguments.keep:
            run("ansible-playbook", "--inventory", INVENTORY, "tests/testbed/destroy.yml")
    print(text)
    PAGE.write_text(text, encoding="utf-8")
    found = complaints(result)
    for line in found:
        print(f"gateway: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
