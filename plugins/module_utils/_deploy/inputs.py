# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inputs of a plan that only a host can tell: its machine, its models, and the memory that others hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._arguments import settings_from
from .._calibration.store import CalibrationStore
from .._errors import InferenceError
from .._gpu.health import apply_health_policy
from .._gpu.nvml import import_from, read_topology
from .._gpu.other_processes import own_pids, resident_bytes
from .._gpu.topology import Topology, gpu_used_by_others, node_used_by_others
from .._gpu.xid import with_xids
from .._host.systemd import RunCommand
from .._incidents.journal import Journal
from .._model.checkpoint import CONFIG, read_checkpoint
from .._model.model import Checkpoint, checkpoint_from_geometry
from .._plan.devices import device_id, is_unified
from .._plan.layout import Service
from .._plan.plan import Measured, Plan, Settings
from .._plan.planner import plan
from .._values import as_integer, shown


@dataclass(frozen=True)
class Machine:
    """A machine as it is planned for; ``usable`` is its topology after ``gpu_health`` had its say."""

    settings: Settings
    topology: Topology
    usable: Topology
    used_by_others: Mapping[str, int]
    records: Mapping[str, Measured]

    def plan(self, services: Sequence[Service], models: Mapping[str, Checkpoint], *, suggest: bool = True) -> Plan:
        """Return the plan of these services; ``suggest`` searches for changes that would fit where they do not."""
        return plan(
            services,
            self.usable,
            models,
            self.settings,
            self.used_by_others,
            records=self.records,
            suggest=suggest,
        )


def read_machine(params: Mapping[str, Any], run: RunCommand) -> Machine:
    """Return this host, or the machine that ``topology`` states, as a module's parameters describe it.

    ``topology`` and ``used_by_others`` may be absent. InferenceError for what is no machine.
    """
    stated = stated_bytes(params.get("used_by_others"))
    if params.get("topology") is not None:
        topology = Topology.from_dict(params["topology"])
        usable = apply_health_policy(params["gpu_health"], topology)
        return Machine(settings_from(params), topology, usable, stated, {})
    import_from(params["tools_dir"])
    settings = settings_from(params)
    topology, usable = read_usable_topology(params, Journal(run))
    others = {**read_used_by_others(topology, settings.accelerator), **stated}
    return Machine(settings, topology, usable, others, CalibrationStore().measured())


def read_usable_topology(params: Mapping[str, Any], journal: Journal) -> tuple[Topology, Topology]:
    """Return this host's topology, and the same after ``gpu_health`` has been applied."""
    topology = with_xids(read_topology(), journal.xids_since_boot())
    return topology, apply_health_policy(params["gpu_health"], topology)


# The way out where a model is not on the machine that plans.
ELSEWHERE = (
    "Fetch a model that is absent with the role vllm_models. To plan without it, state its shape as geometry of the "
    "service, or its config.json in geometry_files of the playbook plan. The playbook fits plans one model without a "
    "layout."
)


def read_models(services: Sequence[Service]) -> dict[str, Checkpoint]:
    """Return name -> model: read from its directory, from its stated geometry where there is no directory.

    A geometry stated for a model that is there overrides single values of its config.json, and with ``parameters`` or
    ``weights_bytes`` what its files weigh. Raises one InferenceError that lists every model that cannot be read.
    """
    models: dict[str, Checkpoint] = {}
    problems: list[str] = []
    for service in services:
        try:
            models[service.name] = _read_model(service)
        except InferenceError as error:
            problems.append(f"service {service.name!r}: {error}")
    if problems:
        absent = any(_is_absent(service) for service in services)
        raise InferenceError(" ".join([*problems, *([ELSEWHERE] if absent else [])]), errors=problems)
    return models


def read_used_by_others(topology: Topology, accelerator: str, proc: str = "/proc") -> Mapping[str, int]:
    """Return device id -> bytes that are in use on this host and not by a service of ours."""
    pids = own_pids(proc)
    if accelerator == "cpu":
        nodes = node_used_by_others(topology, resident_bytes(pids, proc))
        return {f"numa:{index}": size for index, size in nodes.items()}
    used = gpu_used_by_others(topology, pids)
    ours = [process.used_bytes or 0 for gpu in topology.gpus for process in gpu.processes if process.pid in pids]
    held = sum(node_used_by_others(topology, sum(ours) + resident_bytes(pids, proc)).values())
    return {device_id(gpu): held if is_unified(gpu) else used[gpu.index] for gpu in topology.gpus}


def _is_absent(service: Service) -> bool:
    return not (Path(service.model) / CONFIG).exists() and not service.geometry


def _read_model(service: Service) -> Checkpoint:
    stated = service.geometry or {}
    if _is_absent(service):
        raise InferenceError(f"there is no {service.model}/{CONFIG} on this machine.")
    if not (Path(service.model) / CONFIG).is_file() and stated:
        return checkpoint_from_geometry(stated)
    return read_checkpoint(service.model, stated)


def stated_bytes(used_by_others: Mapping[str, object] | None) -> dict[str, int]:
    """Return a user's own statement of what others use, in bytes; InferenceError for what is no size."""
    result = {}
    for device, size in (used_by_others or {}).items():
        number = as_integer(size)
        if number is None or number < 0:
            raise InferenceError(f"used_by_others: {shown(size)} for {device} is no number of bytes.")
        result[device] = number
    return result
