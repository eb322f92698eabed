# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which devices a service gets: ranks, devices that cannot be used, and the choice among those that can."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.tests.unit.scene import (
    QWEN3_8B,
    QWEN3_32B,
    TINY,
    YARN,
    box,
    gpus,
    only_refusal,
    planned,
    reference_layout,
    service,
    with_nearest_fit,
)

# Ranks and devices


@pytest.mark.parametrize(
    ("geometry", "ranks", "said"),
    [
        ({**TINY, "num_attention_heads": 6, "intermediate_size": 132}, 4, "6 attention heads"),
        (
            {**TINY, "intermediate_size": 130, "num_attention_heads": 8, "num_key_value_heads": 8},
            4,
            "130 columns",
        ),
        ({**TINY, "num_attention_heads": 24, "num_key_value_heads": 6}, 4, "6 key-value heads"),
        (
            {**TINY, "num_attention_heads": 24, "num_key_value_heads": 6, "intermediate_size": 144},
            16,
            "24 attention",
        ),
    ],
)
def test_heads_that_cannot_be_divided_are_refused(geometry: dict[str, Any], ranks: int, said: str) -> None:
    refusal = only_refusal(planned([service("a", geometry, gpus={"count": ranks})], box(*[80] * 16)))
    assert said in refusal.reason
    assert refusal.nearest_fit is not None
    assert refusal.nearest_fit["services"]["a"]["tensor_parallel_size"] != ranks


