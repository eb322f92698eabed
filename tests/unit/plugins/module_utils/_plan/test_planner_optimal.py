# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The placement against a search of every placement there is, on boxes of up to 8 GPUs.

The judge here shares nothing with the planner but what a service needs in bytes: it is written from the
objective as the head of ``_choice`` states it, keeps no sums, and turns back nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import LEVELS, Gpu, Topology
from ansible_collections.llmops.inference.plugins.module_utils._plan.memory import demand
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_1_7B,
    QWEN3_8B,
    QWEN3_32B,
    YARN,
    box,
    gpus,
    models,
    parsed,
    planned,
    service,
)
from hypothesis import assume, given
from hypothesis import strategies as st

Layout = list[dict[str, Any]]
Places = tuple[int, ...]  # indices of GPUs

UNITS = 10_000
MOST_PLACEMENTS = 3_000  # of one example
QUANTUM = 256 << 20


@dataclass(frozen=True)
class Wish:
    """A service as the judge sees it: bytes on each of its GPUs."""

    name: str
    ranks: int
    named: Places | None
    stated: int | None  # its share in units
    need: int  # inside the share, with the least context
    want: int  # with the longest
    outside: int

    @property
    def rank(self) -> tuple[int, str]:
        return (-(self.need + self.outside), self.name)


def wishes(layout: Layout, topology: Topology) -> list[Wish]:
    """The services in the order in which they are placed."""
    services = parsed(layout)
    known = models(services)
    result = []
    for item in services:
        needed = demand(item, known[item.name], "cuda", links=topology.links)
        reach = item.max_model_len or (131072 if item.rope else 40960)
        result.append(
            Wish(
                item.name,
                item.tensor_parallel_size,
                None if item.gpus is None else tuple(int(name) for name in item.gpus),
                None if item.gpu_memory_utilization is None else round(item.gpu_memory_utilization * UNITS),
                needed.share_bytes(item.max_model_len or 4096),
                needed.share_bytes(reach),
                needed.outside_bytes,
            )
        )
    return sorted(result, key=lambda wish: (wish.named is None, wish.rank))


