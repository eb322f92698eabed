# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What config.json says, in the spellings it comes in, and what it leaves to its class."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._model.geometry import Geometry
from ansible_collections.llmops.inference.plugins.module_utils._model.quantisation import matches
from ansible_collections.llmops.inference.tests.unit.scene import QWEN3_32B, TINY


def geometry(**keys: Any) -> Geometry:
    return Geometry.from_config({**TINY, **keys})


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in TINY.items() if name != key}


def test_both_spellings_of_transformers_give_the_same_geometry() -> None:
    shared = {key: value for key, value in TINY.items() if key not in ("dtype", "rope_theta", "architecture")}
    four = {**shared, "architectures": ["Qwen3ForCausalLM"], "torch_dtype": "bfloat16", "rope_theta": 5e6}
    rope = {"rope_type": "default", "rope_theta": 5e6}
    five = {**shared, "architectures": ["Qwen3ForCausalLM"], "dtype": "bfloat16", "rope_parameters": rope}
    first, second = Geometry.from_config(four), Geometry.from_config(five)
    assert replace(first, rope=second.rope) == second
    assert first.rope.theta == second.rope.theta
    assert Geometry.from_config(four).rope.theta == 5e6


def test_a_scaling_is_read_from_both_spellings() -> None:
    four = geometry(rope_scaling={"type": "linear", "factor": 8.0})
    five = geometry(rope_parameters={"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000})
    assert (four.rope.type, four.rope.factor) == (five.rope.type, five.rope.factor) == ("linear", 8.0)


def test_head_dim_is_its_own_field_and_not_hidden_size_by_heads() -> None:
    assert Geometry.from_config(QWEN3_32B).head_dim == 128  # 5120 / 64 would be 80


def test_head_dim_left_out_is_that_of_the_class() -> None:
    qwen3 = {key: value for key, value in QWEN3_32B.items() if key != "head_dim"}
    assert Geometry.from_config(qwen3).head_dim == 128
    assert Geometry.from_config({**qwen3, "architecture": "LlamaForCausalLM"}).head_dim == 80


def test_key_value_heads_left_out_are_as_many_as_heads() -> None:
    shape = Geometry.from_config({**without("num_key_value_heads"), "architecture": "LlamaForCausalLM"})
    assert shape.num_key_value_heads == TINY["num_attention_heads"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"architecture": "Qwen2ForCausalLM", "sliding_window": 4096}, (None, 0)),
        (
            {"architecture": "Qwen2ForCausalLM", "sliding_window": 4096, "use_sliding_window": True},
            (4096, 12),
        ),
        ({"architecture": "MistralForCausalLM", "sliding_window": None}, (None, 0)),
        ({"architecture": "MistralForCausalLM"}, (4096, 12)),
        ({"architecture": "Gemma3ForCausalLM", "sliding_window": 1024}, (1024, 10)),
        ({"architecture": "Gemma3ForCausalLM", "sliding_window": 512, "sliding_window_pattern": 3}, (512, 8)),
        (
            {
                "architecture": "Gemma3ForCausalLM",
                "sliding_window": 512,
                "layer_types": ["sliding_attention"] * 7 + ["full_attention"] * 5,
            },
            (512, 7),
        ),
    ],
)
def test_layers_that_keep_a_window_are_counted(keys: dict[str, Any], expected: tuple[int | None, int]) -> None:
    shape = geometry(num_hidden_layers=12, **keys)
    assert (shape.sliding_window, shape.sliding_layers) == expected


