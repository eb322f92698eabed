# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many hosts a rolling change may take at a time without a model falling below its floor. Pure.

A replica is one service of a model; every service of a host counts as stopped while its batch is at work. The floor is
what must serve meanwhile: a number of replicas, a percentage of those there are, or either by model.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._values import shown
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.gateway import model_of
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.layout import layout_of

DEFAULT = "default"
_PERCENTAGE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def fleet_batches(
    hosts: Sequence[str],
    variables: Mapping[str, Mapping[str, Any]],
    floor: Any,
    fleet: Sequence[str] | None = None,
) -> list[int]:
    """Return the batches of ``hosts`` by the layouts of their ``variables``; ``fleet`` are all hosts that serve."""
    models = {
        host: [model_of(service) for service in layout_of(variables[host])]
        for host in dict.fromkeys([*(fleet or ()), *hosts])
    }
    return batch_sizes(hosts, models, floor)


def batch_sizes(hosts: Sequence[str], models: Mapping[str, Sequence[str]], floor: Any) -> list[int]:
    """Return the sizes of the fewest batches of ``hosts``, in their order, that keep every model at its floor.

    ``models`` are those of every host of the fleet, one per service, also of hosts that stay as they are. Raises
    InferenceError that names every model of which not even one host can be taken.
    """
    room = _room(Counter(model for served in models.values() for model in served), floor)
    problems: dict[str, str] = {}
    sizes: list[int] = []
    taken: Counter[str] = Counter()
    for host in hosts:
        own = Counter(models.get(host, ()))
        for model, replicas in own.items():
            if replicas > room[model][1]:
                problems.setdefault(model, _problem(model, host, replicas, *room[model]))
        # Batches are consecutive and what fits still fits without some of it: to fill each is to need the fewest.
        if sizes and all(taken[model] + replicas <= room[model][1] for model, replicas in own.items()):
            sizes[-1] += 1
            taken += own
        else:
            sizes.append(1)
            taken = own
    if problems:
        raise InferenceError(" ".join(problems[model] for model in sorted(problems)))
    return sizes


def _room(replicas: Mapping[str, int], floor: Any) -> dict[str, tuple[int, int]]:
    """Return how many replicas each model has, and how many of them may be stopped at a time."""
    return {model: (count, count - floor_of(model, count, floor)) for model, count in replicas.items()}


def floor_of(model: str, replicas: int, floor: Any) -> int:
    """Return how many of a model's replicas must serve; InferenceError for what states no floor."""
    stated = floor.get(model, floor.get(DEFAULT, 0)) if isinstance(floor, Mapping) else floor
    share = _PERCENTAGE.fullmatch(str(stated).strip())
    if share and Fraction(share[1]) <= 100:
        return math.ceil(replicas * Fraction(share[1]) / 100)
    if not isinstance(stated, bool) and re.fullmatch(r"\d+", str(stated).strip()):
        return int(stated)
    raise InferenceError(
        f"The floor of {model} is {shown(stated)}: state how many replicas must serve, as a number or a percentage "
        f"of those there are, for all models or by model with '{DEFAULT}' for the others."
    )


def _problem(model: str, host: str, own: int, replicas: int, room: int) -> str:
    return (
        f"{model}: {replicas} replicas, of which {replicas - room} must serve, and {host} has {own} of them: it can "
        "never be changed. Add a replica on another host, lower the floor (vllm_site_floor), or state the batches "
        "yourself (vllm_serial)."
    )
