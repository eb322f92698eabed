# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan should say aloud even where it fits: slow links and slots, devices left out, YaRN's price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from .._gpu.topology import Topology
from .devices import Device
from .placement import Choice
from .sizing import Sized

FAR = {
    "NODE": "several PCIe host bridges of one NUMA node",
    "SYS": "the interconnect between NUMA nodes",
}


def plan_warnings(
    services: Sequence[Sized],
    choices: Mapping[str, Choice],
    devices: Sequence[Device],
    topology: Topology,
) -> list[str]:
    """Return the warnings of a plan, in the order of the layout, devices left out last.

    Where there is no device at all, why that is comes first: everything else follows from it.
    """
    result = [topology.problem] if topology.problem and not devices else []
    for sized in services:
        if sized.name not in choices:
            continue
        chosen = choices[sized.name].devices
        gpus = [device for device in chosen if not device.id.startswith("numa:")]
        result += [f"{sized.name}: {text}" for text in _link_warnings(gpus, topology)]
        result += [f"{sized.name}: {text}" for text in _slot_warnings(sized, gpus, topology)]
        result += [f"{sized.name}: {_degraded(device, topology)}" for device in gpus if device.degraded]
    result += _rope_warnings([sized for sized in services if sized.name in choices])
    result += [f"Left out: {device.problem}." for device in devices if device.problem is not None]
    return result


def _link_warnings(gpus: Sequence[Device], topology: Topology) -> Iterator[str]:
    for a, b in combinations(gpus, 2):
        link = topology.link(a.index, b.index)
        if link.level in FAR:
            yield (
                f"GPUs {a.index} and {b.index} are joined over {FAR[link.level]} ({link.level}); tensor "
                "parallelism exchanges activations in every layer and will be slow there."
            )
        if link.p2p_read not in (None, "ok"):
            yield (
                f"GPUs {a.index} and {b.index} cannot read each other's memory (P2P {link.p2p_read}); should "
                "the start hang, set NCCL_P2P_DISABLE=1 in environment and disable-custom-all-reduce in "
                "engine_args."
            )


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
