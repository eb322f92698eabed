# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes per rank: the cache's blocks as the engine counts them, and what lies beside it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Link
from ansible_collections.llmops.inference.plugins.module_utils._model.model import checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.module_utils._plan.cache import CacheGroup, KvCache
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._plan.memory import ESTIMATES, Demand, demand
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_1_7B,
    QWEN3_8B,
    QWEN3_32B,
    TINY,
    service,
)
from hypothesis import given
from hypothesis import strategies as st


def demanded(geometry: dict[str, Any], accelerator: str = "cuda", **keys: Any) -> Demand:
    parsed = parse_layout([service("model", geometry, **keys)], accelerator)[0]
    return demand(parsed, checkpoint_from_geometry(geometry), accelerator)


def cache(geometry: dict[str, Any], accelerator: str = "cuda", **keys: Any) -> KvCache:
    return demanded(geometry, accelerator, **keys).kv


def bytes_per_token(kv: KvCache) -> float:
    """Bytes by which a longer request grows, null block and rounding aside."""
    return (kv.request_bytes(1 << 20) - kv.request_bytes(1 << 19)) / (1 << 19)


@pytest.mark.parametrize(
    ("geometry", "per_token", "at_40960", "at_131072"),
    [(QWEN3_32B, 262144, 10, 32), (QWEN3_8B, 147456, 5.63, 18), (QWEN3_1_7B, 114688, 4.38, 14)],
)
def test_the_three_qwen3_sizes_have_their_known_cache(
    geometry: dict[str, Any], per_token: int, at_40960: float, at_131072: float
) -> None:
    kv = cache(geometry)
    assert bytes_per_token(kv) == per_token
    for length, expected in ((40960, at_40960), (131072, at_131072)):
        assert (kv.request_bytes(length) - kv.block_bytes) / GIB == pytest.approx(expected, abs=0.006)


def test_ranks_divide_the_cache_by_heads_and_repeat_the_last() -> None:
    for ranks, parts in ((2, 2), (8, 8), (16, 8)):
        assert bytes_per_token(cache(QWEN3_32B, tensor_parallel_size=ranks)) == 262144 / parts


def test_blocks_are_whole_and_one_more_is_the_pools_own() -> None:
    kv = cache(QWEN3_8B)
    block = 16 * 147456
    assert kv.request_bytes(1) == kv.request_bytes(16) == 2 * block
    assert kv.request_bytes(17) == 3 * block


def test_blocks_have_the_size_of_the_accelerator_or_the_users() -> None:
    assert cache(TINY).block_tokens == 16
    assert cache(TINY, "cpu").block_tokens == 128
    assert cache(TINY, "cpu", engine_args={"block-size": 32}).block_tokens == 32


def test_an_eight_bit_cache_takes_half() -> None:
    for dtype in ("fp8", "fp8_e4m3", "fp8_e5m2"):
        assert bytes_per_token(cache(QWEN3_8B, kv_cache_dtype=dtype)) == 147456 / 2


def test_a_float32_engine_takes_double() -> None:
    wide = demanded(QWEN3_8B, engine_args={"dtype": "float32"})
    assert bytes_per_token(wide.kv) == 2 * 147456
    assert wide.fixed["weights"] == 2 * demanded(QWEN3_8B).fixed["weights"]


def test_a_latent_cache_is_one_vector_per_layer_on_every_rank() -> None:
    geometry = {
        **TINY,
        "architecture": "DeepseekV3ForCausalLM",
        "num_hidden_layers": 61,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "num_attention_heads": 128,
        "weights_bytes": GIB,
    }
    for ranks in (1, 8):
        kv = cache(geometry, tensor_parallel_size=ranks)
        assert bytes_per_token(kv) == 61 * (512 + 64) * 2
    assert kv.block_tokens == 64


STATED = {
    "architecture": "NewForCausalLM",
    "max_position_embeddings": 8192,
    "weights_bytes": GIB,
    "kv_bytes_per_token": 65536,
    "num_key_value_heads": 8,
}


def test_a_stated_cache_is_that_of_the_services_own_log_and_is_not_divided_again() -> None:
    for keys in ({}, {"tensor_parallel_size": 2}, {"kv_cache_dtype": "fp8"}):
        assert bytes_per_token(cache(STATED, **keys)) == 65536


def test_a_stated_cache_of_other_ranks_or_another_type_is_converted() -> None:
    alone = {**STATED, "kv_bytes_per_token_ranks": 1}
    assert bytes_per_token(cache(alone, tensor_parallel_size=2)) == 32768
    assert bytes_per_token(cache(alone, tensor_parallel_size=16)) == 65536 / 8
    wide = {**STATED, "kv_bytes_per_token_dtype": "bfloat16"}
    assert bytes_per_token(cache(wide, kv_cache_dtype="fp8")) == 32768
    assert bytes_per_token(cache(wide)) == 65536


GEMMA = {
    **TINY,
    "architecture": "Gemma3ForCausalLM",
    "num_hidden_layers": 34,
    "sliding_window": 1024,
    "weights_bytes": GIB,
}


