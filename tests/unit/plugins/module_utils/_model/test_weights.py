# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of weights per rank: known sizes, and which tensors are divided."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._model.geometry import Geometry
from ansible_collections.llmops.inference.plugins.module_utils._model.model import checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.module_utils._model.tensors import TensorGroup, group_tensors
from ansible_collections.llmops.inference.plugins.module_utils._model.weights import rank_weights
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_1_7B,
    QWEN3_8B,
    QWEN3_32B,
    TINY,
)


def total_parameters(groups: tuple[TensorGroup, ...]) -> int:
    return sum(group.count * group.elements for group in groups)


FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128}


@pytest.mark.parametrize(
    ("geometry", "parameters", "bf16", "fp8", "awq"),
    [
        (QWEN3_32B, 32_762_123_264, 61.02, 31.96, 18.0),
        (QWEN3_8B, 8_190_735_360, 15.26, 8.79, 5.68),
        (QWEN3_1_7B, 1_720_574_976, 3.20, 1.89, 1.26),
    ],
)
def test_the_three_qwen3_sizes_have_their_known_weights(
    geometry: dict[str, Any], parameters: int, bf16: float, fp8: float, awq: float
) -> None:
    checkpoint = checkpoint_from_geometry(geometry)
    assert total_parameters(checkpoint.tensors) == parameters
    tables = 2 * 128 * checkpoint.geometry.max_position_embeddings  # of sines and cosines
    assert checkpoint.rank_weights(1) == 2 * parameters + tables
    assert 2 * parameters / GIB == pytest.approx(bf16, abs=0.01)
    for config, size in ((FP8, fp8), (AWQ, awq)):
        quantized = checkpoint_from_geometry({**geometry, "quantization_config": config})
        assert (quantized.rank_weights(1) - tables) / GIB == pytest.approx(size, abs=0.01)


