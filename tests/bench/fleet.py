# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml on a fleet of 200 hosts on one machine: wall against forks, controller CPU and memory against hosts.

The hosts are mount namespaces on one systemd machine, a container. Each has its own /etc/vllm, /var/lib/vllm and
/run/llmops-inference (configuration, state, lock); systemd and the one real engine are shared. A run that changes
nothing does on each all that it does on a machine of its own, up to the tokens that it asks the engine for. Hosts and
controller share this machine's cores, so that a wall is that of both. Writes figures/fleet.json and exits with 1 where
a host costs more among many, or where one that fails holds up the others.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict
from typing import Any

from ansible_collections.llmops.inference.tests.bench import measuring
from ansible_collections.llmops.inference.tests.bench.measuring import MEBIBYTE, ROOT, Ran, play, run, succeed

INVENTORY = ROOT / "build" / "bench" / "fleet.json"
BOX, ABSENT = "bench-fleet", "bench-absent"
ADDRESS = "10.89.96.143"
MACHINE = {"ansible_connection": "containers.podman.podman", "ansible_python_interpreter": "/usr/bin/python3"}
SERVICES = {
    "vllm_runtime_accelerator": "cpu",
    "vllm_models_list": [{"name": "qwen3-micro", "path": "/srv/models/qwen3-micro"}],
    "vllm_services_gpu_memory_budget": 0.3,
    "vllm_services_profiles": {"after": {}},
    "vllm_services_layout": [
        {
            "name": "micro",
            "model": "/srv/models/qwen3-micro",
            "port": 8001,
            "gpu_memory_utilization": 0.05,
            "max_model_len": 1024,
            "max_num_seqs": 16,
            "engine_args": {"enforce-eager": True, "dtype": "bfloat16"},
        }
    ],
}

FORKS, HOSTS = 25, 50  # where the other of the two is varied
MOST_GROWTH = 1.25  # of the controller's CPU per host, from the fewest hosts to the most
MOST_HELD = 1.15  # of the wall, where one host of all does not answer


def write_inventory(hosts: int, absent: int = 0) -> str:
    """Write an inventory of so many hosts, of which the first ``absent`` do not answer, and return its path."""
    names = [f"host-{number:04d}" for number in range(hosts)]
    fleet = {
        name: {
            "ansible_host": ABSENT if number < absent else BOX,
            "ansible_python_interpreter": f"/srv/hosts/{name}",
        }
        for number, name in enumerate(names)
    }
    content = {"vllm": {"vars": {**MACHINE, **SERVICES}, "hosts": fleet}}
    INVENTORY.write_text(json.dumps(content), encoding="utf-8")
    return str(INVENTORY)


def build(hosts: int) -> None:
    """Deploy the one machine, and make of it so many hosts."""
    INVENTORY.parent.mkdir(parents=True, exist_ok=True)
    options = {"testbed_options": [f"--ip={ADDRESS}", "--engine", "--models"]}
    content = {"testbed": {"hosts": {BOX: {**MACHINE, **SERVICES, **options}}}, "vllm": {"hosts": {BOX: {}}}}
    INVENTORY.write_text(json.dumps(content), encoding="utf-8")
    for playbook in ("tests/testbed/create.yml", "site.yml"):
        play(str(INVENTORY), playbook)
    enter = ROOT / "tests" / "bench" / "on_host" / "enter_host"
    succeed(["podman", "cp", str(enter), f"{BOX}:/srv/enter_host"])
    make = f"""set -eu
        mkdir -p /srv/hosts
        for number in $(seq -f %04.0f 0 {hosts - 1}); do
          own=/srv/fleet/host-$number
          mkdir -p $own/etc $own/var/lib/vllm $own/run/llmops-inference
          cp -a /etc/vllm $own/etc/
          ln -s /srv/enter_host /srv/hosts/host-$number
        done"""
    succeed(["podman", "exec", BOX, "sh", "-c", make])


def remove() -> None:
    """Leave nothing of it."""
    run([str(ROOT / "tests" / "testbed" / "host"), "down", BOX])


def recaps(ran: Ran) -> list[dict[str, int]]:
    """Return the counts of every host of a play."""
    lines = re.findall(r"^\S+\s+: (ok=.*)$", ran.output, re.MULTILINE)
    return [{name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", line)} for line in lines]


def measure(hosts: int, forks: int, absent: int = 0) -> dict[str, Any]:
    """Return what a run costs that changes nothing; all hosts that answer must end well."""
    ran = run(["ansible-playbook", "--inventory", write_inventory(hosts, absent), "site.yml", f"--forks={forks}"])
    counts = recaps(ran)
    ended = [count for count in counts if not count["failed"] + count["unreachable"] + count["changed"]]
    if len(counts) != hosts or len(ended) != hosts - absent:
        raise SystemExit(f"{len(ended)} of {hosts} hosts ended well:\n{ran.output[-4000:]}")
    found = {"hosts": hosts, "forks": forks, "absent": absent, **asdict(ran.cost)}
    print(json.dumps(found), flush=True)
    return found


def complaints(by_hosts: list[dict[str, Any]], absent: dict[str, Any]) -> list[str]:
    """Return, in a sentence each, what costs too much."""
    found = []
    first, last = (point["cpu"] / point["hosts"] for point in (by_hosts[0], by_hosts[-1]))
    if last > MOST_GROWTH * first:
        found.append(f"a host costs {last / first:.2f} times the CPU among {by_hosts[-1]['hosts']}.")
    like = next(point for point in by_hosts if point["hosts"] == absent["hosts"])
    if absent["wall"] > MOST_HELD * like["wall"]:
        found.append(f"one host that does not answer makes the run {absent['wall'] / like['wall']:.2f} times as long.")
    return found


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[HOSTS, 100, 200], help="points of the curve of hosts")
    parser.add_argument("--forks", type=int, nargs="+", default=[5, 10, 50], help="points of the curve of forks")
    arguments = parser.parse_args()
    try:
        build(max(*arguments.hosts, HOSTS))
        by_hosts = [measure(hosts, FORKS) for hosts in arguments.hosts]
        by_forks = [measure(HOSTS, forks) for forks in arguments.forks]
        absent = measure(HOSTS, FORKS, absent=1)
    finally:
        remove()
    measuring.keep("fleet", "make bench-fleet", {"by_hosts": by_hosts, "by_forks": by_forks, "absent": absent})
    per_host = (by_hosts[-1]["peak"] - by_hosts[0]["peak"]) / (by_hosts[-1]["hosts"] - by_hosts[0]["hosts"])
    print(f"{per_host / MEBIBYTE:.2f} MiB of the controller's memory per host")
    found = complaints(by_hosts, absent)
    for line in found:
        print(f"fleet: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