class Judge:
    """The rule of room and the objective for one box and one set of settings."""

    def __init__(self, topology: Topology, budget: float, clamps: bool, reserve: int) -> None:
        self.topology = topology
        self.gpus: dict[int, Gpu] = {gpu.index: gpu for gpu in topology.gpus if gpu.health.status != "failed"}
        self.budget, self.clamps, self.reserve = round(budget * UNITS), clamps, reserve

    def total(self, gpu: int) -> int:
        return self.gpus[gpu].memory_total_bytes or 0

    def share(self, size: int, places: Places) -> int:
        """The least share with which the engine claims so many bytes on each GPU, by trying."""
        share = max(0, max(size * UNITS // self.total(gpu) for gpu in places) - 2)
        while any(math.ceil(self.total(gpu) * (share / UNITS)) < size for gpu in places):
            share += 1
        return share

    def highest(self, gpu: int, here: list[Wish]) -> int:
        """The highest sum of shares with which all of these start; each is rounded up to a byte."""
        others = -(-(self.gpus[gpu].memory_used_bytes or 0) // QUANTUM) * QUANTUM
        left = self.total(gpu) - others - self.reserve - sum(wish.outside for wish in here) - len(here)
        return min(UNITS, max(0, left * UNITS // self.total(gpu)))

    def has_room(self, gpu: int, here: list[tuple[Wish, Places]], wanted: Wish | None = None) -> bool:
        """Whether all of these have room on a GPU, ``wanted`` among them with its longest context."""
        needs, claims = 0, 0
        for wish, places in here:
            need = self.share(wish.want if wish is wanted else wish.need, places)
            claim = need if wish.stated is None else wish.stated
            if wish is wanted:
                claim = max(claim, need)
            if claim < need:
                return False
            needs, claims = needs + need, claims + claim
        highest = self.highest(gpu, [wish for wish, _places in here])
        decides = any(wish.stated is None for wish, _places in here)
        if self.clamps:
            return claims <= self.budget and needs <= highest
        return claims <= self.budget and max(claims, self.budget if decides else 0) <= highest

    def admissible(self, placement: list[tuple[Wish, Places]]) -> bool:
        return all(self.has_room(gpu, on(gpu, placement)) for gpu in self.gpus if on(gpu, placement))

    def cost(self, wish: Wish, places: Places, before: list[tuple[Wish, Places]]) -> tuple[int, ...]:
        with_it = [*before, (wish, places)]
        roomy = all(self.has_room(gpu, on(gpu, with_it), wish) for gpu in places)
        free = min(self.total(gpu) * self.free(gpu, wish, before) for gpu in places)
        degraded = sum(self.gpus[gpu].health.status == "degraded" for gpu in places)
        if len(places) == 1:
            sharded = sum(other.ranks > 1 for other, _places in on(places[0], before))
            waste = free - self.total(places[0]) * self.share(wish.want, places)
            return (not roomy, sharded, degraded, waste if roomy else -free)
        bigger = sum(other.rank < wish.rank for gpu in places for other, _places in on(gpu, before))
        links = [self.topology.link(a, b) for a, b in combinations(places, 2)]
        levels = [LEVELS.index(link.level) if link.level else len(LEVELS) for link in links]
        apart = sum(link.p2p_read not in (None, "ok") for link in links)
        nvlinks = min(link.nvlink_count for link in links)
        nodes = len({self.gpus[gpu].numa_node for gpu in places})
        return (not roomy, bigger, max(levels), sum(levels), -nvlinks, apart, nodes, degraded, -free)

    def free(self, gpu: int, wish: Wish, before: list[tuple[Wish, Places]]) -> int:
        here = on(gpu, before)
        needed = sum(self.share(other.need, places) for other, places in here)
        return min(self.budget, self.highest(gpu, [*(other for other, _places in here), wish])) - needed

    def best(self, order: list[Wish]) -> dict[str, Places] | None:
        """The best of all placements; None where none is admissible."""
        ranked = []
        for placement in self.placements(order):
            if self.admissible(placement):
                costs = [
                    (self.cost(wish, places, placement[:place]), places)
                    for place, (wish, places) in enumerate(placement)
                    if wish.named is None
                ]
                ranked.append((costs, placement))
        return {wish.name: places for wish, places in min(ranked, key=lambda item: item[0])[1]} if ranked else None

    def placements(self, order: list[Wish]) -> Iterator[list[tuple[Wish, Places]]]:
        sets = [[wish.named] if wish.named else list(combinations(self.gpus, wish.ranks)) for wish in order]
        for chosen in product(*sets):
            yield list(zip(order, chosen))


def on(gpu: int, placement: list[tuple[Wish, Places]]) -> list[tuple[Wish, Places]]:
    return [(wish, places) for wish, places in placement if gpu in places]


def check_best(layout: Layout, topology: Topology, **settings: Any) -> Plan:
    """Hold the plan of a layout to the best of all placements."""
    clamps = settings.get("on_overcommit", "clamp") == "clamp"
    judge = Judge(topology, settings.get("gpu_memory_budget", 0.99), clamps, settings.get("reserve_bytes", 0))
    best = judge.best(wishes(layout, topology))
    plan = planned(layout, topology, suggest=False, **settings)
    assert plan.fits == (best is not None)
    if best is not None:
        assert {item.name: item.device_indices for item in plan.services} == best
    return plan


@st.composite
def boxes(draw: st.DrawFn) -> Topology:
    """Up to 8 GPUs, alike or not, linked as servers are or at random, not all of them healthy and idle."""
    count = draw(st.integers(1, 8))
    sizes = st.sampled_from([24, 40, 48, 80, 141])
    described = gpus(*draw(st.lists(sizes, min_size=count, max_size=count) | sizes.map(lambda size: [size] * count)))
    uneven, chaos = draw(st.booleans()), draw(st.booleans())
    for item in described:
        item["numa_node"] = item["index"] // 4
        item["memory_used_bytes"] = draw(st.integers(0, 8 * GIB)) if uneven else 0
        item["health"] = {"status": draw(st.sampled_from(["ok"] * 6 + ["degraded", "failed"]))}
    links = []
    for a, b in combinations(range(count), 2):
        regular = "NVLINK" if a // 2 == b // 2 else "NODE" if a // 4 == b // 4 else "SYS"
        level = draw(st.sampled_from([*LEVELS, None])) if chaos else regular
        nvlinks = draw(st.sampled_from([1, 2, 4])) if level == "NVLINK" else 0
        read = draw(st.sampled_from(["ok", "ok", "not_supported"])) if chaos else "ok"
        links.append({"a": a, "b": b, "level": level, "nvlink_count": nvlinks, "p2p_read": read})
    return Topology.from_dict({"gpus": described, "links": links})


@st.composite
def layouts(draw: st.DrawFn, topology: Topology) -> Layout:
    """Services for a box, as many as leave no more placements than can be looked at."""
    healthy = [gpu.index for gpu in topology.gpus if gpu.health.status != "failed"]
    result: Layout = []
    placements = 1
    for number in range(draw(st.integers(1, 5))):
        ranks = draw(st.sampled_from([count for count in (1, 1, 2, 2, 4) if count <= max(1, len(healthy))]))
        named = bool(healthy) and draw(st.integers(0, 5)) == 0
        gpus_of: Any = [draw(st.sampled_from(healthy))] if named else {"count": ranks}
        placements *= 1 if named else max(1, math.comb(len(healthy), ranks))
        if placements > MOST_PLACEMENTS:
            break
        model = draw(st.sampled_from([QWEN3_1_7B, QWEN3_8B, QWEN3_32B]))
        keys = {
            "gpus": gpus_of,
            "rope": draw(st.none() | st.just(YARN)),
            "max_model_len": draw(st.sampled_from(["fit", "fit", 8192, 30000])),
            "gpu_memory_utilization": draw(st.sampled_from([None, None, None, 0.3, 0.62])),
        }
        result.append(service(f"s{number}", model, **keys))
    return result


SETTINGS = st.fixed_dictionaries(
    {
        "gpu_memory_budget": st.sampled_from([0.9, 0.99]),
        "on_overcommit": st.sampled_from(["clamp", "refuse"]),
        "reserve_bytes": st.sampled_from([0, GIB]),
    }
)


def test_what_a_service_needs_where_gpus_cannot_read_each_other_counts_in_its_place() -> None:
    """Of two alike the wider one is the bigger there, by NCCL's buffers, and so shares a GPU for its better links."""
    described = box(80, 80, 80, 80, 80, levels={(gpu, 4): "SYS" for gpu in range(4)}).to_dict()
    for link in described["links"]:
        link["p2p_read"] = "not_supported"
    layout = [service("one", QWEN3_1_7B, gpus=[0]), service("wide", QWEN3_1_7B, gpus={"count": 4})]
    assert check_best(layout, Topology.from_dict(described)).service("wide").device_indices == (0, 1, 2, 3)


@given(st.data(), boxes(), SETTINGS)
def test_of_all_placements_the_best_is_chosen(data: st.DataObject, topology: Topology, stated: dict[str, Any]) -> None:
    layout = data.draw(layouts(topology))
    assume(layout)
    check_best(layout, topology, **stated)


EIGHT = {
    (a, b): "NVLINK" if a // 2 == b // 2 else "NODE" if a // 4 == b // 4 else "SYS"
    for a, b in combinations(range(8), 2)
}


@pytest.mark.parametrize("size", [48, 80])
def test_two_pairs_and_a_small_one_have_the_best_of_eight_gpus(size: int) -> None:
    layout = [
        service("big", QWEN3_32B, gpus={"count": 2}, max_model_len=8192),
        service("other", QWEN3_8B, gpus={"count": 2}),
        service("small", QWEN3_1_7B),
    ]
    plan = check_best(layout, box(*[size] * 8, levels=EIGHT))
    assert plan.service("big").device_indices == (0, 1)
    assert plan.service("other").device_indices == (2, 3)
    assert plan.service("small").device_indices == (4,)


def test_a_set_of_four_stays_on_its_side() -> None:
    layout = [service("wide", QWEN3_32B, gpus={"count": 4}), service("named", QWEN3_32B, gpus=[1, 2])]
    assert check_best(layout, box(*[80] * 8, levels=EIGHT)).service("wide").device_indices == (4, 5, 6, 7)


def test_a_small_service_named_somewhere_does_not_take_the_best_pair_from_a_big_one() -> None:
    layout = [service("small", QWEN3_1_7B, gpus=[0]), service("big", QWEN3_32B, gpus={"count": 2})]
    topology = box(80, 80, 80, 80, levels={**EIGHT, (2, 3): "SYS"})
    assert check_best(layout, topology).service("big").device_indices == (0, 1)


def test_of_equal_pairs_the_one_with_more_nvlinks_is_better() -> None:
    described = box(80, 80, 80, levels={(0, 1): "NVLINK", (1, 2): "NVLINK"}).to_dict()
    for link in described["links"]:
        link["nvlink_count"] = {(0, 1): 1, (1, 2): 2}.get((link["a"], link["b"]), 0)
    layout = [service("big", QWEN3_32B, gpus={"count": 2}, max_model_len=8192)]
    assert check_best(layout, Topology.from_dict(described)).service("big").device_indices == (1, 2)
