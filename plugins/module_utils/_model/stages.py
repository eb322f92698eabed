# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers of each pipeline stage, divided as the engine divides them. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage of a pipeline: how many layers it has, and whether it is at an end of the model."""

    layers: int
    first: bool
    last: bool


def stages(layers: int, size: int) -> list[Stage]:
    """Return the stages of a pipeline of ``size`` for a model of so many layers, at least one each.

    What does not divide goes to the stages before the last, from the back.
    """
    counts = [layers // size] * size
    for place in range(layers % size):
        counts[-2 - place] += 1
    return [Stage(count, place == 0, place == size - 1) for place, count in enumerate(counts)]


def local_stages(layers: int, tensor: int, pipeline: int, node_rank: int, nodes: int) -> list[Stage]:
    """Return the stages that have a rank on a node, each once."""
    local = tensor * pipeline // nodes
    ranks = range(node_rank * local, (node_rank + 1) * local)
    places = sorted({rank // tensor for rank in ranks})
    divided = stages(layers, pipeline)
    return [divided[place] for place in places]
