# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices that a plan divides: GPUs, or NUMA nodes where the accelerator is cpu."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .._errors import InferenceError
from .._gpu.topology import Gpu, Topology, gpu_used_by_others, node_used_by_others
from .._values import GIB, MIB
from .capability import capability_of

# GPUs whose memory is the host's: Xavier, Orin, Thor (by two names of it) and GB10. The engine reads the host's free
# memory there (``is_integrated_gpu`` in ``vllm/utils/mem_utils.py``), as NVML does not tell.
UNIFIED_CAPABILITIES = frozenset({72, 87, 101, 110, 121})
# What the host keeps of such memory beyond what it uses: users of a GB10 reported 6 to 7 GiB for API server, engine
# core and worker of a start. Smaller boxes run smaller models.
HOST_KEEPS = 8 * GIB
HOST_KEEPS_PART = 8  # and at most this part of the whole
# Profiles of virtual GPUs end in their kind; those for desktops (B) and applications (A) do not compute.
VIRTUAL = re.compile(r"-[0-9]{1,3}(?P<kind>[ABCQ])$")
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
    note: str | None = None  # what a reader of the plan should know of it


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
        found = [_gpu_device(gpu, seen[gpu.index], topology) for gpu in topology.gpus]
    stated = used_by_others or {}
    kept = {device_id(gpu): host_keeps(topology) for gpu in topology.gpus if is_unified(gpu)}
    return tuple(
        _with_others(device, stated.get(device.id, device.used_by_others_bytes) + kept.get(device.id, 0))
        for device in found
    )


def is_unified(gpu: Gpu) -> bool:
    """Return whether the GPU has no memory of its own but the host's."""
    return capability_of(gpu) in UNIFIED_CAPABILITIES


def host_keeps(topology: Topology) -> int:
    """Return the bytes of unified memory that a plan leaves to the host beyond what is in use."""
    return min(HOST_KEEPS, host_memory(topology) // HOST_KEEPS_PART)


def host_memory(topology: Topology) -> int:
    """Return the bytes of memory that the host has."""
    return sum(node.memory_total_bytes for node in topology.numa_nodes)


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


def _gpu_device(gpu: Gpu, used_by_others: int, topology: Topology) -> Device:
    if is_unified(gpu):
        return _unified_device(gpu, topology)
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
        note=_note(gpu),
    )


def _unified_device(gpu: Gpu, topology: Topology) -> Device:
    """Return a GPU that shares the host's memory, of which what is in use counts as others'."""
    total = gpu.memory_total_bytes or host_memory(topology)
    problem = _problem(replace(gpu, memory_total_bytes=total))
    return Device(
        id=device_id(gpu),
        index=gpu.index,
        name=gpu.name or "GPU",
        total_bytes=total,
        used_by_others_bytes=sum(node_used_by_others(topology, 0).values()),
        numa_node=gpu.numa_node,
        problem=problem,
        degraded=gpu.health.status == "degraded",
        note=f"GPU {gpu.index} ({gpu.name or 'unnamed'}) has no memory of its own: its {total / GIB:.1f} GiB are the "
        f"host's, which keeps {host_keeps(topology) / GIB:.1f} GiB of them beside what is in use.",
    )


def _note(gpu: Gpu) -> str | None:
    if VIRTUAL.search(gpu.name or "") is None:
        return None
    return (
        f"GPU {gpu.index} ({gpu.name}) is virtual: its driver does not tell the processes on it, and what it holds "
        "counts as used by others."
    )


def _problem(gpu: Gpu) -> str | None:
    if gpu.health.status == "failed":
        return f"GPU {gpu.index} has failed: {', '.join(gpu.health.reasons) or 'no reason given'}"
    if gpu.mig_enabled:
        return (
            f"GPU {gpu.index} is partitioned (MIG), which the engine does not support: switch MIG off "
            f"(nvidia-smi -i {gpu.index} -mig 0), or choose another GPU"
        )
    virtual = VIRTUAL.search(gpu.name or "")
    if virtual is not None and virtual["kind"] in "AB":
        return (
            f"GPU {gpu.index} ({gpu.name}) is a virtual GPU without CUDA: its profile is of kind {virtual['kind']}; "
            "give the machine one of kind C or Q"
        )
    if not gpu.memory_total_bytes:
        return f"the driver does not tell the memory of GPU {gpu.index}"
    return None


def _with_others(device: Device, used: int) -> Device:
    quantised = -(-used // QUANTUM) * QUANTUM
    return replace(device, used_by_others_bytes=min(quantised, device.total_bytes))
