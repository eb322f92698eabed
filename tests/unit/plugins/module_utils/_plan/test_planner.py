# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner on boxes one can think through: the reference box, cards of four sizes, neighbours, lengths."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_1_7B,
    QWEN3_8B,
    TINY,
    YARN,
    box,
    only_refusal,
    planned,
    reference_layout,
    service,
    with_nearest_fit,
)

MIB = 1 << 20
# What NVIDIA's cards of these sizes have for CUDA, in GiB.
CARDS = {"24": 23.99, "48": 47.99, "80": 79.65, "141": 140.40}


# The reference box


@pytest.mark.parametrize("budget", [0.99, 0.9999])
def test_the_reference_box_serves_131072_tokens_on_80_gb_cards(budget: float) -> None:
    plan = planned(reference_layout(), box(80, 80, 80), gpu_memory_budget=budget)
    assert plan.fits
    medium, mini, micro = (plan.service(name) for name in ("medium", "mini", "micro"))
    assert (medium.device_indices, medium.tensor_parallel_size) == ((0, 1), 2)
    assert mini.device_indices == micro.device_indices == (2,)
    assert [item.max_model_len for item in plan.services] == [131072] * 3
    assert medium.length_reason == "131072 tokens fit: one request takes 16.00 GiB of 42.47 GiB of cache."
    assert micro.start_after == ("mini",)
    assert mini.gpu_memory_utilization + micro.gpu_memory_utilization <= budget


@pytest.mark.parametrize(
    ("card", "lengths"),
    [
        ("24", {}),
        ("48", {"medium": 85680, "mini": 131072, "micro": 49008}),
        ("80", {"medium": 131072, "mini": 131072, "micro": 131072}),
        ("141", {"medium": 131072, "mini": 131072, "micro": 131072}),
    ],
)
def test_cards_of_four_sizes(card: str, lengths: dict[str, int]) -> None:
    plan = planned(reference_layout(), box(*[CARDS[card]] * 3))
    assert plan.fits == bool(lengths)
    if lengths:
        assert {item.name: item.max_model_len for item in plan.services} == lengths
    else:
        assert {refusal.service for refusal in plan.refusals} == {"medium", "micro"}


def test_a_plan_says_in_bytes_why_131072_tokens_do_not_fit() -> None:
    medium = planned(reference_layout(), box(48, 48, 48)).service("medium")
    assert medium.length_reason.startswith("131072 tokens do not fit: one request would take 16.00 GiB (17181966336 ")
    assert medium.length_reason.endswith(f"{medium.max_model_len} is the longest that fits.")


@pytest.mark.parametrize("card", sorted(CARDS))
@pytest.mark.parametrize("budget", [0.99, 0.9999])
def test_0_99_and_0_9999_are_lowered_to_what_starts_and_said_in_bytes(card: str, budget: float) -> None:
    size = CARDS[card]
    plan = planned([service("mini", QWEN3_8B, gpus=[0])], box(size), gpu_memory_budget=budget)
    device = plan.devices[0]
    outside = plan.service("mini").memory["context"] / GIB  # and what is allocated past the share
    assert 1.2 < outside < 1.4
    assert device.highest_share == pytest.approx((size - outside) / size, abs=1.1e-4)
    assert device.budget == min(budget, device.highest_share)
    said = [text for text in (*plan.warnings, *plan.notes) if "does not start" in text]
    assert bool(said) == (device.highest_share < budget)
    assert all(f"({device.total_bytes} bytes)" in text for text in said)


@pytest.mark.parametrize("card", sorted(CARDS))
def test_the_default_budget_warns_on_no_card(card: str) -> None:
    plan = planned([service("mini", QWEN3_8B, gpus=[0])], box(CARDS[card]))
    assert plan.warnings == ()
    assert len(plan.notes) == (plan.devices[0].highest_share < 0.99)


def test_a_budget_that_somebody_stated_and_a_share_that_was_lowered_are_warned_of() -> None:
    stated = planned([service("mini", QWEN3_8B, gpus=[0])], box(80), gpu_memory_budget=0.995)
    lowered = planned([service("mini", QWEN3_8B, gpus=[0], gpu_memory_utilization=0.99)], box(80))
    for plan in (stated, lowered):
        assert [text for text in plan.warnings if "does not start" in text]
        assert plan.notes == ()


