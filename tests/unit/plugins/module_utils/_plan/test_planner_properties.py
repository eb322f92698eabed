# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every plan, on random boxes, layouts and models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import LEVELS, Topology
from ansible_collections.llmops.inference.plugins.module_utils._model.model import Checkpoint
from ansible_collections.llmops.inference.plugins.module_utils._plan.devices import find_devices
from ansible_collections.llmops.inference.plugins.module_utils._plan.memory import demand
from ansible_collections.llmops.inference.plugins.module_utils._plan.placement import Effort, choose_devices
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan, Settings
from ansible_collections.llmops.inference.plugins.module_utils._plan.room import Room, claimed_units
from ansible_collections.llmops.inference.plugins.module_utils._plan.sizing import Sized, size_service
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_1_7B,
    QWEN3_8B,
    QWEN3_32B,
    TINY,
    YARN,
    gpus,
    models,
    parsed,
    planned,
    service,
)
from hypothesis import given
from hypothesis import strategies as st

Layout = list[dict[str, Any]]

SIZES = st.sampled_from([16, 24, 40, 48, 80, 141])


@st.composite
def boxes(draw: st.DrawFn, most: int = 4) -> Topology:
    """Up to four GPUs of any size, links of any kind, some of their memory in use."""
    sizes = draw(st.lists(SIZES, min_size=1, max_size=most))
    described = gpus(*sizes)
    for item in described:
        item["memory_used_bytes"] = draw(st.integers(0, 4)) * GIB
        item["health"] = {"status": draw(st.sampled_from(["ok"] * 6 + ["degraded", "failed"]))}
    links = [
        {"a": a, "b": b, "level": draw(st.sampled_from(LEVELS)), "p2p_read": "ok"}
        for a, b in combinations(range(len(sizes)), 2)
    ]
    return Topology.from_dict({"gpus": described, "links": links})


@st.composite
def layouts(draw: st.DrawFn, most: int = 4) -> Layout:
    """Up to four services, named or placed, with and without shares, lengths, weights and rope."""
    result = []
    for name in "pqrs"[: draw(st.integers(1, most))]:
        keys: dict[str, Any] = {"rope": draw(st.none() | st.just(YARN))}
        keys["gpus"] = draw(
            st.sampled_from(["auto", {"count": 2}]) | st.sets(st.integers(0, 3), min_size=1, max_size=2).map(sorted)
        )
        if len(keys["gpus"]) == 3:
            keys["gpus"] = keys["gpus"][:2]
        keys["max_model_len"] = draw(st.sampled_from(["fit", "fit", 1000, 40960]))
        keys["memory_weight"] = draw(st.none() | st.sampled_from([1, 2.5]))
        keys["gpu_memory_utilization"] = draw(st.none() | st.none() | st.sampled_from([0.2, 0.45, 0.9]))
        result.append(service(name, draw(st.sampled_from([TINY, QWEN3_1_7B, QWEN3_8B, QWEN3_32B])), **keys))
    return result


SETTINGS = st.fixed_dictionaries(
    {
        "gpu_memory_budget": st.sampled_from([0.5, 0.9, 0.99, 0.9999]),
        "on_overcommit": st.sampled_from(["clamp", "refuse"]),
        "reserve_bytes": st.sampled_from([0, GIB]),
    }
)


def check_sound(plan: Plan, layout: Layout, **stated: Any) -> None:
    services = parsed(layout)
    known = models(services)
    demands = {item.name: demand(item, known[item.name], "cuda") for item in services}
    assert {item.name for item in plan.services} <= set(demands)
    for item in plan.services:
        assert 0 < item.gpu_memory_utilization <= 1
        assert item.max_model_len > 0
        needed = demands[item.name].kv.request_bytes(item.max_model_len)
        assert needed <= item.memory["kv_cache"]  # gate 2
        assert item.kv_cache_tokens >= item.max_model_len
    for device in plan.devices:
        here = [plan.service(name) for name in device.services]
        held = sum(item.required_free_bytes[device.id] for item in here)  # gate 1, for each beside the others
        assert held == device.committed_bytes
        if here:
            assert held + device.used_by_others_bytes + device.reserve_bytes <= device.total_bytes
            assert device.slack_bytes >= 0
            assert device.committed_share <= device.budget + 1e-9 <= stated["gpu_memory_budget"] + 2e-9
            assert device.committed_share <= device.highest_share or not plan.fits


def fitting(layout: Layout, topology: Topology, stated: dict[str, Any]) -> Layout:
    """The layout without the services that are refused, so that it fits."""
    while layout:
        refused = {item.service for item in planned(layout, topology, suggest=False, **stated).refusals}
        if not refused:
            return layout
        layout = [item for item in layout if item["name"] not in refused]
    return layout


