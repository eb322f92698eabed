# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at an engine host for Prometheus: what is active, how its units are, what went wrong. Run by a timer.

What no exporter knows, because it follows from the active generation and from the taxonomy of incidents. It needs to
read the journal and the generation, and nothing else: no GPU, no network, no secret.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import _files
from .._generation.active import InForce, read_in_force
from .._gpu.numa import read_numa_nodes
from .._gpu.other_processes import resident_bytes, unit_pids
from .._gpu.xid import pci_address
from .._host.systemd import Systemd, UnitState, run_command
from .._incidents.counts import SETTLED_SECONDS, IncidentCounts, read_counts
from .._incidents.episodes import Life
from .._incidents.history import read_episodes
from .._incidents.journal import Journal
from .._incidents.signatures import KINDS
from .._places import Paths
from .exposition import MetricFamily, Samples, exposition

INCIDENTS_FILE = Path("/var/lib/vllm-metrics/incidents.json")
METRICS_FILE = Path("/run/vllm-metrics/host.prom")

# Longer than all attempts of a start that fails: they are one incident.
_WINDOW_SECONDS = 4 * 3600.0
_UNIT_STATES = ("active", "activating", "deactivating", "failed", "inactive", "reloading")
# What can happen to a host without hitting a service.
_HOST_KINDS = ("device_lost", "host_oom_kill", "xid")
_DRIVER_GPUS = "/proc/driver/nvidia/gpus"


def write_metrics() -> None:
    """Write what there is to know now; the counts are kept before they are shown."""
    now = time.time()
    in_force = read_in_force(Paths())
    counts = count_incidents(Journal(run_command), in_force, read_counts(INCIDENTS_FILE, now), now)
    _files.replace(INCIDENTS_FILE, counts.to_json(), 0o600)
    states = Systemd(run_command).states(list(in_force.tickets))
    resident = {name: resident_bytes(unit_pids(name)) for name in in_force.tickets}
    _files.replace(METRICS_FILE, exposition(families(in_force, states, counts, resident, now)), 0o644)


def count_incidents(journal: Journal, in_force: InForce, counts: IncidentCounts, now: float) -> IncidentCounts:
    """Return the counts until a moment ago. The whole window is read only when something was written since."""
    services, until = list(in_force.tickets), now - SETTLED_SECONDS
    if not journal.lives(services, counts.until) and not journal.kernel(counts.until):
        return counts.counted([], [], until)
    told: Sequence[Life]
    told, episodes = read_episodes(journal, services, _addresses(in_force), counts.until - _WINDOW_SECONDS)
    return counts.counted(told, episodes, until)


def families(
    in_force: InForce,
    states: Mapping[str, UnitState],
    counts: IncidentCounts,
    resident: Mapping[str, int],
    now: float,
) -> list[MetricFamily]:
    """Return the metrics of a host. ``resident`` is the host memory of each service in bytes, ``now`` a Unix time.

    Counters are there with 0 before anything happened: Prometheus sees an increase only of what it has seen before.
    """
    services = sorted(in_force.tickets)
    restarts = [({"service": name}, float(counts.restarts.get(name, 0))) for name in services]
    shown = [
        ({"service": name, "state": state}, float(states[name].active == state))
        for name in services
        for state in _UNIT_STATES
    ]
    number: Samples = [] if in_force.number is None else [({}, float(in_force.number))]
    memory = [({"service": name}, float(resident[name])) for name in services]
    return [
        MetricFamily("llmops_look_timestamp_seconds", "gauge", "When this was written, in Unix time.", [({}, now)]),
        MetricFamily("llmops_generation", "gauge", "The number of the active generation.", number),
        MetricFamily("llmops_service_info", "gauge", "A service of the active generation; always 1.", _infos(in_force)),
        MetricFamily("llmops_service_state", "gauge", "Whether the unit of a service is in this state.", shown),
        MetricFamily("llmops_service_restarts_total", "counter", "Restarts that nobody asked for.", restarts),
        MetricFamily(
            "llmops_incidents_total", "counter", "Incidents by service and cause.", _incidents(services, counts)
        ),
        MetricFamily(
            "llmops_service_resident_bytes", "gauge", "Host memory that a service holds, without files.", memory
        ),
        *_plan_families(in_force),
    ]


def _infos(in_force: InForce) -> Samples:
    version = (in_force.plan.engine_version if in_force.plan else None) or ""
    return [
        (
            {
                "service": name,
                "model": ticket.model,
                "generation": str(in_force.number),
                "engine_version": version,
            },
            1.0,
        )
        for name, ticket in sorted(in_force.tickets.items())
    ]


def _incidents(services: Sequence[str], counts: IncidentCounts) -> Samples:
    """Services that left the generation keep what was counted of them."""
    known = {**dict.fromkeys(services, KINDS), "": _HOST_KINDS}
    rows = []
    for service in sorted({*known, *counts.incidents}):
        counted = counts.incidents.get(service, {})
        for kind in dict.fromkeys([*known.get(service, ()), *counted]):
            rows.append(({"service": service, "kind": kind}, float(counted.get(kind, 0))))
    return rows


def _plan_families(in_force: InForce) -> list[MetricFamily]:
    plan = in_force.plan
    if plan is None:
        return []
    by_service = [
        ({"service": service.name, "device": device}, float(sum(service.memory.values())))
        for service in plan.services
        for device in service.devices
    ]
    # NVML's exporter reports GPUs; of NUMA nodes nobody does in the engine's own terms.
    nodes = {f"numa:{node.index}": node for node in read_numa_nodes()} if plan.accelerator == "cpu" else {}
    used = [
        ({"device": device.id}, float(nodes[device.id].memory_total_bytes - nodes[device.id].memory_free_bytes))
        for device in plan.devices
        if device.id in nodes
    ]
    planned = [
        ({"device": device.id}, float(device.committed_bytes + device.used_by_others_bytes)) for device in plan.devices
    ]
    total = [({"device": device.id, "name": device.name}, float(device.total_bytes)) for device in plan.devices]
    return [
        MetricFamily("llmops_service_planned_bytes", "gauge", "What the plan gives a service on a device.", by_service),
        MetricFamily("llmops_device_planned_bytes", "gauge", "What the plan expects in use on a device.", planned),
        MetricFamily("llmops_device_total_bytes", "gauge", "The memory of a device.", total),
        MetricFamily("llmops_device_used_bytes", "gauge", "Memory in use on a NUMA node that engines run on.", used),
    ]


def _addresses(in_force: InForce) -> dict[str, list[str]]:
    """Return the PCI addresses of every service's GPUs, as the kernel writes them."""
    known = gpu_addresses()
    planned = in_force.plan.services if in_force.plan else ()
    return {item.name: [known[device] for device in item.devices if device in known] for item in planned}


def gpu_addresses(root: str = _DRIVER_GPUS) -> dict[str, str]:
    """Return the PCI address of every GPU by its UUID, out of what the driver shows in /proc; empty without one."""
    found = {}
    for path in Path(root).glob("*/information"):
        fields = dict(line.split(":", 1) for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)
        uuid, bus = fields.get("GPU UUID", "").strip(), fields.get("Bus Location", "").strip()
        if uuid and bus:
            found[uuid] = pci_address(bus)
    return found
