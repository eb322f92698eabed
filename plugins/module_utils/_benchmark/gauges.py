# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices of a plan while something runs on them: memory in use, and energy, over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._gpu.numa import read_numa_nodes
from .._gpu.nvml import Meter
from .._plan.plan import Plan, PlannedDevice
from .result import Memory

# More points than a plot has columns say nothing more.
_MOST_SAMPLES = 600


@dataclass
class Gauges:
    """Reads the devices that services use; times are seconds since the run began.

    ``meters`` are the GPUs that NVML reports, none where the devices are NUMA nodes.
    """

    plan: Plan
    devices: Sequence[PlannedDevice]
    meters: Mapping[str, Meter]
    _memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _energy: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def read(self, seconds: float) -> None:
        """Take one reading of every device."""
        for name, used in self.used_bytes().items():
            self._memory.setdefault(name, []).append((seconds, float(used)))
        for device in self.devices:
            meter = self.meters.get(device.id)
            if meter is not None:
                self._read_energy(device.id, meter, seconds)

    def used_bytes(self) -> dict[str, int]:
        """Return the memory in use by anybody, by device; without those that do not tell."""
        if self.plan.accelerator == "cpu":
            nodes = {f"numa:{node.index}": node for node in read_numa_nodes()}
            here = [device.id for device in self.devices if device.id in nodes]
            return {name: max(0, nodes[name].memory_total_bytes - nodes[name].memory_free_bytes) for name in here}
        used = {name: meter.memory_used_bytes() for name, meter in self.meters.items()}
        wanted = {device.id for device in self.devices}
        return {name: size for name, size in used.items() if name in wanted and size is not None}

    def _read_energy(self, device: str, meter: Meter, seconds: float) -> None:
        series = self._energy.setdefault(device, [])
        joules = meter.joules()
        if joules is None:
            watts = meter.watts()
            if watts is None:
                return
            before, so_far = series[-1] if series else (seconds, 0.0)
            joules = so_far + watts * (seconds - before)
        series.append((seconds, joules))

    def memory(self) -> tuple[Memory, ...]:
        """Return what was in use over time."""
        return tuple(
            Memory(
                device=device.id,
                name=device.name,
                total_bytes=device.total_bytes,
                budget_bytes=int(device.budget * device.total_bytes) or None,
                samples=tuple((round(at, 3), int(size)) for at, size in thinned(self._memory.get(device.id, []))),
            )
            for device in self.devices
        )

    def energy(self, begin: float, end: float) -> float | None:
        """Return the joules that all devices took between two moments; None where one of them does not tell."""
        taken = [spent(self._energy.get(device.id, []), begin, end) for device in self.devices]
        known = [joules for joules in taken if joules is not None]
        return sum(known) if known and len(known) == len(taken) else None


def spent(series: Sequence[tuple[float, float]], begin: float, end: float) -> float | None:
    """Return by how much a counter grew between two moments, interpolated; None where it was not read around them."""
    if len(series) < 2 or end <= begin:
        return None
    return _at(series, end) - _at(series, begin)


def _at(series: Sequence[tuple[float, float]], moment: float) -> float:
    for (before, low), (after, high) in zip(series, series[1:]):
        if moment <= after:
            part = (max(moment, before) - before) / (after - before) if after > before else 1.0
            return low + part * (high - low)
    return series[-1][1]


def thinned(samples: Sequence[tuple[float, float]], most: int = _MOST_SAMPLES) -> list[tuple[float, float]]:
    """Return at most about so many samples: of each stretch of time the highest, so that no peak is lost."""
    size = -(-len(samples) // most)
    if size <= 1:
        return list(samples)
    stretches = (samples[start : start + size] for start in range(0, len(samples), size))
    return [max(stretch, key=lambda sample: sample[1]) for stretch in stretches]
