# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running service really uses: from its journal, its metrics, its processes and NVML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable

from .._engine.api import read_metrics
from .._engine.endpoint import Endpoint
from .._engine.startup_log import ROUNDING_BYTES, StartupLog, read_startup_log
from .._errors import InferenceError
from .._gpu.nvml import read_topology
from .._gpu.other_processes import numbered, resident_bytes, unit_pids
from .._gpu.topology import gpu_used_by_others
from .._host.systemd import Systemd
from .._plan.plan import Plan, PlannedService
from .._plan.shares import to_units, units_bytes
from .records import Usage, usage
from .store import CalibrationStore

_BLOCKS = re.compile(r'^vllm:cache_config_info\{.*\bnum_gpu_blocks="(\d+)"', re.MULTILINE)


class Gauge:
    """Reads what the services of a plan use on this host."""

    def __init__(self, plan: Plan, systemd: Systemd, endpoints: Mapping[str, Endpoint], proc: str = "/proc") -> None:
        self._plan = plan
        self._systemd = systemd
        self._endpoints = endpoints
        self._proc = proc

    def read(self, name: str, just_started: bool) -> Usage:
        """Return what a service used when it started.

        Bytes outside its share can be told from those of its neighbours only when it has ``just_started``.
        """
        planned = self._plan.service(name)
        log = read_startup_log(self._systemd.startup(name))
        blocks = count_blocks(read_metrics(self._endpoints[name])) if name in self._endpoints else None
        outside = self._outside(planned, log, blocks or 0) if just_started else None
        return usage(self._share(planned), planned.kv_block_bytes, log, blocks, outside)

    def _outside(self, planned: PlannedService, log: StartupLog, blocks: int) -> int | None:
        if self._plan.accelerator == "cpu":
            return self._outside_on_cpu(planned, log, blocks * planned.kv_block_bytes)
        return self._outside_on_cuda(planned, log)

    def _share(self, planned: PlannedService) -> int:
        units = to_units(planned.gpu_memory_utilization)
        totals = [device.total_bytes for device in self._plan.devices if device.id in planned.devices]
        return min(units_bytes(units, total) for total in totals)

    def _outside_on_cuda(self, planned: PlannedService, log: StartupLog) -> int | None:
        """What was gone of the device when the engine began to count, less what others hold.

        Neighbours must be as they were then: they are, as long as none has started since.
        """
        if log.outside_bytes is None:
            return None
        topology = read_topology()
        others = gpu_used_by_others(topology, unit_pids(planned.name, self._proc))
        held = [others[gpu.index] for gpu in topology.gpus if gpu.uuid in planned.devices]
        return max(0, log.outside_bytes - min(held) + 2 * ROUNDING_BYTES) if held else None

    def _outside_on_cpu(self, planned: PlannedService, log: StartupLog, cache: int) -> int | None:
        """What all its processes hold beyond the share.

        The share is charged with pages of files, too, which the workers do not hold: the kernel drops them.
        """
        pids = unit_pids(planned.name, self._proc)
        worker_pids = numbered(pids, log.worker_pids, self._proc)
        if not worker_pids or log.consumed_bytes is None:
            return None
        others = resident_bytes(pids - worker_pids, self._proc)
        workers = [resident_bytes([pid], self._proc) for pid in worker_pids]
        beside = max(beside_cache(size, cache, log.consumed_bytes) for size in workers)
        return max(0, -(-others // len(planned.devices)) + beside - log.consumed_bytes)


def beside_cache(resident: int, cache: int, consumed: int) -> int:
    """Return what a worker of that size holds beside its cache.

    The engine fills its cache with zeros when it makes it. Should it not, the worker holds at most what it said to
    have consumed, and that counts files, too.
    """
    return min(resident - cache, consumed) if resident > cache else consumed


class Recorder:
    """Records what services used when they started, for plans to come."""

    def __init__(self, plan: Plan, gauge: Gauge, store: CalibrationStore, report: Callable[[str, str], None]) -> None:
        self._plan = plan
        self._gauge = gauge
        self._store = store
        self._report = report

    def record(self, name: str) -> None:
        """Record the start of a service that serves; a deployment does not fail because this does."""
        planned = self._plan.service(name)
        if planned.calibration_key is None:
            return
        try:
            start = self._gauge.read(name, just_started=True)
            if start.follows_share:
                self._store.add(planned.calibration_key, describe_record(planned, self._plan), start)
        except (InferenceError, OSError, ValueError) as error:
            self._report(name, f"its use of memory could not be recorded: {error}")


def describe_record(planned: PlannedService, plan: Plan) -> dict[str, Any]:
    """Return whose record it is, for people; the key alone decides."""
    return {
        "service": planned.name,
        "model": planned.model,
        "devices": sorted({device.name for device in plan.devices if device.id in planned.devices}),
        "engine_version": plan.engine_version,
        "tensor_parallel_size": planned.tensor_parallel_size,
        "max_num_seqs": planned.max_num_seqs,
        "max_num_batched_tokens": planned.max_num_batched_tokens,
        "kv_cache_dtype": planned.kv_cache_dtype,
    }


def predicted(planned: PlannedService) -> dict[str, int]:
    """Return what the plan expects on each device, in the words of ``actual``."""
    return {
        "kv_cache_tokens": planned.kv_cache_tokens,
        "kv_cache_bytes": planned.memory["kv_cache"],
        "weights_bytes": planned.memory["weights"],
        "outside_bytes": planned.memory["context"] + planned.memory["nccl"],
    }


def actual(start: Usage, recorded: Usage | None) -> dict[str, int | None]:
    """Return what a start used on each device; None where nothing told.

    What lies outside the share is that of the start that was ``recorded`` last.
    """
    return {
        "kv_cache_tokens": start.kv_cache_tokens,
        "kv_cache_bytes": start.kv_cache_bytes,
        "weights_bytes": start.weights_bytes,
        "outside_bytes": recorded.outside_bytes if recorded else None,
    }


def count_blocks(metrics: str) -> int | None:
    """Return the blocks of the KV cache that an engine's metrics report; the fewest, where it has several."""
    found = [int(number) for number in _BLOCKS.findall(metrics)]
    return min(found) if found else None