def test_a_multimodal_model_is_read_by_its_text_part_and_the_defaults_of_its_class() -> None:
    shape = Geometry.from_config(
        {
            "architectures": ["Gemma3ForConditionalGeneration"],
            "torch_dtype": "bfloat16",
            "text_config": {
                "hidden_size": 2560,
                "intermediate_size": 10240,
                "num_hidden_layers": 34,
                "sliding_window": 1024,
                "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            },
            "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27},
        }
    )
    assert (shape.num_hidden_layers, shape.sliding_layers, shape.head_dim) == (34, 29, 256)
    assert (shape.num_key_value_heads, shape.vocab_size, shape.tie_word_embeddings) == (4, 262208, True)


def test_a_latent_cache_is_told_apart() -> None:
    shape = geometry(architecture="DeepseekV2ForCausalLM", kv_lora_rank=512, qk_rope_head_dim=64)
    assert shape.uses_mla
    assert not geometry().uses_mla


def test_experts_are_counted_in_the_layers_that_have_them() -> None:
    shape = geometry(
        architecture="DeepseekV3ForCausalLM",
        num_hidden_layers=61,
        n_routed_experts=256,
        moe_intermediate_size=2048,
        n_shared_experts=1,
        first_k_dense_replace=3,
    )
    assert (shape.num_experts, shape.moe_layers, shape.shared_expert_intermediate_size) == (256, 58, 2048)


def test_a_float32_checkpoint_is_held_in_16_bits() -> None:
    assert geometry(dtype="float32").dtype_bytes == 2


def test_an_architecture_nobody_here_has_seen_is_read_by_its_structure() -> None:
    shape = geometry(architecture="NeverSeenForCausalLM")
    assert shape.is_known
    assert [(kept.kind, kept.count) for kept in shape.cache] == [("full", TINY["num_hidden_layers"])]


def test_an_unknown_architecture_is_accepted_with_its_cache_stated() -> None:
    shape = Geometry.from_config(
        {"architecture": "NewForCausalLM", "kv_bytes_per_token": 65536, "max_position_embeddings": 8192}
    )
    assert shape.kv_bytes_per_token == 65536
    assert shape.num_hidden_layers == 0


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
def test_a_number_that_is_missing_is_named(key: str) -> None:
    with pytest.raises(InferenceError, match=f"{key} is missing"):
        Geometry.from_config(without(key))


@pytest.mark.parametrize("value", [-1, 0, float("nan"), 1e300, "many", True, [], 10**30])
def test_a_number_that_is_none_is_refused_with_its_range(value: Any) -> None:
    with pytest.raises(InferenceError, match="hidden_size must be a whole number from 1"):
        geometry(hidden_size=value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"dtype": "int3"}, "dtype 'int3' is none of"),
        ({"tie_word_embeddings": "yes"}, "true or false"),
        ({"rope_theta": -1}, "rope_theta"),
        ({"rope_parameters": []}, None),
        ({"rope_parameters": ["yarn"]}, "rope_parameters must be a dictionary"),
        ({"rope_scaling": {"type": "linear", "factor": "nan"}}, "rope settings"),
        ({"quantization_config": "fp8"}, "quantization_config must be a dictionary"),
        ({"architecture": "Gemma3ForCausalLM", "layer_types": ["full_attention"]}, "1 entries for 2 layers"),
    ],
)
def test_nonsense_is_refused_by_name(keys: dict[str, Any], said: str | None) -> None:
    if said is None:
        assert geometry(**keys).rope.type == "default"
        return
    with pytest.raises(InferenceError, match=said):
        geometry(**keys)


def test_a_config_without_architecture_is_refused() -> None:
    with pytest.raises(InferenceError, match="names no architecture"):
        Geometry.from_config(without("architecture"))


NESTED = {
    "architectures": ["NeverSeenForConditionalGeneration"],
    "text_config": {**without("architecture"), "num_hidden_layers": 4},
}


def test_a_nested_language_model_is_found_wherever_it_is_nested() -> None:
    for nested in (
        NESTED,
        {"architectures": ["X"], "llm_config": NESTED["text_config"]},
        {"architectures": ["X"], "thinker_config": {"text_config": NESTED["text_config"]}},
    ):
        assert Geometry.from_config(nested).num_hidden_layers == 4


