# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From cards to the machine that a plan divides. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Gpu, Link, Pcie, Topology

from .card_table import Card


def machine(cards: Sequence[Card], bridged: bool = False) -> Topology:
    """Return a host with these cards and nothing else running on them.

    ``bridged``: an NVLink bridge joins each pair of neighbours that can have one. The path of other pairs is unknown.
    """
    gpus = tuple(_gpu(index, card) for index, card in enumerate(cards))
    links = tuple(_link(a, b, cards, bridged) for a, b in combinations(range(len(cards)), 2))
    return Topology(driver_loaded=True, gpus=gpus, links=links)


def _gpu(index: int, card: Card) -> Gpu:
    used = card.host_bytes or 0
    return Gpu(
        index=index,
        name=card.name,
        memory_total_bytes=card.total_bytes,
        memory_used_bytes=used,
        memory_free_bytes=card.total_bytes - card.reserved_bytes - used,
        memory_reserved_bytes=card.reserved_bytes,
        compute_capability=card.compute_capability,
        pcie=Pcie(generation_max=card.pcie_generation, width_max=16 if card.pcie_generation else None),
    )


def _link(a: int, b: int, cards: Sequence[Card], bridged: bool) -> Link:
    first, second = cards[a], cards[b]
    neighbours = bridged and a % 2 == 0 and b == a + 1
    if first == second and first.nvlinks and (first.switched or neighbours):
        return Link(a, b, "NVLINK", first.nvlinks, "ok")
    access = first.peer_access and second.peer_access and first == second
    return Link(a, b, None, 0, "ok" if access else "chipset_not_supported")