def test_key_value_heads_may_be_repeated() -> None:
    assert planned([service("a", TINY, gpus={"count": 4})], box(80, 80, 80, 80)).fits


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ([3], "no device 3; this host has 0 (GPU-00000000)"),
        (["GPU-dead"], "no device GPU-dead"),
        (["GPU-0000"], "the beginning of 3 devices"),
        ([0, "GPU-00000000"], "twice"),
        (["numa:0"], "no device numa:0"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused(named: list[Any], said: str) -> None:
    refusal = only_refusal(planned([service("a", gpus=named)], box(80, 80, 80)))
    assert said in refusal.reason


def test_a_gpu_is_found_by_uuid_and_by_its_beginning() -> None:
    assert planned([service("a", gpus=["GPU-00000001"])], box(80, 80)).service("a").device_indices == (1,)
    topology = Topology.from_dict({"gpus": [{**gpus(80)[0], "uuid": "GPU-AbCd-1234"}]})
    assert planned([service("a", gpus=["GPU-abcd"])], topology).service("a").devices == ("GPU-AbCd-1234",)


def flawed(index: int, **keys: Any) -> Topology:
    """Three GPUs of which one has something."""
    described = gpus(80, 80, 80)
    described[index].update(keys)
    return Topology.from_dict({"gpus": described})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"mig_enabled": True}, "MIG"),
        ({"health": {"status": "failed", "reasons": ["fell off the bus"]}}, "fell off the bus"),
        ({"memory_total_bytes": None, "memory_used_bytes": None}, "does not tell the memory"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_refused_where_named_and_left_out_otherwise(
    keys: dict[str, Any], said: str
) -> None:
    topology = flawed(0, **keys)
    layout = [service("a", gpus=[0])]
    refused = planned(layout, topology)
    assert said in only_refusal(refused).reason
    assert with_nearest_fit(layout, refused, topology).service("a").device_indices == (1,)
    chosen = planned([service("a")], topology)
    assert chosen.service("a").device_indices != (0,)
    assert any(said in text for text in chosen.warnings)


def test_too_few_gpus_are_counted() -> None:
    refusal = only_refusal(planned([service("a", gpus={"count": 4})], flawed(1, mig_enabled=True)))
    assert refusal.reason == "it takes 4 devices, and 2 of this host can be used."
    assert "3 found, 1 left out" in refusal.arithmetic


def test_a_host_without_gpus_refuses_every_service() -> None:
    plan = planned([service("a"), service("b", gpus=[0])], Topology())
    assert {refusal.service for refusal in plan.refusals} == {"a", "b"}
    assert plan.devices == ()


# Choosing devices


def test_a_big_model_gets_the_best_connected_pair() -> None:
    levels = {(0, 1): "SYS", (0, 2): "SYS", (0, 3): "SYS", (1, 2): "SYS", (1, 3): "NVLINK", (2, 3): "PHB"}
    plan = planned([service("a", QWEN3_32B, gpus={"count": 2})], box(80, 80, 80, 80, levels=levels))
    assert plan.service("a").device_indices == (1, 3)
    assert plan.service("a").reason == "GPUs 1 and 3: the best pair of 6 with room, NVLINK at worst between them."


def test_of_equal_pairs_the_one_within_a_numa_node_is_better() -> None:
    described = gpus(80, 80, 80, 80)
    for item, numa in zip(described, (0, 1, 1, 0)):
        item["numa_node"] = numa
    plan = planned([service("a", gpus={"count": 2})], Topology.from_dict({"gpus": described}))
    assert plan.service("a").device_indices == (0, 3)


def test_a_degraded_gpu_is_a_last_choice_and_said() -> None:
    degraded = flawed(0, health={"status": "degraded", "reasons": ["throttled"]})
    assert planned([service("a", gpus={"count": 2})], degraded).service("a").device_indices == (1, 2)
    named = planned([service("a", gpus=[0])], degraded)
    assert "a: GPU 0 is degraded: throttled." in named.warnings


def test_the_reference_box_is_found_without_naming_its_gpus() -> None:
    layout = [{**item, "gpus": {"count": len(item["gpus"])}} for item in reference_layout()]
    for order in (layout, layout[::-1]):
        plan = planned(order, box(80, 80, 80))
        assert {item.name: item.device_indices for item in plan.services} == {
            "medium": (0, 1),
            "mini": (2,),
            "micro": (2,),
        }


def test_small_models_are_packed_with_the_least_waste() -> None:
    plan = planned([service("a"), service("b")], box(80, 24))
    assert {item.name: item.device_indices for item in plan.services} == {"a": (1,), "b": (1,)}


def test_small_models_spread_where_packing_would_shorten_a_context() -> None:
    layout = [service(name, QWEN3_8B, rope=YARN) for name in ("a", "b")]
    plan = planned(layout, box(48, 48))
    assert {item.device_indices for item in plan.services} == {(0,), (1,)}
    assert [item.max_model_len for item in plan.services] == [131072, 131072]


def test_a_choice_leaves_room_for_those_who_follow() -> None:
    # The 8B would rather have the smaller card, but the pair needs two of a kind with room.
    layout = [
        service("pair", QWEN3_32B, gpus={"count": 2}),
        service("named", QWEN3_8B, gpus=[0], max_model_len=40960),
        service("single", QWEN3_8B, max_model_len=40960),
    ]
    plan = planned(layout, box(80, 40, 40, 40))
    assert plan.fits
    assert 0 not in plan.service("pair").device_indices


def test_far_links_and_missing_p2p_are_warned_of() -> None:
    for level in ("NODE", "SYS"):
        plan = planned([service("a", gpus=[0, 1])], box(80, 80, levels={(0, 1): level}))
        assert any(f"({level})" in text for text in plan.warnings)
    near = planned([service("a", gpus=[0, 1])], box(80, 80, levels={(0, 1): "PHB"}))
    assert not any("joined over" in text for text in near.warnings)
    link = {"a": 0, "b": 1, "level": "PIX", "p2p_read": "chipset_not_supported"}
    without = planned([service("a", gpus=[0, 1])], Topology.from_dict({"gpus": gpus(80, 80), "links": [link]}))
    assert any("NCCL_P2P_DISABLE=1" in text for text in without.warnings)


def test_a_slot_below_the_required_generation_is_warned_of_and_an_idle_link_is_not() -> None:
    layout = [service("a", gpus=[0], min_pcie_generation=4)]
    idle = box(80, pcie={"generation": 1, "generation_max": 4})
    slow = box(80, pcie={"generation": 3, "generation_max": 3})
    assert not any("PCIe" in text for text in planned(layout, idle).warnings)
    assert any("reaches PCIe 3.0 at most, below 4.0" in text for text in planned(layout, slow).warnings)
    assert any("does not tell the PCIe" in text for text in planned(layout, box(80)).warnings)


def test_a_stated_share_is_looked_for_on_a_card_where_it_holds_enough() -> None:
    plan = planned([service("a", gpu_memory_utilization=0.1)], box(5, 40))
    assert plan.service("a").device_indices == (1,)


def test_a_host_without_gpus_says_first_why_it_has_none() -> None:
    problem = "The NVIDIA driver is not installed."
    plan = planned([service("mini", QWEN3_8B, gpus=[0])], Topology.from_dict({"gpus": [], "problem": problem}))
    assert only_refusal(plan).reason.startswith("gpus: there is no device 0")
    assert plan.warnings[0] == problem