def test_0_9999_is_refused_where_the_user_wants_it_refused_and_the_highest_budget_is_named() -> None:
    layout, topology = reference_layout(), box(80, 80, 80)
    plan = planned(layout, topology, gpu_memory_budget=0.9999, on_overcommit="refuse")
    assert {refusal.service for refusal in plan.refusals} == {"medium", "mini", "micro"}
    assert plan.refusals[0].reason == "GPU 0 does not start with the budget 0.9999; the highest is 0.9659."
    assert plan.refusals[0].nearest_fit == {
        "text": "Lower gpu_memory_budget to 0.9659.",
        "services": {},
        "settings": {"gpu_memory_budget": 0.9659},
    }
    again = with_nearest_fit(layout, plan, topology, on_overcommit="refuse")
    assert again.fits
    assert again.gpu_memory_budget == 0.9659


# A device and its neighbours


def test_every_service_restarts_while_the_others_hold_all_of_theirs() -> None:
    plan = planned(reference_layout(), box(80, 80, 80), {"GPU-00000002": GIB}, reserve_bytes=GIB)
    for device in plan.devices:
        here = [plan.service(name) for name in device.services]
        held = {item.name: item.required_free_bytes[device.id] for item in here}
        for item in here:
            others = sum(size for name, size in held.items() if name != item.name)
            free = device.total_bytes - others - device.used_by_others_bytes - device.reserve_bytes
            assert free >= held[item.name]


