# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVML to topology: the only place that knows ``pynvml`` (package ``nvidia-ml-py``).

No package, no driver and no GPU are data: a topology without GPUs whose ``problem`` says why. A question that
one GPU refuses leaves that value None, and the other GPUs are read all the same.

Functions, constants and their meaning: NVML API reference, https://docs.nvidia.com/deploy/nvml-api/.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .health import HealthFacts, judge_gpu
from .links import NvLinks, link_between, nvlinks_between
from .numa import read_numa_nodes
from .topology import Gpu, GpuProcess, Link, Pcie, Topology

#: Answers that say nothing about the GPU's health: the model, the driver's age or our rights explain them.
HARMLESS = (
    "INVALID_ARGUMENT",
    "NOT_SUPPORTED",
    "NO_PERMISSION",
    "NOT_FOUND",
    "INSUFFICIENT_SIZE",
    "FUNCTION_NOT_FOUND",
    "NO_DATA",
    "ARGUMENT_VERSION_MISMATCH",
    "DEPRECATED",
    "NOT_READY",
)
#: Answers after which a GPU needs a reset or a reboot; asking on is pointless and can take seconds per
#: question.
FATAL = ("GPU_IS_LOST", "RESET_REQUIRED", "GPU_NOT_FOUND")

AFFINITY_WORDS = 128  # of 64 bits: the kernel's largest configuration, 8192 CPUs
NODE_WORDS = 16  # of 64 bits: the kernel's largest configuration, 1024 NUMA nodes
NODE_SCOPE = 0  # NVML_AFFINITY_SCOPE_NODE
P2P_READ = 0  # NVML_P2P_CAPS_INDEX_READ; pynvml's constant of this name is a tuple, by a stray comma
P2P_NVLINK = 2  # NVML_P2P_CAPS_INDEX_NVLINK
UNCORRECTED, VOLATILE = 1, 0  # NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC
TO_SWITCH = 2  # NVML_NVLINK_DEVICE_TYPE_SWITCH
MEMORY_V2 = 0x02000028  # nvmlMemory_v2: version 2, 40 bytes


def import_from(tools_dir: str) -> None:
    """Let this Python import what is installed in the virtual environment ``tools_dir``, as a last resort.

    The packages there are pure Python, so it does not matter which Python the environment was made with; a module
    then runs under the interpreter that Ansible found, and needs nothing installed in it.
    """
    sys.path.extend(str(path) for path in sorted(Path(tools_dir).glob("lib/python3*/site-packages")))


def read_topology() -> Topology:
    """Read everything about this host: GPUs and links from NVML, NUMA nodes from the kernel."""
    return dataclasses.replace(read_gpus(), numa_nodes=read_numa_nodes())


@contextlib.contextmanager
def meters() -> Iterator[dict[str, Meter]]:
    """Yield, by UUID, what reads each GPU again and again while NVML stays open; nothing where it reports none."""
    try:
        pynvml = importlib.import_module("pynvml")
        pynvml.nvmlInit()
    except Exception:  # no package, no library, no driver: anyone who needs a GPU has been told by read_gpus
        yield {}
        return
    try:
        found = [Meter(_Device(pynvml, index)) for index in range(pynvml.nvmlDeviceGetCount())]
        yield {meter.uuid: meter for meter in found if meter.uuid}
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


class Meter:
    """One GPU, read while something runs on it; what it refuses to tell is None."""

    def __init__(self, device: _Device) -> None:
        uuid = device.ask("nvmlDeviceGetUUID")
        self._device = device
        self.uuid = None if uuid is None else _text(uuid)

    def memory_used_bytes(self) -> int | None:
        """Memory in use by anybody, without what driver and firmware reserve."""
        return _memory(self._device)[1]

    def joules(self) -> float | None:
        """Energy taken since the driver was loaded."""
        millijoules = self._device.ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules / 1000.0

    def watts(self) -> float | None:
        """Power drawn now, which older GPUs tell instead of their energy."""
        milliwatts = self._device.ask("nvmlDeviceGetPowerUsage")
        return None if milliwatts is None else milliwatts / 1000.0


def read_gpus(proc: str = "/proc", pci_devices: str = "/sys/bus/pci/devices") -> Topology:
    """Read GPUs and links, without NUMA nodes. NVML is shut down again on every path."""
    try:
        pynvml = importlib.import_module("pynvml")
    except ImportError:
        return Topology(
            problem=f"The Python package nvidia-ml-py is not installed for {sys.executable}: no GPU is "
            "read; install it there if this host has NVIDIA GPUs."
        )
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Topology(problem=_why_no_driver(pynvml, error))
    try:
        return _read(pynvml, Path(proc), Path(pci_devices))
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _why_no_driver(pynvml: Any, error: Any) -> str:
    sentences = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "The NVIDIA driver is not installed: there is no "
        "libnvidia-ml.so.1. Install it if this host has NVIDIA GPUs.",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "The NVIDIA kernel driver is not loaded. If this host has "
        "NVIDIA GPUs, load it (modprobe nvidia); the kernel log says why it was not.",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "The NVIDIA driver was updated, but the kernel still runs "
        "the older one: reboot, or unload and load its modules.",
        pynvml.NVML_ERROR_NO_PERMISSION: "This user may not open /dev/nvidiactl: run with root's rights.",
    }
    return sentences.get(error.value, f"NVML does not start: {error}. nvidia-smi and the kernel log tell more.")


