# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices that a plan divides: GPUs, or NUMA nodes where the accelerator is cpu."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .._errors import InferenceError
from .._gpu.topology import Gpu, Topology, gpu_used_by_others, node_used_by_others
from .._values import MIB

QUANTUM = 256 * MIB  # memory of others is rounded up to it, so that noise does not move a plan


@dataclass(frozen=True)
class Device:
    """One device. ``problem`` says why nothing can be placed on it; ``degraded`` that it is a last choice."""

    id: str
    index: int
    name: str
    total_bytes: int
    used_by_others_bytes: int
    numa_node: int | None = None
    problem: str | None = None
    degraded: bool = False


def find_devices(
    topology: Topology, accelerator: str, used_by_others: Mapping[str, int] | None = None
) -> tuple[Device, ...]:
    """Return the devices of a host, by index.

    ``used_by_others``: device id -> bytes; a device it leaves out, or all without it, has what the topology
    says is in use, as if none of it were ours.
    """
    if accelerator == "cpu":
        seen = node_used_by_others(topology, 0)
        found = [
            Device(
                f"numa:{node.index}",
                node.index,
                f"NUMA node {node.index}",
                node.memory_total_bytes,
                seen[node.index],
                problem=None if node.memory_total_bytes else f"NUMA node {node.index} has no memory of its own",
            )
            for node in topology.numa_nodes
        ]
    else:
        seen = gpu_used_by_others(topology, ())
        found = [_gpu_device(gpu, seen[gpu.index]) for gpu in topology.gpus]
    stated = used_by_others or {}
    return tuple(_with_others(device, stated.get(device.id, device.used_by_others_bytes)) for device in found)


def resolve(name: str, devices: Sequence[Device]) -> Device:
    """Return the device that a layout names by index, UUID or the unique beginning of one."""
    if name.isdigit():
        found = [device for device in devices if device.index == int(name) and not device.id.startswith("numa:")]
    else:
        found = [device for device in devices if device.id.lower() == name.lower()] or [
            device for device in devices if name.startswith("GPU-") and device.id.lower().startswith(name.lower())
        ]
    if len(found) == 1:
        return found[0]
    have = ", ".join(f"{device.index} ({device.id})" for device in devices) or "none"
    if found:
        raise InferenceError(f"{name} is the beginning of {len(found)} devices; this host has {have}")
    raise InferenceError(f"there is no device {name}; this host has {have}")


def device_id(gpu: Gpu) -> str:
    """Return what a plan calls a GPU: its UUID, or its index where a topology written by hand has none."""
    return gpu.uuid or f"gpu:{gpu.index}"


def _gpu_device(gpu: Gpu, used_by_others: int) -> Device:
    # What driver and firmware reserve is out of reach: CUDA's total, which the engine reads, is without it.
    total = (gpu.memory_total_bytes or 0) - (gpu.memory_reserved_bytes or 0)
    return Device(
        id=device_id(gpu),
        index=gpu.index,
        name=gpu.name or "GPU",
        total_bytes=total,
        used_by_others_bytes=used_by_others,
        numa_node=gpu.numa_node,
        problem=_problem(gpu),
        degraded=gpu.health.status == "degraded",
    )


def _problem(gpu: Gpu) -> str | None:
    if gpu.health.status == "failed":
        return f"GPU {gpu.index} has failed: {', '.join(gpu.health.reasons) or 'no reason given'}"
    if gpu.mig_enabled:
        return (
            f"GPU {gpu.index} is partitioned (MIG), which the engine does not support: switch MIG off "
            f"(nvidia-smi -i {gpu.index} -mig 0), or choose another GPU"
        )
    if not gpu.memory_total_bytes:
        return f"the driver does not tell the memory of GPU {gpu.index}"
    return None


def _with_others(device: Device, used: int) -> Device:
    quantised = -(-used // QUANTUM) * QUANTUM
    return replace(device, used_by_others_bytes=min(quantised, device.total_bytes))
