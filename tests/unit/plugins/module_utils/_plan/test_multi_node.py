# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service on several hosts: its ranks, the layers and weights of each, and what each host plans for."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._model.model import Checkpoint, checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.module_utils._model.stages import Stage, local_stages, stages
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan, PlannedService
from ansible_collections.llmops.inference.tests.unit import scene
from ansible_collections.llmops.inference.tests.unit.scene import GIB, QWEN3_1_7B, QWEN3_8B, QWEN3_32B
from hypothesis import given
from hypothesis import strategies as st

ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]
LAYERS = st.integers(1, 200)


def node(rank: int = 0, nodes: int = 2, **keys: Any) -> dict[str, Any]:
    return {"node_rank": rank, "addresses": ADDRESSES[:nodes], **keys}


def on_node(rank: int, nodes: int = 2, geometry: dict[str, Any] | None = None, **keys: Any) -> Plan:
    """The plan of one host of 80 GiB GPUs, as many as the service has ranks there."""
    ranks = keys.get("tensor_parallel_size", 1) * keys.get("pipeline_parallel_size", 1) // nodes
    size = keys.pop("size", 80)
    layout = [scene.service("large", geometry or QWEN3_32B, multi_node=node(rank, nodes), max_model_len=8192, **keys)]
    return scene.planned(layout, scene.box(*[size] * ranks))


def part(rank: int, nodes: int = 2, **keys: Any) -> PlannedService:
    made = on_node(rank, nodes, **keys)
    assert made.fits, made.refusals
    return made.service("large")


def refused(**keys: Any) -> str:
    layout = [scene.service("large", QWEN3_8B, **keys)]
    with pytest.raises(InferenceError) as error:
        scene.parsed(layout)
    return str(error.value)


@pytest.mark.parametrize(
    ("layers", "size", "counts"),
    [
        # What the engine's own get_pp_indices gives.
        (64, 2, [32, 32]),
        (7, 2, [4, 3]),
        (10, 4, [2, 3, 3, 2]),
        (11, 4, [3, 3, 3, 2]),
        (9, 4, [2, 2, 3, 2]),
        (3, 3, [1, 1, 1]),
    ],
)
def test_layers_are_divided_as_the_engine_divides_them(layers: int, size: int, counts: list[int]) -> None:
    divided = stages(layers, size)
    assert [stage.layers for stage in divided] == counts
    assert [stage.first for stage in divided] == [True] + [False] * (size - 1)
    assert [stage.last for stage in divided] == [False] * (size - 1) + [True]


