# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accelerators of one host as data: GPUs, the links between them, NUMA nodes. No I/O.

Sizes are in bytes. None stands for a value that the driver would not tell; it never means zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .._errors import InferenceError
from .._records import Record

#: Paths between two GPUs, nearest first, in the words of ``nvidia-smi topo``: NVLink; one PCIe switch;
#: several PCIe switches; one PCIe host bridge; several host bridges of one NUMA node; the interconnect
#: between NUMA nodes.
LEVELS = ("NVLINK", "PIX", "PXB", "PHB", "NODE", "SYS")

#: What the driver says about one GPU reading another's memory over PCIe or NVLink (``nvmlGpuP2PStatus_t``).
P2P_STATUSES = (
    "ok",
    "chipset_not_supported",
    "gpu_not_supported",
    "topology_not_supported",
    "disabled_by_regkey",
    "not_supported",
    "unknown",
)

#: Entries of a description; one host has far fewer.
MOST_ENTRIES = {"gpus": 256, "links": 256 * 255 // 2, "numa_nodes": 1024}

HEALTH_STATUSES = ("ok", "degraded", "failed")


@dataclass(frozen=True)
class Pcie:
    """A GPU's PCIe link now and at most (the lesser of GPU and slot); an idle link trains down."""

    generation: int | None = None
    generation_max: int | None = None
    width: int | None = None
    width_max: int | None = None


@dataclass(frozen=True)
class Health:
    """``ok``; ``degraded``: computes, but slower or until a reset; ``failed``: nothing is placed on it."""

    status: str = "ok"
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class GpuProcess:
    """A process that holds a GPU; ``name`` is the kernel's (15 characters), never its command line."""

    pid: int
    used_bytes: int | None = None
    name: str | None = None


@dataclass(frozen=True)
class Gpu:
    """One GPU; total = reserved + used + free.

    ``index`` counts in PCI bus order, which is also CUDA's under ``CUDA_DEVICE_ORDER=PCI_BUS_ID``. ``uuid``
    is None only for a GPU that is lost. ``memory_reserved_bytes`` belongs to driver and firmware: no process
    can have it; where an old driver does not tell it apart it is None and counts as used. ``mig_enabled`` is
    None on a GPU that cannot do MIG. The GPU's device node is ``/dev/nvidia<minor_number>``.
    """

    index: int
    uuid: str | None = None
    name: str | None = None
    pci_bus_id: str | None = None
    minor_number: int | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_free_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    compute_capability: str | None = None
    numa_node: int | None = None
    cpu_affinity: tuple[int, ...] | None = None
    pcie: Pcie = Pcie()
    mig_enabled: bool | None = None
    health: Health = Health()
    processes: tuple[GpuProcess, ...] = ()


@dataclass(frozen=True)
class Link:
    """The path between the GPUs ``a`` < ``b``.

    ``level`` is one of :data:`LEVELS`; ``nvlink_count`` counts active NVLinks, directly or into the same
    switches; ``p2p_read`` is one of :data:`P2P_STATUSES`.
    """

    a: int
    b: int
    level: str | None = None
    nvlink_count: int = 0
    p2p_read: str | None = None


@dataclass(frozen=True)
class NumaNode:
    """A NUMA node; ``memory_free_bytes`` is what a new process can have: free pages and droppable caches."""

    index: int
    memory_total_bytes: int
    memory_free_bytes: int
    cpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class Topology:
    """Everything about a host that a plan depends on; ``problem`` says in a sentence why there is no GPU."""

    driver_loaded: bool = False
    driver_version: str | None = None
    gpus: tuple[Gpu, ...] = ()
    links: tuple[Link, ...] = ()
    numa_nodes: tuple[NumaNode, ...] = ()
    problem: str | None = None

    def gpu(self, index: int) -> Gpu:
        """Return the GPU with this index; refuse one that the host does not have."""
        for gpu in self.gpus:
            if gpu.index == index:
                return gpu
        have = ", ".join(str(gpu.index) for gpu in self.gpus) or "none"
        raise InferenceError(f"There is no GPU {index} on this host; it has {have}.", gpu=index)

    def link(self, a: int, b: int) -> Link:
        """Return the path between two GPUs, in either order; one that was not described is unknown."""
        low, high = sorted((self.gpu(a).index, self.gpu(b).index))
        for link in self.links:
            if (link.a, link.b) == (low, high):
                return link
        return Link(low, high)

    def distance(self, a: int, b: int) -> int:
        """Return how far apart two GPUs are: 0 the same one, 1 (NVLINK) to 6 (SYS), 7 where it is unknown."""
        return 0 if self.gpu(a).index == self.gpu(b).index else distance(self.link(a, b).level)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types only; :meth:`from_dict` reads it back."""
        plain: dict[str, Any] = _plain(self)
        return plain

    @classmethod
    def from_dict(cls, value: object, where: str = "topology") -> Topology:
        """Read what :meth:`to_dict` wrote, or a user by hand: of a GPU only ``index`` must be given.

        Raises :class:`InferenceError` that names the place, the value and what is expected there.
        """
        record = Record(value, where, _keys(cls))
        for key, most in MOST_ENTRIES.items():
            found = len(record.sequence(key) or ())
            if found > most:
                raise InferenceError(f"{where}.{key} has {found} entries; {most} at most are read.", where=where)
        gpus = tuple(_gpu(r) for r in record.records("gpus", _keys(Gpu)))
        _refuse_repeated("index", (gpu.index for gpu in gpus), where)
        _refuse_repeated("uuid", (gpu.uuid for gpu in gpus if gpu.uuid is not None), where)
        indices = {gpu.index for gpu in gpus}
        loaded = record.flag("driver_loaded")
        return cls(
            driver_loaded=bool(gpus) if loaded is None else loaded,
            driver_version=record.text("driver_version"),
            gpus=tuple(sorted(gpus, key=lambda gpu: gpu.index)),
            links=tuple(_link(r, indices) for r in record.records("links", _keys(Link))),
            numa_nodes=tuple(_numa_node(r) for r in record.records("numa_nodes", _keys(NumaNode))),
            problem=record.text("problem"),
        )


def distance(level: str | None) -> int:
    """Return the place of a level in :data:`LEVELS`, counted from 1; an unknown level is the farthest."""
    return len(LEVELS) + 1 if level is None else LEVELS.index(level) + 1


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _keys(record_type: type) -> list[str]:
    return [field.name for field in dataclasses.fields(record_type)]


def _refuse_repeated(key: str, values: Iterable[object], where: str) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise InferenceError(f"{where}.gpus names the {key} {value} twice; each GPU has its own.", where=where)
        seen.add(value)


def _gpu(record: Record) -> Gpu:
    pcie = record.record("pcie", _keys(Pcie))
    health = record.record("health", _keys(Health))
    gpu = Gpu(
        index=record.required_integer("index"),
        uuid=record.text("uuid"),
        name=record.text("name"),
        pci_bus_id=record.text("pci_bus_id"),
        minor_number=record.integer("minor_number"),
        memory_total_bytes=record.integer("memory_total_bytes"),
        memory_used_bytes=record.integer("memory_used_bytes"),
        memory_free_bytes=record.integer("memory_free_bytes"),
        memory_reserved_bytes=record.integer("memory_reserved_bytes"),
        compute_capability=record.text("compute_capability"),
        numa_node=record.integer("numa_node"),
        cpu_affinity=record.integers("cpu_affinity"),
        pcie=Pcie(**{key: pcie.integer(key) for key in _keys(Pcie)}),
        mig_enabled=record.flag("mig_enabled"),
        health=Health(health.choice("status", HEALTH_STATUSES) or "ok", health.texts("reasons")),
        processes=tuple(_process(r) for r in record.records("processes", _keys(GpuProcess))),
    )
    _refuse_overfull(gpu, record.where)
    return gpu


def _refuse_overfull(gpu: Gpu, where: str) -> None:
    total = gpu.memory_total_bytes
    parts = (gpu.memory_used_bytes, gpu.memory_free_bytes, gpu.memory_reserved_bytes)
    held = sum(part for part in parts if part is not None)
    if total is not None and held > total:
        raise InferenceError(
            f"{where}: used, free and reserved memory are {held} bytes; memory_total_bytes is {total}.",
            where=where,
        )


def _process(record: Record) -> GpuProcess:
    return GpuProcess(record.required_integer("pid"), record.integer("used_bytes"), record.text("name"))


def _link(record: Record, indices: set[int]) -> Link:
    ends = record.required_integer("a"), record.required_integer("b")
    if ends[0] == ends[1] or not indices.issuperset(ends):
        have = ", ".join(map(str, sorted(indices))) or "none"
        raise InferenceError(
            f"{record.where} joins GPUs {ends[0]} and {ends[1]}; two different ones of {have} are expected.",
            where=record.where,
        )
    return Link(
        a=min(ends),
        b=max(ends),
        level=record.choice("level", LEVELS),
        nvlink_count=record.integer("nvlink_count") or 0,
        p2p_read=record.choice("p2p_read", P2P_STATUSES),
    )


def _numa_node(record: Record) -> NumaNode:
    return NumaNode(
        index=record.required_integer("index"),
        memory_total_bytes=record.required_integer("memory_total_bytes"),
        memory_free_bytes=record.required_integer("memory_free_bytes"),
        cpus=record.integers("cpus") or (),
    )


def gpu_used_by_others(topology: Topology, own: Iterable[int]) -> dict[int, int]:
    """Return GPU index -> bytes used by anything but the processes ``own``.

    Where the driver does not tell what one of our processes uses, everything that no other process is known
    to use counts as ours: the plan must not move because services run.
    """
    ours = frozenset(own)
    result = {}
    for gpu in topology.gpus:
        processes = gpu.processes or ()
        held = [process.used_bytes for process in processes if process.pid in ours]
        if None in held:
            rest = [process.used_bytes for process in processes if process.pid not in ours]
            result[gpu.index] = sum(size for size in rest if size is not None)
        else:
            result[gpu.index] = max(0, (gpu.memory_used_bytes or 0) - sum(size for size in held if size is not None))
    return result


def node_used_by_others(topology: Topology, own_bytes: int) -> dict[int, int]:
    """Return NUMA node -> bytes in use that are not ours; our services are charged to the nodes evenly."""
    nodes = topology.numa_nodes
    return {
        node.index: max(0, node.memory_total_bytes - node.memory_free_bytes - own_bytes // len(nodes)) for node in nodes
    }
