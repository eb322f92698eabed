# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run costs that changes nothing: site.yml on a deployed host, beside a plain playbook and a ping, in one run.

A host with three services of the real engine, then one with twelve. On each, in turns: ``ansible -m ping``,
``site.yml``, and a playbook of plain tasks that does the same for the same services (plain/site.yml). Writes
figures/no-change.json and exits with 1 where it costs more than it may.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ansible_collections.llmops.inference.tests.bench import measuring
from ansible_collections.llmops.inference.tests.bench.measuring import ROOT, Cost, Ran, median, play, succeed

INVENTORY = ROOT / "build" / "bench" / "no-change.json"
SITE, PLAIN = "site.yml", "tests/bench/plain/site.yml"
ADDRESS = "10.89.96.140"

MOST_TASKS = 12
PINGS, PINGS_SECONDS = 4.0, 1.0  # the wall may be so many times that of a ping, plus so many seconds
LEAST_GAIN = 5.0  # over the plain playbook, with the fewest services
MOST_GROWTH = 1.1  # of the controller's CPU, from the fewest services to the most


def inventory(services: int) -> dict[str, Any]:
    """Return a host with so many services of the smallest model, each with a small share of the memory."""
    layout = [
        {
            "name": f"s{number}",
            "model": "/srv/models/qwen3-micro",
            "port": 8000 + number,
            "gpu_memory_utilization": 0.04,
            "max_model_len": 1024,
            "max_num_seqs": 2,
            "engine_args": {"enforce-eager": True, "dtype": "bfloat16"},
        }
        for number in range(1, services + 1)
    ]
    variables = {
        "ansible_connection": "containers.podman.podman",
        "ansible_python_interpreter": "/usr/bin/python3",
        "testbed_options": [f"--ip={ADDRESS}", "--engine", "--models"],
        "vllm_runtime_accelerator": "cpu",
        "vllm_models_list": [{"name": "qwen3-micro", "path": "/srv/models/qwen3-micro"}],
        "vllm_services_gpu_memory_budget": 0.6,
        "vllm_services_profiles": {"after": {}},
        "vllm_services_layout": layout,
    }
    name = f"bench-{services}"
    return {"testbed": {"hosts": {name: variables}}, "vllm": {"hosts": {name: {}}}}


def recap(ran: Ran) -> dict[str, int]:
    """Return the counts of the one host of a play."""
    (line,) = re.findall(r"^\S+\s+: (ok=.*)$", ran.output, re.MULTILINE)
    return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", line)}


def unchanged(ran: Ran) -> Ran:
    """Return a run that changed nothing; SystemExit for another."""
    if recap(ran)["changed"]:
        raise SystemExit(f"a run that should change nothing did:\n{ran.output}")
    return ran


def measure(services: int, rounds: int) -> dict[str, Any]:
    """Deploy so many services, and return what each way costs at the median."""
    INVENTORY.parent.mkdir(parents=True, exist_ok=True)
    INVENTORY.write_text(json.dumps(inventory(services)), encoding="utf-8")
    hosts = str(INVENTORY)
    play(hosts, "tests/testbed/create.yml")
    try:
        for playbook in (SITE, PLAIN):
            play(hosts, playbook)
        runs: dict[str, list[Ran]] = {"ping": [], "site": [], "plain": []}
        for _round in range(rounds):
            runs["ping"].append(succeed(["ansible", "--inventory", hosts, "vllm", "--module-name", "ping"]))
            runs["site"].append(unchanged(play(hosts, SITE)))
            runs["plain"].append(unchanged(play(hosts, PLAIN)))
        counts = recap(runs["site"][-1])
        return {
            "services": services,
            "rounds": rounds,
            "tasks": counts["ok"],
            "skipped": counts["skipped"],
            "plain_tasks": recap(runs["plain"][-1])["ok"],
            **{way: asdict(median([ran.cost for ran in ended])) for way, ended in runs.items()},
        }
    finally:
        play(hosts, "tests/testbed/destroy.yml")


def complaints(results: Sequence[dict[str, Any]]) -> list[str]:
    """Return, in a sentence each, what costs too much."""
    found = []
    gains = []
    for result in results:
        ping, site, plain = (Cost(**result[way]) for way in ("ping", "site", "plain"))
        gains.append(plain.wall / site.wall)
        if result["tasks"] > MOST_TASKS:
            found.append(f"{result['tasks']} tasks with {result['services']} services; {MOST_TASKS} at most.")
        if site.wall > PINGS * ping.wall + PINGS_SECONDS:
            found.append(
                f"{site.wall:.2f} s with {result['services']} services, and a ping takes {ping.wall:.2f} s; "
                f"{PINGS:.0f} pings and {PINGS_SECONDS:.0f} s at most."
            )
    if gains[0] < LEAST_GAIN:
        found.append(f"{gains[0]:.1f} times as fast as plain tasks; {LEAST_GAIN:.0f} at least.")
    if gains[-1] < gains[0]:
        found.append(f"the gain falls from {gains[0]:.1f} to {gains[-1]:.1f} with more services.")
    growth = results[-1]["site"]["cpu"] / results[0]["site"]["cpu"]
    if growth > MOST_GROWTH:
        found.append(f"the controller's CPU grows {growth:.2f} times from the fewest services to the most.")
    return found


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, nargs="+", default=[3, 12], help="how many services a host has")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is measured")
    arguments = parser.parse_args()
    results = [measure(services, arguments.rounds) for services in arguments.services]
    measuring.keep("no-change", "make bench-no-change", {"results": results})
    print(json.dumps(results, indent=1))
    found = complaints(results)
    for line in found:
        print(f"no_change: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