@given(LAYERS, st.integers(1, 16))
def test_no_layer_is_lost_and_none_is_there_twice(layers: int, size: int) -> None:
    counts = [stage.layers for stage in stages(layers, size)]
    assert sum(counts) == layers
    assert max(counts) - min(counts) <= 1


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8))
def test_the_hosts_have_every_stage_between_them(tensor: int, pipeline: int, nodes: int) -> None:
    if tensor * pipeline % nodes:
        return
    held = [local_stages(64, tensor, pipeline, rank, nodes) for rank in range(nodes)]
    assert {stage for part in held for stage in part} == set(stages(64, pipeline))
    local = tensor * pipeline // nodes
    assert all(len(part) <= max(1, -(-local // tensor) + 1) for part in held)


@pytest.mark.parametrize("geometry", [QWEN3_32B, QWEN3_8B, QWEN3_1_7B])
@pytest.mark.parametrize("pipeline", [2, 3, 4])
def test_the_weights_of_all_stages_are_those_of_the_model(geometry: dict[str, Any], pipeline: int) -> None:
    model = checkpoint_from_geometry(geometry)
    parts = [model.rank_weights(1, stage=stage) for stage in stages(geometry["num_hidden_layers"], pipeline)]
    # Where the head is the embedding, both ends of the pipeline hold it.
    twice = geometry["vocab_size"] * geometry["hidden_size"] * 2 if geometry["tie_word_embeddings"] else 0
    assert sum(parts) == model.rank_weights(1) + twice + (pipeline - 1) * tables(model)


def tables(model: Checkpoint) -> int:
    """The engine's tables for the rotary embedding, which every stage has."""
    return model.geometry.rope.table_bytes(model.geometry.max_position_embeddings, 2)


def test_a_stage_in_the_middle_has_layers_only() -> None:
    model = checkpoint_from_geometry(QWEN3_32B)
    whole = model.rank_weights(1, stage=Stage(64, first=False, last=False))
    ends = 2 * QWEN3_32B["vocab_size"] * QWEN3_32B["hidden_size"] * 2 + QWEN3_32B["hidden_size"] * 2
    assert whole == model.rank_weights(1) - ends
    quarter = model.rank_weights(1, stage=Stage(16, first=False, last=False))
    assert (quarter - tables(model)) * 4 == whole - tables(model)


def test_a_stated_size_is_divided_as_the_tensors_are() -> None:
    model = checkpoint_from_geometry({**QWEN3_8B, "weights_bytes": 8 * GIB})
    parts = [model.rank_weights(1, stage=stage) for stage in stages(36, 2)]
    assert sum(parts) == pytest.approx(8 * GIB, abs=2)


def test_each_host_plans_for_its_own_half_of_the_layers() -> None:
    first, last = (part(rank, pipeline_parallel_size=2) for rank in (0, 1))
    assert (first.nodes, first.node_rank, last.node_rank) == (2, 0, 1)
    assert first.tensor_parallel_size == 1
    assert len(first.devices) == len(last.devices) == 1
    model = checkpoint_from_geometry(QWEN3_32B)
    assert first.memory["weights"] + last.memory["weights"] == model.rank_weights(1) + tables(model)
    # 64 layers of 2 * 8 heads * 128 * 2 bytes: a block of 16 tokens holds half of them on either host.
    assert first.kv_block_bytes == last.kv_block_bytes == 16 * 32 * 2 * 8 * 128 * 2


def test_a_layer_can_be_divided_over_hosts_as_well() -> None:
    halves = [part(rank, tensor_parallel_size=2) for rank in (0, 1)]
    assert halves[0].memory["weights"] == halves[1].memory["weights"]
    assert halves[0].memory["weights"] == checkpoint_from_geometry(QWEN3_32B).rank_weights(2)
    assert halves[0].kv_block_bytes == 16 * 64 * 2 * 4 * 128 * 2
    assert all(item.memory["nccl"] > 0 for item in halves)


def test_two_gpus_on_each_of_two_hosts_take_four_ranks() -> None:
    both = [part(rank, tensor_parallel_size=2, pipeline_parallel_size=2) for rank in (0, 1)]
    assert [len(item.devices) for item in both] == [2, 2]
    model = checkpoint_from_geometry(QWEN3_32B)
    assert [item.memory["weights"] for item in both] == [model.rank_weights(2, stage=s) for s in stages(64, 2)]


def test_a_host_with_several_stages_counts_with_the_heaviest() -> None:
    model = checkpoint_from_geometry(QWEN3_1_7B)
    item = part(1, pipeline_parallel_size=4, geometry=QWEN3_1_7B)
    assert len(item.devices) == 2
    assert item.memory["weights"] == max(model.rank_weights(1, stage=stage) for stage in stages(28, 4)[2:])


def test_a_model_that_no_host_holds_is_held_by_two() -> None:
    """32B has 61 GiB of weights: no GPU of 48 GiB starts it, two hosts with one each do."""
    alone = scene.planned([scene.service("large", QWEN3_32B, max_model_len=8192)], scene.box(48))
    assert not alone.fits
    assert all(on_node(rank, pipeline_parallel_size=2, size=48).fits for rank in (0, 1))


def test_what_does_not_fit_on_a_host_is_refused_with_its_part_of_the_bytes() -> None:
    made = on_node(1, pipeline_parallel_size=2, size=24)
    assert not made.fits
    assert "weights 30." in made.refusals[0].arithmetic


@given(st.integers(0, 3), st.sampled_from([(1, 4), (2, 2), (4, 1), (2, 4)]))
def test_a_part_never_takes_more_than_the_whole(rank: int, sizes: tuple[int, int]) -> None:
    tensor, pipeline = sizes
    item = part(rank, 4, tensor_parallel_size=tensor, pipeline_parallel_size=pipeline, geometry=QWEN3_8B)
    assert item.memory["weights"] <= checkpoint_from_geometry(QWEN3_8B).rank_weights(1)
    assert item.kv_block_bytes * tensor * pipeline >= 16 * 36 * 2 * 8 * 128 * 2


def test_services_on_several_hosts_start_first_and_by_name() -> None:
    layout = [
        scene.service("z-alone", QWEN3_32B, max_model_len=4096, gpu_memory_utilization=0.9),
        scene.service("b-part", QWEN3_1_7B, pipeline_parallel_size=2, max_model_len=4096, multi_node=node(0)),
        scene.service(
            "a-part", QWEN3_1_7B, pipeline_parallel_size=2, max_model_len=4096, multi_node=node(1, master_port=29511)
        ),
    ]
    made = scene.planned(layout, scene.box(141, 141))
    assert made.fits, made.refusals
    assert [item.name for item in made.services] == ["a-part", "b-part", "z-alone"]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            {"tensor_parallel_size": 3, "multi_node": node()},
            "tensor_parallel_size 3 * pipeline_parallel_size 1 = 3 ranks cannot be divided over 2 hosts evenly",
        ),
        (
            {"gpus": [0, 1], "tensor_parallel_size": 2, "multi_node": node()},
            "= 2 ranks, and 2 gpus on each of 2 hosts are 4",
        ),
        ({"multi_node": node(2)}, "node_rank must be a whole number from 0 to 1"),
        ({"multi_node": {"node_rank": 0, "addresses": ["10.0.0.1"]}}, "2 to 64 addresses"),
        ({"multi_node": {"node_rank": 0, "addresses": ["10.0.0.1", "10.0.0.1"]}}, "names a host twice"),
        ({"multi_node": {"node_rank": 0, "addresses": ["10.0.0.1", "127.0.0.1"]}}, "no IP address that another host"),
        ({"multi_node": node(port=1)}, "multi_node takes addresses, executor, master_port, node_rank"),
        ({"multi_node": node(executor="slurm")}, "'slurm' is none of mp, ray"),
        ({"multi_node": node(), "host": "10.0.0.1"}, "state who asks it as allow_from"),
        ({"multi_node": node(), "socket": True}, "needs the network"),
        ({"multi_node": node(), "engine_args": {"distributed-executor-backend": "mp"}}, "state `executor`"),
        ({"engine_args": {"node_rank": 1}}, "it follows from `hosts`"),
        ({"environment": {"VLLM_PP_LAYER_PARTITION": "30,34"}}, "as evenly as they go"),
    ],
)
def test_what_cannot_run_on_several_hosts_is_refused(keys: dict[str, Any], says: str) -> None:
    assert says in refused(**keys)


def test_more_stages_than_layers_are_refused_with_both_numbers() -> None:
    made = scene.planned([scene.service("tiny", scene.TINY, pipeline_parallel_size=4)], scene.box(24, 24, 24, 24))
    assert "2 layers cannot be divided over pipeline_parallel_size 4." in made.refusals[0].reason
    assert made.refusals[0].arithmetic == "2 < 4, and a stage takes one at least."


def test_layers_that_differ_are_not_divided_by_guess() -> None:
    gemma = {**scene.TINY, "architecture": "Gemma3ForCausalLM", "num_hidden_layers": 12, "sliding_window": 512}
    made = scene.planned([scene.service("gemma", gemma, pipeline_parallel_size=2)], scene.box(24, 24))
    assert "differ in what they keep" in made.refusals[0].reason
