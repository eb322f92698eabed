# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan should say aloud even where it fits: slow links and slots, devices left out, YaRN's price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from .._gpu.topology import Link, Topology
from .capability import capability_of, hints
from .devices import Device
from .engine_versions import outside_range
from .placement import Choice
from .sizing import Sized, gib

PAIRS_NAMED = 6  # of a line that is about several
FAR = {
    "NODE": "several PCIe host bridges of one NUMA node",
    "SYS": "the interconnect between NUMA nodes",
}


def plan_warnings(
    services: Sequence[Sized],
    choices: Mapping[str, Choice],
    devices: Sequence[Device],
    topology: Topology,
    engine_version: str | None = None,
) -> list[str]:
    """Return the warnings of a plan, in the order of the layout, devices left out last.

    Where there is no device at all, why that is comes first: everything else follows from it.
    """
    result = [topology.problem] if topology.problem and not devices else []
    version = outside_range(engine_version)
    result += [] if version is None else [version]
    for sized in services:
        if sized.name not in choices:
            continue
        chosen = choices[sized.name].devices
        gpus = [device for device in chosen if not device.id.startswith("numa:")]
        result += [f"{sized.name}: {text}" for text in _link_warnings(gpus, topology)]
        result += [f"{sized.name}: {text}" for text in _slot_warnings(sized, gpus, topology)]
        result += [f"{sized.name}: {text}" for text in _capability_warnings(sized, gpus, topology)]
        result += [f"{sized.name}: {_degraded(device, topology)}" for device in gpus if device.degraded]
    used = {sized.name: choices[sized.name].devices for sized in services if sized.name in choices}
    result += _access_warning(
        {name: [device for device in found if not device.id.startswith("numa:")] for name, found in used.items()},
        topology,
    )
    result += _rope_warnings([sized for sized in services if sized.name in choices])
    result += [f"Left out: {device.problem}." for device in devices if device.problem is not None]
    return result


def _link_warnings(gpus: Sequence[Device], topology: Topology) -> Iterator[str]:
    """Yield a line for each kind of slow path between the GPUs of one service."""
    links = [topology.link(a.index, b.index) for a, b in combinations(gpus, 2)]
    for level, path in FAR.items():
        far = [link for link in links if link.level == level]
        if far:
            yield (
                f"{_pairs(far)} {'is' if len(far) == 1 else 'are'} joined over {path} ({level}); tensor parallelism "
                "exchanges activations in every layer and will be slow there."
            )


def _access_warning(used: Mapping[str, Sequence[Device]], topology: Topology) -> list[str]:
    """Return the host's one line about GPUs of a service that cannot read each other's memory; [] without any."""
    apart, names = {}, []
    for name, devices in used.items():
        found = [topology.link(a.index, b.index) for a, b in combinations(devices, 2)]
        found = [link for link in found if link.p2p_read not in (None, "ok")]
        names += [name] if found else []
        apart.update({(link.a, link.b): link for link in found})
    if not apart:
        return []
    statuses = ", ".join(sorted({str(link.p2p_read) for link in apart.values()}))
    return [
        f"{', '.join(names)}: {_pairs(list(apart.values()))} cannot read each other's memory (P2P {statuses}); should "
        "the start hang, set NCCL_P2P_DISABLE=1 in environment and disable-custom-all-reduce in engine_args."
    ]


def _pairs(links: Sequence[Link]) -> str:
    """Return pairs of GPUs as the subject of a sentence."""
    if len(links) == 1:
        return f"The pair of GPUs {links[0].a} and {links[0].b}"
    pairs = [f"{link.a}-{link.b}" for link in links[:PAIRS_NAMED]]
    more = f" and {len(links) - PAIRS_NAMED} more" if len(links) > PAIRS_NAMED else ""
    return f"{len(links)} pairs of GPUs ({', '.join(pairs)}{more})"


def _capability_warnings(sized: Sized, gpus: Sequence[Device], topology: Topology) -> Iterator[str]:
    """Yield what the oldest of the chosen GPUs does otherwise or slower; the others wait for it."""
    cards = [topology.gpu(device.index) for device in gpus]
    told = [gpu for gpu in cards if capability_of(gpu) is not None]
    if told:
        oldest = min(told, key=lambda gpu: capability_of(gpu) or 0)
        yield from hints(sized.service, sized.checkpoint.geometry, oldest)
    if len({device.total_bytes for device in gpus}) > 1:
        sizes = ", ".join(f"{device.index}: {device.name} {gib(device.total_bytes)}" for device in gpus)
        yield f"its GPUs differ ({sizes}); every rank takes the share that the smallest has, and waits for the slowest."


def _degraded(device: Device, topology: Topology) -> str:
    reasons = ", ".join(topology.gpu(device.index).health.reasons)
    return f"GPU {device.index} is degraded: {reasons or 'no reason given'}."


def _slot_warnings(sized: Sized, gpus: Sequence[Device], topology: Topology) -> Iterator[str]:
    wanted = sized.service.min_pcie_generation
    for device in gpus if wanted is not None else ():
        pcie = topology.gpu(device.index).pcie
        if pcie.generation_max is None:
            yield f"the driver does not tell the PCIe generation of GPU {device.index}; {wanted} is required."
        elif wanted is not None and pcie.generation_max < wanted:
            yield (
                f"GPU {device.index} reaches PCIe {pcie.generation_max}.0 at most, below {wanted}.0 "
                "(at most counts: an idle link trains down). Check the slot and the firmware's settings."
            )


def _rope_warnings(services: Sequence[Sized]) -> Iterator[str]:
    stretched = [sized for sized in services if sized.service.rope and sized.service.rope.factor > 1]
    if stretched:
        names = ", ".join(sized.name for sized in stretched)
        trained = min(sized.checkpoint.geometry.max_position_embeddings for sized in stretched)
        yield (
            f"{names}: YaRN is static, it applies to short prompts too and costs quality there. Leave rope "
            f"out where {trained} tokens are enough."
        )