def test_windows_and_full_attention_share_a_pool_of_blocks() -> None:
    # 29 layers with a window and 5 without: groups of 5, one full and six windowed (one padded).
    kv = cache(GEMMA, max_num_batched_tokens=2048)
    assert (kv.full_groups, kv.window_groups) == (1, 6)
    assert kv.block_bytes == 5 * 16 * 2 * 2 * 32 * 2
    windowed = -(-(1023 + 2 * 2048) // 16) + 1
    assert kv.request_blocks(131072) == 131072 // 16 + 6 * windowed


def test_a_short_context_does_not_fill_a_window() -> None:
    assert cache(GEMMA).request_blocks(16) == 1 + 6 * 2


def test_the_cpu_has_one_batch_under_way() -> None:
    assert cache(GEMMA, "cpu", max_num_batched_tokens=2048).window_tokens == 1023 + 2048


def test_nearly_equal_kinds_of_layers_are_padded_to_the_bigger() -> None:
    kinds = ["full_attention"] * 13 + ["sliding_attention"] * 12
    kv = cache({**GEMMA, "num_hidden_layers": 25, "layer_types": kinds})
    assert (kv.full_groups, kv.window_groups) == (1, 1)
    assert kv.block_bytes == 13 * 16 * 2 * 2 * 32 * 2


def test_a_window_is_kept_whole_where_the_engine_is_told_so() -> None:
    kv = cache(GEMMA, engine_args={"disable-hybrid-kv-cache-manager": True})
    assert (kv.full_groups, kv.window_groups) == (1, 0)
    assert bytes_per_token(kv) == 34 * 2 * 2 * 32 * 2


def test_a_model_of_windows_only_has_one_group() -> None:
    mistral = {**TINY, "architecture": "MistralForCausalLM", "sliding_window": 512, "num_hidden_layers": 8}
    kv = cache(mistral, max_num_batched_tokens=512)
    assert (kv.full_groups, kv.window_groups) == (0, 1)
    assert kv.request_bytes(1 << 20) == kv.request_bytes(1 << 18)


def test_what_lies_outside_the_share_is_told_apart() -> None:
    alone, pair = demanded(QWEN3_32B), demanded(QWEN3_32B, tensor_parallel_size=2)
    assert alone.outside["nccl"] == 0
    assert pair.outside["context"] == alone.outside["context"]
    assert 1.39 * GIB < pair.outside["nccl"] < 2 * GIB
    assert "kv_cache" not in alone.fixed


@pytest.mark.parametrize(
    ("ranks", "flags", "link", "alone"),
    [
        (2, {}, {"level": "PIX", "p2p_read": "ok"}, False),
        (2, {}, {"level": "SYS"}, False),
        (2, {}, {"level": "PIX", "p2p_read": "chipset_not_supported"}, True),
        (2, {"disable-custom-all-reduce": True}, {"level": "NVLINK", "p2p_read": "ok"}, True),
        (2, {"disable-custom-all-reduce": True, "enforce-eager": True}, {"level": "NVLINK", "p2p_read": "ok"}, False),
        (4, {}, {"level": "NVLINK", "p2p_read": "ok"}, False),
        (4, {}, {"level": "PIX", "p2p_read": "ok"}, True),
        (16, {}, {"level": "NVLINK", "p2p_read": "ok"}, True),
    ],
)
def test_graphs_that_hold_nccl_s_all_reduce_are_counted(
    ranks: int, flags: dict[str, Any], link: dict[str, Any], alone: bool
) -> None:
    (asked,) = parse_layout([service("model", QWEN3_32B, tensor_parallel_size=ranks, engine_args=flags)], "cuda")
    needed = demand(asked, checkpoint_from_geometry(QWEN3_32B), "cuda", links=[Link(0, 1, **link)])
    own = demanded(QWEN3_32B, tensor_parallel_size=ranks, engine_args={"enforce-eager": True})
    more = needed.outside["nccl"] - own.outside["nccl"]
    assert more == pytest.approx(1.1 * GIB if alone else 0, abs=1)


def test_one_rank_and_a_cpu_have_no_such_graphs() -> None:
    flags = {"disable-custom-all-reduce": True}
    assert demanded(QWEN3_32B, engine_args=flags).outside["nccl"] == 0
    pair = demanded(QWEN3_32B, "cpu", tensor_parallel_size=2, engine_args=flags)
    assert pair.outside["nccl"] == ESTIMATES["cpu"].nccl


def test_graphs_are_left_out_of_an_eager_engine() -> None:
    assert demanded(TINY).fixed["graphs"] > 0.2 * GIB
    assert demanded(TINY, engine_args={"enforce-eager": True}).fixed["graphs"] == 0
    assert demanded(TINY, "cpu").fixed["graphs"] == 0


def test_a_component_says_where_its_bytes_come_from() -> None:
    assert demanded(TINY).sources["context"] == "estimated"


SIZES = st.integers(1, 1 << 20)
TOKENS = st.integers(1, 256)


@st.composite
def caches(draw: st.DrawFn) -> KvCache:
    """Pools with full attention, windows and states in any mixture."""
    tokens = draw(TOKENS)
    full = st.builds(CacheGroup, st.integers(1, 4), st.just(tokens))
    window = st.builds(CacheGroup, st.integers(1, 4), st.just(tokens), SIZES, st.just(1))
    state = st.builds(CacheGroup, st.integers(1, 4), st.just(tokens), fixed=st.integers(1, 2))
    return KvCache(tokens, draw(SIZES), tuple(draw(st.lists(full | window | state, min_size=1, max_size=4))))


@given(caches(), SIZES, st.integers(0, 1 << 40))
def test_the_longest_context_fits_and_a_block_more_does_not(kv: KvCache, limit: int, available: int) -> None:
    longest = kv.longest(available, limit)
    assert 0 <= longest <= limit
    assert longest == limit or longest % kv.block_tokens == 0
    if longest:
        assert kv.request_bytes(longest) <= available
        assert kv.tokens(available, longest) >= longest
    if longest < limit:
        assert kv.request_bytes(min(limit, longest + kv.block_tokens)) > available
