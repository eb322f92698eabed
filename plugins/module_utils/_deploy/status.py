# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of a host: its generations, its services, and their incidents, as vllm_deployment_info returns them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .._calibration.gauge import Gauge, actual, predicted
from .._engine.api import generate
from .._errors import InferenceError
from .._generation.files import File, endpoints, tickets
from .._generation.serving import read_plan
from .._gpu.nvml import read_topology
from .._gpu.xid import pci_address
from .._host.lock import holder
from .._incidents.history import history, window
from .._places import PLAN_FILE
from .._plan.plan import Plan, PlannedService
from . import kept
from .changes import Observed
from .deployment import MEASURED_TOKENS
from .host import Host
from .rows import service_row


def describe(host: Host, measure: bool, since: str) -> dict[str, Any]:
    """What is deployed, how it is and what went wrong ``since``, as vllm_deployment_info returns it."""
    files = host.store.in_force()
    made = files.get(PLAN_FILE)
    interrupted = host.record.read()
    observed = host.deployment().observe(files, ask=False)
    in_force = read_plan(files)
    planned = {item.name: item for item in in_force.services} if in_force else {}
    # In start order, and behind them whatever the plan does not know.
    names = [*planned, *(name for name in observed if name not in planned)]
    services = [_describe_one(host, name, observed[name], planned.get(name), files, measure=measure) for name in names]
    return {
        "generation": host.store.current(),
        "generations": kept.describe_generations(host.store, interrupted, host.podman.has_image),
        "transaction": None if interrupted is None else {**vars(interrupted), "holder": holder()},
        "plan": json.loads(made.text) if made else None,
        "services": [
            {**service, **_memory(host, service, planned.get(service["name"]), in_force, files)} for service in services
        ],
        **history(host.journal, names, _gpu_addresses(planned), window(since)),
    }


def _describe_one(
    host: Host, name: str, found: Observed, planned: PlannedService | None, files: Mapping[str, File], *, measure: bool
) -> dict[str, Any]:
    ticket = tickets(files).get(name)
    address = endpoints(files).get(name)
    brought, problem = None, found.problem
    # Active means that the first of its hosts has generated a token; asking is that host's.
    serves_elsewhere = ticket is not None and not ticket.answers and found.state.is_active
    if measure and address is not None:
        try:
            brought = generate(address, MEASURED_TOKENS, host.params["gate_timeout"])
        except InferenceError as error:
            problem = str(error)
    return {
        **service_row(name, planned, address, brought),
        "state": "serving" if brought or serves_elsewhere else found.state.active,
        "active": found.state.active,
        "restarts": found.state.restarts,
        "main_pid": found.state.main_pid,
        "as_configured": ticket is not None and found.digest == ticket.digest,
        "healthy": brought is not None or serves_elsewhere if measure else None,
        "problem": problem,
    }


def _memory(
    host: Host,
    service: Mapping[str, Any],
    planned: PlannedService | None,
    made: Plan | None,
    files: Mapping[str, File],
) -> dict[str, Any]:
    """What the plan expected a service to use, and what it uses since it started."""
    if made is None or planned is None:
        return {"predicted": None, "actual": None}
    if service["active"] != "active" or not service["as_configured"]:
        return {"predicted": predicted(planned), "actual": None}
    start = Gauge(made, host.systemd, endpoints(files)).read(planned.name, just_started=False)
    recorded = host.calibration().starts(planned.calibration_key) if planned.calibration_key else []
    return {"predicted": predicted(planned), "actual": actual(start, recorded[-1] if recorded else None)}


def _gpu_addresses(planned: Mapping[str, PlannedService]) -> dict[str, list[str]]:
    """The PCI addresses of every service's GPUs, as the kernel writes them."""
    addresses = {gpu.uuid: pci_address(gpu.pci_bus_id) for gpu in read_topology().gpus if gpu.pci_bus_id}
    return {name: [addresses[d] for d in item.devices if d in addresses] for name, item in planned.items()}