def rank_bytes(name: str, shape: tuple[int, ...], ranks: int, dtype: str = "BF16", **keys: Any) -> int:
    geometry = Geometry.from_config({**TINY, **keys})
    return rank_weights([TensorGroup(name, dtype, shape, 1)], geometry, ranks)


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "divided"),
    [
        ("model.layers.N.self_attn.q_proj.weight", (128, 64), "BF16", True),
        ("model.layers.N.self_attn.q_proj.bias", (128,), "BF16", True),
        ("model.layers.N.self_attn.o_proj.weight", (64, 128), "BF16", True),
        ("model.layers.N.self_attn.o_proj.bias", (64,), "BF16", False),
        ("model.layers.N.mlp.gate_proj.weight", (128, 64), "BF16", True),
        ("model.layers.N.mlp.down_proj.weight", (64, 128), "BF16", True),
        ("model.layers.N.mlp.experts.N.down_proj.weight", (64, 128), "BF16", True),
        ("model.layers.N.mlp.gate.weight", (8, 64), "BF16", False),
        ("model.layers.N.self_attn.q_norm.weight", (32,), "BF16", False),
        ("model.layers.N.input_layernorm.weight", (64,), "BF16", False),
        ("model.layers.N.self_attn.kv_a_proj_with_mqa.weight", (576, 64), "BF16", False),
        ("model.layers.N.self_attn.kv_b_proj.weight", (1024, 512), "BF16", True),
        # scales go with the outputs of a row-parallel layer, and with its inputs where they come in groups
        ("model.layers.N.mlp.up_proj.weight_scale", (128, 1), "F32", True),
        ("model.layers.N.mlp.down_proj.weight_scale", (64, 1), "F32", False),
        ("model.layers.N.mlp.down_proj.weight_scale_inv", (1, 2), "F32", True),
        ("model.layers.N.mlp.down_proj.input_scale", (1,), "F32", False),
        ("model.layers.N.mlp.down_proj.qweight", (128, 8), "I32", True),
        ("model.layers.N.mlp.down_proj.scales", (2, 64), "F16", True),
        ("model.layers.N.mlp.down_proj.scales", (1, 64), "F16", False),
        ("model.layers.N.mlp.down_proj.g_idx", (128,), "I32", True),
        ("model.layers.N.mlp.up_proj.g_idx", (64,), "I32", False),
    ],
)
def test_linear_layers_are_divided_and_what_every_rank_needs_is_not(
    name: str, shape: tuple[int, ...], dtype: str, divided: bool
) -> None:
    whole = rank_bytes(name, shape, 1, dtype)
    assert rank_bytes(name, shape, 2, dtype) == (whole // 2 if divided else whole)


def test_key_value_heads_are_repeated_where_there_are_fewer_than_ranks() -> None:
    name, shape = "model.layers.N.self_attn.k_proj.weight", (64, 64)  # two heads of 32
    whole = rank_bytes(name, shape, 1)
    assert rank_bytes(name, shape, 2) == whole // 2
    assert rank_bytes(name, shape, 4) == whole // 2


def test_a_fused_projection_is_divided_by_its_parts() -> None:
    heads, pairs = 4, 2 * 2
    shape = ((heads + pairs) * 32, 64)
    head = 32 * 64 * 2
    assert rank_bytes("model.layers.N.self_attn.qkv_proj.weight", shape, 4) == head * (heads // 4 + pairs // 2)


def test_a_vocabulary_is_padded_before_it_is_divided() -> None:
    assert rank_bytes("model.embed_tokens.weight", (100, 64), 1) == 128 * 64 * 2
    assert rank_bytes("model.embed_tokens.weight", (100, 64), 3) == 129 // 3 * 64 * 2


def test_a_tied_output_head_is_not_loaded_again() -> None:
    assert rank_bytes("lm_head.weight", (512, 64), 1, tie_word_embeddings=True) == 0
    assert rank_bytes("lm_head.weight", (512, 64), 1, tie_word_embeddings=False) == 512 * 64 * 2


def test_float32_weights_are_held_in_the_engines_type_and_scales_in_their_own() -> None:
    assert rank_bytes("model.layers.N.mlp.up_proj.weight", (128, 64), 1, "F32") == 128 * 64 * 2
    assert rank_bytes("model.layers.N.mlp.up_proj.weight_scale", (128, 1), 1, "F32") == 128 * 4


def test_layers_beyond_the_last_are_prediction_heads_and_left_out() -> None:
    tensors = [(f"model.layers.{layer}.mlp.up_proj.weight", "BF16", (8, 8)) for layer in range(3)]
    assert [group.count for group in group_tensors(tensors, 2)] == [2]


def test_ranks_together_hold_at_least_the_whole_and_at_most_what_is_repeated() -> None:
    for geometry in (QWEN3_32B, QWEN3_8B, QWEN3_1_7B):
        checkpoint = checkpoint_from_geometry(geometry)
        whole = checkpoint.rank_weights(1)
        for ranks in (2, 4, 8):
            assert whole <= ranks * checkpoint.rank_weights(ranks) <= whole * 1.05


def test_stated_bytes_are_divided_as_the_tensors_are() -> None:
    stated = checkpoint_from_geometry({**QWEN3_8B, "weights_bytes": 10**10})
    exact = checkpoint_from_geometry(QWEN3_8B)
    assert stated.rank_weights(1) == 10**10
    ratio = exact.rank_weights(4) / exact.rank_weights(1)
    assert stated.rank_weights(4) == pytest.approx(10**10 * ratio, rel=0.01)


def test_stated_parameters_have_the_bytes_of_the_type() -> None:
    assert checkpoint_from_geometry({**QWEN3_8B, "parameters": 10**9}).rank_weights(1) == 2 * 10**9


def test_a_mixture_of_experts_has_its_known_parameters() -> None:
    geometry = {
        **TINY,
        "architecture": "Qwen3MoeForCausalLM",
        "hidden_size": 2048,
        "num_hidden_layers": 48,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_experts": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": False,
    }
    assert total_parameters(checkpoint_from_geometry(geometry).tensors) == 30_532_122_624  # Qwen3-30B-A3B


def test_latent_attention_has_its_known_parameters() -> None:
    geometry = {
        "architecture": "DeepseekV2ForCausalLM",
        "hidden_size": 2048,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "intermediate_size": 10944,
        "moe_intermediate_size": 1408,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 512,
        "q_lora_rank": None,
        "vocab_size": 102400,
        "max_position_embeddings": 163840,
        "dtype": "bfloat16",
    }
    assert total_parameters(checkpoint_from_geometry(geometry).tensors) == 15_706_484_224  # DeepSeek-V2-Lite


def test_weights_that_follow_from_nothing_are_asked_for() -> None:
    stated = {"architecture": "NewForCausalLM", "kv_bytes_per_token": 65536, "max_position_embeddings": 8192}
    with pytest.raises(InferenceError, match="state weights_bytes or parameters"):
        checkpoint_from_geometry(stated)


def test_a_tensor_that_no_rule_knows_is_divided_and_called_an_estimate() -> None:
    strange = ("model.layers.0.telepathy.aura", "BF16", (64, 64))
    model = checkpoint_from_geometry(TINY)
    found = replace(model, tensors=group_tensors([strange], 2), source="exact")
    assert rank_bytes("model.layers.N.telepathy.aura", (64, 64), 2) == 64 * 64
    assert found.unknown_tensors == ("model.layers.N.telepathy.aura",)
    assert (found.tier(1), found.tier(2)) == ("exact", "estimated")


@pytest.mark.parametrize("name", ["mixer.in_proj.weight", "linear_attn.conv1d.weight", "mixer.out_proj.weight"])
def test_recurrent_layers_are_divided(name: str) -> None:
    shape = (64, 64)
    assert rank_bytes(f"backbone.layers.N.{name}", shape, 2) == 64 * 64