def test_a_config_that_contradicts_itself_is_refused_with_both_values_and_the_users_word_decides() -> None:
    twofold = {**NESTED, "hidden_size": 99}
    with pytest.raises(InferenceError, match=r"hidden_size is 99 and in text_config 64.*State the right hidden_size"):
        Geometry.from_config(twofold)
    assert Geometry.from_config(twofold, stated={"hidden_size": 64}).hidden_size == 64


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"layer_types": ["full_attention"] * 5},
            "5 entries for 2 layers.*State the right layer_types",
        ),
        ({"layer_types": ["full_attention", "telepathy"]}, "'telepathy', which is no kind of layer known here"),
        ({"hybrid_override_pattern": "M*X"}, "hybrid_override_pattern must be letters of"),
        ({"hybrid_override_pattern": "M*M*M*"}, "6 entries for 2 layers"),
        (
            {"architecture": "X", "sliding_window": 8, "sliding_window_pattern": 0},
            "sliding_window_pattern must be a number from 1",
        ),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be a whole number from 1"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers must be a whole number from 1 to 10000"),
        ({"num_experts": -8}, "num_experts must be a whole number from 0"),
        ({"num_experts": 8, "shared_expert_intermediate_size": -1}, "shared_expert_intermediate_size"),
        ({"vision_config": {"depth": -3, "hidden_size": 4}}, "visual states depth -3"),
        ({"quantization_config": {"quant_method": "magic"}}, "quantization 'magic' is none of.*State weights_bytes"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP3"}}, "algorithm 'FP3' is none of"),
        ({"quantization_config": {"quant_method": "awq", "bits": 99}}, "bits must be from 1 to 16, not 99"),
    ],
)
def test_bad_structure_is_refused_with_the_value_the_limit_and_the_way_out(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(InferenceError, match=said):
        geometry(**keys)


def test_a_shared_expert_of_size_0_is_none() -> None:
    shape = geometry(num_experts=8, moe_intermediate_size=32, shared_expert_intermediate_size=0)
    assert (shape.num_experts, shape.shared_expert_intermediate_size) == (8, 0)


def test_names_that_a_quantization_leaves_out_are_matched_in_bounded_steps() -> None:
    """A hundred stars against a long name would take for ever by backtracking."""
    hostile = "*a" * 100 + "*b"
    assert not matches(hostile, "layers.0." + "a" * 5000)
    assert matches("layers.3.mlp*", "layers.3.mlp.experts.up_proj")
    assert not matches("layers.3.mlp*", "layers.30.mlp.up_proj")


@pytest.mark.parametrize(
    "expression", ["re:.*mlp.gate$", "re:.*(gate|router)$", r"re:^model\.layers\.[0-9]+\.mlp\.gate$"]
)
def test_expressions_that_leave_modules_out_are_understood(expression: str) -> None:
    config = {"quant_method": "compressed-tensors", "ignore": [expression], "config_groups": EIGHT_BITS}
    found = geometry(quantization_config=config).quantization
    assert found is not None
    assert found.scheme("layers.1.mlp.gate").kind == "plain"
    assert found.scheme("layers.1.mlp.up_proj").kind == "fp8"


EIGHT_BITS = {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}}

PLAIN_CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "intermediate_size": 128,
    "vocab_size": 512,
    "max_position_embeddings": 4096,
    "dtype": "bfloat16",
}


def test_a_pattern_of_the_file_goes_where_another_number_of_layers_is_stated() -> None:
    file = {**PLAIN_CONFIG, "num_hidden_layers": 2, "layer_types": ["full_attention"] * 2}
    assert Geometry.from_config(file, "config.json", None, {"num_hidden_layers": 64}).num_hidden_layers == 64
    with pytest.raises(InferenceError, match="layer_types has 2 entries for 3 layers"):
        Geometry.from_config({**file, "num_hidden_layers": 3}, "config.json")