def _read(pynvml: Any, proc: Path, pci_devices: Path) -> Topology:
    try:
        version = _text(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        version = None
    try:
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        return Topology(True, version, problem=f"The NVIDIA driver does not count its GPUs: {error}.")
    if not count:
        return Topology(True, version, problem="The NVIDIA driver is loaded and finds no GPU.")
    devices = [_Device(pynvml, index) for index in range(count)]
    nvlinks = [_nvlinks(device) for device in devices]
    pairs = itertools.combinations(range(count), 2)
    links = [_link(devices[a], devices[b], nvlinks[a], nvlinks[b]) for a, b in pairs]
    # After the links: a GPU's health also tells what the questions about its links met.
    gpus = [_gpu(device, proc, pci_devices) for device in devices]
    return Topology(True, version, tuple(gpus), tuple(links))


class _Device:
    """One GPU to ask: an answer, or None where it refuses.

    ``lost`` tells why nothing more is asked; ``refusals`` collects errors that a healthy GPU does not give.
    """

    def __init__(self, pynvml: Any, index: int) -> None:
        self.pynvml = pynvml
        self.index = index
        self.lost: str | None = None
        self.refusals: list[str] = []
        self._harmless = _codes(pynvml, HARMLESS)
        self._fatal = _codes(pynvml, FATAL)
        try:
            self.handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        except pynvml.NVMLError as error:
            self.handle = None
            self.lost = f"NVML cannot open it: {error}"
        self.bus_id = self._read_bus_id()

    def _read_bus_id(self) -> str | None:
        """Return the address as the kernel writes it, ``0000:41:00.0``; NVML's own text has more zeros."""
        pci = self.ask("nvmlDeviceGetPciInfo")
        return None if pci is None else _bus_id(pci)

    def ask(self, function: str, *arguments: object) -> Any:
        """Call a pynvml function with this GPU's handle; an older pynvml without it counts as a refusal."""
        call = getattr(self.pynvml, function, None)
        if self.lost or call is None:
            return None
        try:
            return call(self.handle, *arguments)
        except self.pynvml.NVMLError as error:
            if error.value in self._fatal:
                self.lost = f"NVML lost it: {error}"
            elif error.value not in self._harmless:
                self.refusals.append(f"{function}: {error}")
            return None


def _codes(pynvml: Any, names: Iterable[str]) -> set[int]:
    found = (getattr(pynvml, f"NVML_ERROR_{name}", None) for name in names)
    return {code for code in found if code is not None}


def _text(value: Any) -> str:
    """Return str whatever the pynvml: before 11.5 it answered bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _bus_id(pci: Any) -> str:
    return f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.0"


def _gpu(device: _Device, proc: Path, pci_devices: Path) -> Gpu:
    ask = device.ask
    uuid, name = ask("nvmlDeviceGetUUID"), ask("nvmlDeviceGetName")
    capability = ask("nvmlDeviceGetCudaComputeCapability")
    affinity = ask("nvmlDeviceGetCpuAffinity", AFFINITY_WORDS)
    mig = ask("nvmlDeviceGetMigMode")
    total, used, free, reserved = _memory(device)
    return Gpu(
        index=device.index,
        uuid=None if uuid is None else _text(uuid),
        name=None if name is None else _text(name),
        pci_bus_id=device.bus_id,
        minor_number=ask("nvmlDeviceGetMinorNumber"),
        memory_total_bytes=total,
        memory_used_bytes=used,
        memory_free_bytes=free,
        memory_reserved_bytes=reserved,
        compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        numa_node=_numa_node(device, pci_devices),
        cpu_affinity=_bits(affinity) or None,
        pcie=Pcie(
            generation=ask("nvmlDeviceGetCurrPcieLinkGeneration"),
            generation_max=ask("nvmlDeviceGetMaxPcieLinkGeneration"),
            width=ask("nvmlDeviceGetCurrPcieLinkWidth"),
            width_max=ask("nvmlDeviceGetMaxPcieLinkWidth"),
        ),
        mig_enabled=None if mig is None else mig[0] == 1,
        processes=_processes(device, proc),
        health=judge_gpu(_health_facts(device)),  # last: it tells what the questions above met
    )


def _memory(device: _Device) -> tuple[int | None, int | None, int | None, int | None]:
    """Return total, used, free and reserved bytes.

    Version 2 tells what driver and firmware keep for themselves; version 1 counts it as used. Whether version
    2's "used" contains it has been documented both ways, so used is computed: total - reserved - free.
    """
    memory = device.ask("nvmlDeviceGetMemoryInfo", MEMORY_V2)
    if memory is not None:
        held = memory.total - memory.reserved - memory.free
        return memory.total, max(0, held), memory.free, memory.reserved
    memory = device.ask("nvmlDeviceGetMemoryInfo")
    return (None, None, None, None) if memory is None else (memory.total, memory.used, memory.free, None)


def _bits(words: Any) -> tuple[int, ...]:
    """Return the numbers of the bits that are set in an array of 64-bit words, such as a set of CPUs."""
    numbered = ((64 * i, word) for i, word in enumerate(words or ()) if word)
    return tuple(first + bit for first, word in numbered for bit in range(64) if word >> bit & 1)


def _numa_node(device: _Device, pci_devices: Path) -> int | None:
    """Return the NUMA node whose CPUs and memory are nearest to the GPU.

    ``nvmlDeviceGetNumaNodeId`` is not the question: it exists only where a GPU's own memory is a NUMA node
    (Grace) and names that node, which has no CPUs. NVML's memory affinity is ``nvidia-smi topo``'s column
    "NUMA Affinity"; where it is refused or names several nodes, the kernel's entry for the PCI device decides
    (-1 there means unknown).
    """
    nodes = _bits(device.ask("nvmlDeviceGetMemoryAffinity", NODE_WORDS, NODE_SCOPE))
    if len(nodes) == 1:
        return nodes[0]
    if device.bus_id is None:
        return None
    try:
        node = int((pci_devices / device.bus_id / "numa_node").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return node if node >= 0 else None


def _processes(device: _Device, proc: Path) -> tuple[GpuProcess, ...]:
    """Return every process that holds the GPU, each once: compute, graphics, and clients of MPS.

    NVML does not know the bytes of a process on a MIG GPU or on some virtual ones: None.
    """
    held: dict[int, int | None] = {}
    for kind in ("Compute", "Graphics", "MPSCompute"):
        answer = device.ask(f"nvmlDeviceGet{kind}RunningProcesses_v3")
        if answer is None:
            answer = device.ask(f"nvmlDeviceGet{kind}RunningProcesses_v2")
        for process in answer or ():
            told = [size for size in (held.get(process.pid), process.usedGpuMemory) if size is not None]
            held[process.pid] = max(told, default=None)
    return tuple(GpuProcess(pid, held[pid], _process_name(proc / str(pid))) for pid in sorted(held))


def _process_name(process: Path) -> str | None:
    """Return the kernel's name of a process. Its command line would tell more, secrets included."""
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _health_facts(device: _Device) -> HealthFacts:
    ask = device.ask
    remapped = ask("nvmlDeviceGetRemappedRows")  # (by corrected, by uncorrected errors, pending, failed)
    pending = ask("nvmlDeviceGetRetiredPagesPendingStatus")
    clocks = ask("nvmlDeviceGetCurrentClocksEventReasons")
    if clocks is None:  # its name before driver 535
        clocks = ask("nvmlDeviceGetCurrentClocksThrottleReasons")
    return HealthFacts(
        ecc_uncorrected=ask("nvmlDeviceGetTotalEccErrors", UNCORRECTED, VOLATILE),
        row_remap_pending=None if remapped is None else bool(remapped[2]),
        row_remap_failed=None if remapped is None else bool(remapped[3]),
        retired_pages_pending=None if pending is None else pending == 1,
        clock_event_reasons=clocks,
        lost=device.lost,
        refusals=tuple(device.refusals),
    )


def _nvlinks(device: _Device) -> NvLinks:
    switched = 0
    direct: Counter[str] = Counter()
    for number in range(getattr(device.pynvml, "NVML_NVLINK_MAX_LINKS", 18)):
        if device.ask("nvmlDeviceGetNvLinkState", number) != 1:
            continue
        if device.ask("nvmlDeviceGetNvLinkRemoteDeviceType", number) == TO_SWITCH:
            switched += 1
            continue
        remote = device.ask("nvmlDeviceGetNvLinkRemotePciInfo", number)
        if remote is not None:
            direct[_bus_id(remote)] += 1
    return NvLinks(switched, direct)


def _link(a: _Device, b: _Device, a_nvlinks: NvLinks, b_nvlinks: NvLinks) -> Link:
    """Ask about a pair; a lost GPU answers nothing, so the path to it stays unknown."""
    ends = (a.index, b.index)
    if a.lost or b.lost:
        return Link(*ends)
    return link_between(
        ends,
        ancestor=a.ask("nvmlDeviceGetTopologyCommonAncestor", b.handle),
        nvlinks=nvlinks_between(a_nvlinks, a.bus_id, b_nvlinks, b.bus_id),
        p2p_read=a.ask("nvmlDeviceGetP2PStatus", b.handle, P2P_READ),
        p2p_nvlink=a.ask("nvmlDeviceGetP2PStatus", b.handle, P2P_NVLINK),
    )