def check_order(plan: Plan) -> None:
    order = {item.name: item.start_order for item in plan.services}
    assert sorted(order.values()) == list(range(len(order)))
    for item in plan.services:
        assert all(order[name] < item.start_order for name in item.start_after)
    for device in plan.devices:  # on each device one after the other
        for before, after in zip(device.services, device.services[1:]):
            assert before in plan.service(after).start_after


@given(layouts(), boxes(), SETTINGS)
def test_no_plan_overcommits_and_no_order_has_a_cycle(
    layout: Layout, topology: Topology, stated: dict[str, Any]
) -> None:
    plan = planned(layout, topology, suggest=False, **stated)
    check_sound(plan, layout, **stated)
    check_order(plan)
    assert plan.fits == (not plan.refusals)
    if plan.fits:
        assert {item.name for item in plan.services} == {item["name"] for item in layout}


@given(layouts(), boxes(), SETTINGS)
def test_a_plan_is_the_same_whenever_and_in_whatever_order_it_is_asked_for(
    layout: Layout, topology: Topology, stated: dict[str, Any]
) -> None:
    plan = planned(layout, topology, suggest=False, **stated)
    assert planned(layout, topology, suggest=False, **stated) == plan
    assert planned(layout[::-1], topology, suggest=False, **stated).services == plan.services


@given(layouts(), boxes(), SETTINGS, st.data())
def test_removing_a_service_never_makes_the_rest_infeasible(
    layout: Layout, topology: Topology, stated: dict[str, Any], data: st.DataObject
) -> None:
    fits = fitting(layout, topology, stated)
    left = [item for item in fits if data.draw(st.booleans())]
    assert planned(left, topology, suggest=False, **stated).fits


@given(layouts(), boxes(), SETTINGS, st.data())
def test_more_memory_never_turns_a_fit_into_a_refusal(
    layout: Layout, topology: Topology, stated: dict[str, Any], data: st.DataObject
) -> None:
    fits = fitting(layout, topology, stated)
    more = tuple(
        replace(gpu, memory_total_bytes=(gpu.memory_total_bytes or 0) + data.draw(st.integers(0, 64 * GIB)))
        for gpu in topology.gpus
    )
    assert planned(fits, replace(topology, gpus=more), suggest=False, **stated).fits


@given(layouts(), boxes(), SETTINGS)
def test_a_nearest_fit_does_what_it_says(layout: Layout, topology: Topology, stated: dict[str, Any]) -> None:
    plan = planned(layout, topology, **stated)
    for refusal in plan.refusals[:2]:
        if refusal.nearest_fit is None:
            continue
        changes = refusal.nearest_fit["services"]
        changed = [{**item, **changes.get(item["name"], {})} for item in layout]
        again = {**stated, **refusal.nearest_fit["settings"]}
        after = planned(changed, topology, suggest=False, **again)
        refused = {item.service for item in after.refusals}
        assert refusal.service not in refused
        assert refused < {item.service for item in plan.refusals}


@given(layouts(3), boxes(3), SETTINGS)
def test_a_placement_is_found_where_exhaustive_search_finds_one(
    layout: Layout, topology: Topology, stated: dict[str, Any]
) -> None:
    free = [{**item, "gpus": {"count": 2} if item["gpus"] == {"count": 2} else "auto"} for item in layout]
    services = parsed(free)
    known = models(services)
    plan = planned(free, topology, suggest=False, **stated)
    assert plan.fits == exhaustive(services, known, topology, Settings(**stated))


def exhaustive(services: Sequence[Any], known: dict[str, Checkpoint], topology: Topology, chosen: Settings) -> bool:
    """Whether any placement whatsoever has room for all."""
    sized = [size_service(item, known[item.name], "cuda") for item in services]
    if not all(isinstance(item, Sized) for item in sized):
        return False
    usable = [device for device in find_devices(topology, "cuda") if device.problem is None]
    sets = [list(combinations(usable, item.tensor_parallel_size)) for item in services]
    for placement in product(*sets):
        room = Room(chosen)
        for item, devices in zip(sized, placement):
            assert isinstance(item, Sized)
            need, claim = item.need_units(devices), claimed_units(item, devices)
            if not all(room.holds(item, device, need, claim) for device in devices):
                break
            room.put(item, devices)
        else:
            return True
    return False


def test_twelve_services_on_eight_gpus_are_placed_at_once() -> None:
    topology = Topology.from_dict({"gpus": gpus(*[80] * 8)})
    layout = [service(f"s{number}", QWEN3_8B) for number in range(12)]
    services = parsed(layout)
    chosen = Settings()
    sized = [size_service(item, known, "cuda") for item, known in zip(services, models(services).values())]
    placed = [item for item in sized if isinstance(item, Sized)]
    choices, refusals = choose_devices(placed, find_devices(topology, "cuda"), topology, chosen, Effort())
    assert len(choices) == 12
    assert refusals == []
