# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts to try: changes of a layout's services within a space of values, of which only those are kept that the plan
allows. Pure.

A *candidate* is the start with some keys of some services set to other values of the space. Two candidates with the
same shares, lengths and limits are one. The start itself, where it fits, is always the first.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from .._errors import InferenceError
from .._values import shown
from .layout import Service, parse_layout
from .plan import Plan

# What may be searched; whatever else a service has stays.
SEARCHED_KEYS = ("max_num_seqs", "max_num_batched_tokens", "kv_cache_dtype", "memory_weight", "max_model_len")
# Draws for every candidate that is wanted, before a space counts as one with hardly anything feasible in it.
_DRAWS = 50

LayoutTree = Sequence[Mapping[str, Any]]
LayoutChanges = Mapping[str, Mapping[str, Any]]
Space = Mapping[str, Mapping[str, Sequence[Any]]]
# Plans a layout; InferenceError for one that makes no sense.
PlanLayout = Callable[[LayoutTree], Plan]


@dataclass(frozen=True)
class Candidate:
    """Keys by service that differ from the start's, and the plan that they lead to."""

    changes: LayoutChanges
    plan: Plan

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON types, of the plan what a reader compares."""
        return {
            "changes": {name: dict(keys) for name, keys in self.changes.items()},
            "services": [dict(zip(_COMPARED, row)) for row in _signature(self.plan)],
        }


@dataclass(frozen=True)
class FoundCandidates:
    """Candidates, the start first where it fits; of how many drawn, how many were refused, and one reason."""

    candidates: tuple[Candidate, ...]
    start_fits: bool
    combinations: int
    drawn: int
    refused: int
    refusal: str | None


_COMPARED = (
    "name",
    "gpu_memory_utilization",
    "max_model_len",
    "kv_cache_dtype",
    "kv_cache_tokens",
    "max_num_seqs",
    "max_num_batched_tokens",
)


def _signature(plan: Plan) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(getattr(service, key) for key in _COMPARED) for service in plan.services)


def read_space(value: Mapping[str, Any], services: Sequence[Service]) -> dict[str, dict[str, list[Any]]]:
    """Return the values that a user states, by service and key; InferenceError lists every mistake."""
    known = [service.name for service in services]
    problems, space = [], {}
    for name, keys in value.items():
        if name not in known:
            problems.append(f"The space has {shown(name)}, and the layout's services are {', '.join(known)}.")
            continue
        if not isinstance(keys, Mapping):
            problems.append(f"The space of {name} is {shown(keys)}; a dictionary of lists is expected.")
            continue
        for key, values in keys.items():
            if key not in SEARCHED_KEYS:
                problems.append(f"The space of {name} has {shown(key)}; it may have {', '.join(SEARCHED_KEYS)}.")
            elif not isinstance(values, (list, tuple)) or not values:
                problems.append(f"The space of {name} has {shown(values)} for {key}; a list of values is expected.")
        space[name] = {str(key): list(values) for key, values in keys.items() if isinstance(values, (list, tuple))}
    if problems:
        raise InferenceError(" ".join(problems), errors=problems)
    return space


def default_space(services: Sequence[Service], start: Plan, accelerator: str) -> dict[str, dict[str, list[Any]]]:
    """Return a space around the start: a quarter to four times of what is worked on at a time.

    On GPUs also a KV cache of eight bits. Of services that share a device and state no share, half and twice the
    weight. The context stays: how much of it is needed no benchmark can tell.
    """
    space: dict[str, dict[str, list[Any]]] = {}
    shared = {name for device in start.devices if len(device.services) > 1 for name in device.services}
    weights = {planned.name: planned.memory["weights"] for planned in start.services}
    for service in services:
        keys: dict[str, list[Any]] = {
            "max_num_seqs": _around(service.max_num_seqs),
            "max_num_batched_tokens": _around(service.max_num_batched_tokens),
        }
        if accelerator == "cuda" and service.kv_cache_dtype == "auto":
            keys["kv_cache_dtype"] = ["auto", "fp8"]
        if service.name in shared and service.gpu_memory_utilization is None:
            weight = service.memory_weight or weights[service.name]
            keys["memory_weight"] = [weight / 2, weight, weight * 2]
        space[service.name] = keys
    return space


def _around(value: int) -> list[int]:
    return sorted({max(1, value // 4), max(1, value // 2), value, value * 2, value * 4})


def find_candidates(layout: LayoutTree, space: Space, attempt: PlanLayout, most: int, seed: int) -> FoundCandidates:
    """Return up to ``most`` candidates, drawn by lot; the same for the same ``seed``.

    Whatever the plan refuses is no candidate. A space that is no larger than what may be drawn is gone through whole.
    """
    axes = [(name, key, values) for name, keys in sorted(space.items()) for key, values in sorted(keys.items())]
    combinations = 1
    for _name, _key, values in axes:
        combinations *= len(values)
    found: dict[Any, Candidate] = {}
    start = _planned(layout, {}, attempt)
    start_fits = isinstance(start, Plan)
    if isinstance(start, Plan):
        found[_signature(start)] = Candidate({}, start)
    drawn = refused = 0
    refusal = None if isinstance(start, Plan) else start
    for choice in _draws(combinations, _DRAWS * most, random.Random(seed)):
        if len(found) >= most:
            break
        changes = _changes(layout, axes, choice)
        if not changes:
            continue
        drawn += 1
        planned = _planned(layout, changes, attempt)
        if isinstance(planned, Plan):
            found.setdefault(_signature(planned), Candidate(changes, planned))
        else:
            refused, refusal = refused + 1, refusal or planned
    return FoundCandidates(tuple(found.values()), start_fits, combinations, drawn, refused, refusal)


def _draws(combinations: int, limit: int, lot: random.Random) -> Iterator[int]:
    """Numbers of combinations in a random order, none twice."""
    if combinations <= limit:
        yield from lot.sample(range(combinations), combinations)
        return
    seen: set[int] = set()
    while len(seen) < limit:
        number = lot.randrange(combinations)
        if number not in seen:
            seen.add(number)
            yield number


def _changes(
    layout: LayoutTree, axes: Sequence[tuple[str, str, Sequence[Any]]], number: int
) -> dict[str, dict[str, Any]]:
    """The keys of one combination that differ from the start's."""
    stated = {str(service.get("name")): service for service in layout}
    changes: dict[str, dict[str, Any]] = {}
    for name, key, values in axes:
        number, place = divmod(number, len(values))
        if values[place] != stated[name].get(key):
            changes.setdefault(name, {})[key] = values[place]
    return changes


def _planned(layout: LayoutTree, changes: LayoutChanges, attempt: PlanLayout) -> Plan | str:
    """The plan with these changes, or why there is none."""
    try:
        plan = attempt([{**service, **changes.get(str(service.get("name")), {})} for service in layout])
    except InferenceError as error:
        return str(error)
    return plan if plan.fits else f"{plan.refusals[0].service}: {plan.refusals[0].reason}"


def planner(plan: Callable[[Sequence[Service]], Plan], accelerator: str) -> PlanLayout:
    """Return how to plan a layout as it stands in an inventory, given how to plan its services."""
    return lambda layout: plan(parse_layout(list(layout), accelerator))