def test_components_inside_the_share_sum_to_what_the_engine_claims() -> None:
    for item in planned(reference_layout(), box(80, 80, 80)).services:
        inside = sum(size for name, size in item.memory.items() if name not in ("context", "nccl"))
        assert inside == -(-80 * GIB * round(item.gpu_memory_utilization * 10000) // 10000)
        assert item.required_free_bytes[item.devices[0]] == sum(item.memory.values())


def test_what_others_use_is_left_alone_and_noise_does_not_move_the_plan() -> None:
    layout = [service("mini", QWEN3_8B, gpus=[0])]
    idle, some, more = (
        planned(layout, box(80), {"GPU-00000000": used}).service("mini").gpu_memory_utilization
        for used in (0, 200 * MIB, 250 * MIB)
    )
    assert idle > some == more


def test_without_a_word_about_others_all_that_is_used_is_theirs() -> None:
    plan = planned([service("mini", QWEN3_8B, gpus=[0])], box(80, memory_used_bytes=10 * GIB))
    assert plan.devices[0].used_by_others_bytes == 10 * GIB


def test_what_driver_and_firmware_reserve_is_nobodys() -> None:
    topology = box(80, memory_reserved_bytes=GIB)
    assert planned([service("a", gpus=[0])], topology).devices[0].total_bytes == 79 * GIB


def test_memory_weight_divides_what_is_left() -> None:
    layout = [
        service(name, gpus=[0], max_model_len=1024, memory_weight=weight) for name, weight in (("a", 3), ("b", 1))
    ]
    plan = planned(layout, box(80))
    extra = {item.name: item.memory["kv_cache"] for item in plan.services}
    assert extra["a"] / extra["b"] == pytest.approx(3, rel=0.01)


def test_by_default_the_bigger_model_gets_more() -> None:
    layout = [service("mini", QWEN3_8B, gpus=[0]), service("micro", QWEN3_1_7B, gpus=[0])]
    plan = planned(layout, box(48))
    assert plan.service("mini").memory["kv_cache"] > plan.service("micro").memory["kv_cache"]


def test_what_a_fit_service_has_no_use_for_lengthens_its_neighbours() -> None:
    layout = [
        service("mini", QWEN3_8B, gpus=[0], max_model_len="fit"),  # full with 40960 tokens
        service("micro", QWEN3_1_7B, gpus=[0], rope=YARN, max_model_len="fit"),
    ]
    plan = planned(layout, box(48))
    assert plan.service("mini").max_model_len == 40960
    assert plan.service("micro").max_model_len > 90_000


def test_a_stated_share_is_what_the_service_gets() -> None:
    layout = [service("a", gpus=[0], gpu_memory_utilization=0.4), service("b", gpus=[0])]
    plan = planned(layout, box(80))
    assert plan.service("a").gpu_memory_utilization == 0.4
    assert plan.service("b").gpu_memory_utilization == pytest.approx(0.578, abs=0.001)


def test_stated_shares_above_the_budget_are_refused_whatever_the_user_wants() -> None:
    layout = [service(name, gpus=[0], gpu_memory_utilization=0.6) for name in ("a", "b")]
    for on_overcommit in ("clamp", "refuse"):
        plan = planned(layout, box(80), on_overcommit=on_overcommit)
        assert only_refusal(plan).reason == "GPU 0 has no room for it beside a within the budget 0.99."
        assert "b states 0.6, 48.00 GiB (51539607552 bytes)" in only_refusal(plan).arithmetic
        again = with_nearest_fit(layout, plan, box(80), on_overcommit=on_overcommit)
        assert again.fits


def test_stated_shares_within_the_budget_that_do_not_start_are_lowered_or_refused() -> None:
    layout = [service("a", gpus=[0], gpu_memory_utilization=0.99)]
    lowered = planned(layout, box(24))
    assert lowered.fits
    assert lowered.service("a").gpu_memory_utilization == lowered.devices[0].highest_share
    assert "lowering a from 0.99 to 0.9632" in lowered.warnings[0]
    refused = planned(layout, box(24), on_overcommit="refuse")
    assert "does not start with shares that sum to 0.99; the highest is 0.9632" in only_refusal(refused).reason
    assert with_nearest_fit(layout, refused, box(24), on_overcommit="refuse").fits


def test_a_stated_share_that_holds_too_little_is_refused_and_the_right_one_named() -> None:
    layout = [service("mini", QWEN3_8B, gpus=[0], gpu_memory_utilization=0.2)]
    refusal = only_refusal(planned(layout, box(80)))
    assert "weights 15.27 GiB" in refusal.arithmetic
    assert refusal.nearest_fit is not None
    assert refusal.nearest_fit["services"]["mini"]["gpu_memory_utilization"] > 0.25


def test_the_bigger_need_starts_first_and_each_after_its_predecessor_on_every_device() -> None:
    layout = [
        service("a", QWEN3_1_7B, gpus=[1]),
        service("b", QWEN3_8B, gpus=[0, 1]),
        service("c", QWEN3_8B, gpus=[1]),
        service("d", QWEN3_1_7B, gpus=[0]),
    ]
    plan = planned(layout, box(80, 80))
    assert [item.name for item in plan.services] == ["c", "b", "a", "d"]
    assert {item.name: item.start_after for item in plan.services} == {
        "c": (),
        "b": ("c",),
        "a": ("b",),
        "d": ("b",),
    }
    assert [item.start_order for item in plan.services] == [0, 1, 2, 3]


def test_order_in_the_inventory_does_not_change_shares() -> None:
    layout = reference_layout()
    there, back = (planned(order, box(80, 80, 80)) for order in (layout, layout[::-1]))
    assert there.services == back.services


# Lengths


@pytest.mark.parametrize(
    ("keys", "limit"),
    [({"max_model_len": 40961}, 40960), ({"max_model_len": 131073, "rope": YARN}, 131072)],
)
def test_a_length_above_what_the_model_reaches_is_refused(keys: dict[str, Any], limit: int) -> None:
    layout = [service("mini", QWEN3_8B, gpus=[0], **keys)]
    refusal = only_refusal(planned(layout, box(80)))
    assert f"above the {limit} tokens" in refusal.reason
    assert "1 tokens too many" in refusal.arithmetic
    again = with_nearest_fit(layout, planned(layout, box(80)), box(80))
    assert again.service("mini").max_model_len == limit


def test_a_length_that_has_no_room_is_refused_and_the_longest_named() -> None:
    layout = [service("mini", QWEN3_8B, gpus=[0], rope=YARN, max_model_len=131072)]
    plan = planned(layout, box(24))
    assert "KV cache 18.00 GiB for 131072 tokens = 35.48 GiB" in only_refusal(plan).arithmetic
    again = with_nearest_fit(layout, plan, box(24))
    assert 36000 < again.service("mini").max_model_len < 41000


def test_a_rope_that_would_break_the_model_is_refused() -> None:
    gemma = {**TINY, "architecture": "Gemma3ForCausalLM"}
    assert "per kind of layer" in only_refusal(planned([service("a", gemma, gpus=[0], rope=YARN)], box(80))).reason


def test_the_price_of_yarn_is_said_once_for_all() -> None:
    warned = [text for text in planned(reference_layout(), box(80, 80, 80)).warnings if "YaRN" in text]
    assert len(warned) == 1
    assert warned[0].startswith("medium, mini, micro: ")
