# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the engine divides a tensor over the ranks of a tensor-parallel group. The tensor's name decides.

Column-parallel layers are divided by outputs, row-parallel ones by inputs, vocabularies by rows that are padded first
(``vllm/model_executor/layers/linear.py``, ``vocab_parallel_embedding.py``); recurrent layers by heads and channels
(``layers/mamba/mamba_mixer2.py``). A name that no rule knows is an estimate: a matrix is taken for divided, as nearly
all are, anything smaller for whole.
"""

from __future__ import annotations

import re
from functools import lru_cache

SKIP, HEAD, EMBEDDING, FUSED, KEY_VALUE, COLUMN, ROW, WHOLE, MIXED, UNKNOWN = (
    "skip",
    "head",
    "embedding",
    "fused",
    "key_value",
    "column",
    "row",
    "whole",
    "mixed",
    "unknown",
)

_RULES = (
    (SKIP, re.compile(r"rotary_emb\.(inv_freq|cos_cached|sin_cached)$|\.(masked_bias|rotary_pos_emb\.inv_freq)$")),
    (WHOLE, re.compile(r"(^|\.)(vision_encoder|replicated)\.|^vision_tower\.transformer\.")),
    (WHOLE, re.compile(r"\.indexer\.|norm\w*(\.\d+|\.N)?\.(weight|bias)$|\.(q_norm|k_norm|qk_norm)\b|(^|\.)norm\w*$")),
    (WHOLE, re.compile(r"(position|token_type)\w*embed\w*\.|\.(wpe|pos_embed|positions|patch_embed\w*)\b|\.ln_\w+\.")),
    (WHOLE, re.compile(r"\.(gate|router|shared_expert_gate|wg)(\.\w+)?$|\.e_score_correction_bias$|expert_bias$")),
    (WHOLE, re.compile(r"\.(q_a_proj|kv_a_proj_with_mqa|wq_a|wkv|compressor|hc_\w+|fused_qkv_a_proj|tid2eid)\b")),
    (WHOLE, re.compile(r"\.(f_a_proj|g_a_proj|fc[12]_latent_proj|laurel|altup\w*|per_layer\w*|gate_up_gate)\b")),
    (WHOLE, re.compile(r"(^|\.)(conv[12]|patch_embedding|class_embedding|pooler|score|classifier|projector\w*norm)\b")),
    (HEAD, re.compile(r"(^|\.)(lm_head|embed_out)\.weight$|(^|\.)(head|output)\.weight$")),
    (
        EMBEDDING,
        re.compile(
            r"(^|\.)(embed_tokens|wte|word_embeddings|tok_embeddings|embed_in|embed_tokens_per_layer)\.weight$"
            r"|(^|\.)(embeddings?|embed|shared)\.weight$"
        ),
    ),
    (MIXED, re.compile(r"\.(mamba|mixer|linear_attn|conv|self_attn)\.(in_proj|conv1d)\.\w+$|\.conv1d\b")),
    (FUSED, re.compile(r"\.(qkv_proj|query_key_value|Wqkv|c_attn|W_pack|qkv|wqkv)\.\w+$")),
    (KEY_VALUE, re.compile(r"\.(k_proj|v_proj|wk|wv|key|value|key_proj|value_proj)\.\w+$")),
    (ROW, re.compile(r"\.(o_proj|out_proj|down_proj|w2|wo|wo_b|dense_4h_to_h|c_proj|fc2|linear_fc2|fc_out)\.\w+$")),
    (ROW, re.compile(r"\.(x_proj|proj|proj_out|dense|wo_a)\.\w+$|\.experts\.down_proj(_blocks|_scales)?$")),
    (
        COLUMN,
        re.compile(
            r"\.(q_proj|q_b_proj|wq_b|kv_b_proj|gate_proj|up_proj|gate_up_proj|w1|w3|w13|wq|query|query_proj|fc1|fc_in"
            r"|linear_fc1|c_fc|dense_h_to_4h|in_proj\w*|dt_proj|f_b_proj|g_b_proj|b_proj|g_proj|output_gate|wi\w*|Wi)\.\w+$"
            r"|\.experts\.(gate_up_proj|up_proj|gate_proj|down_proj_bias|up_proj_bias)\w*$"
            r"|\.(A_log|D|dt_bias|sinks|A|conv_weight)(\.weight)?$|\.conv\.\w+$"
        ),
    ),
)


@lru_cache(maxsize=4096)
def rule_of(name: str) -> str:
    """Return the rule by which a tensor is divided; ``unknown`` where no rule knows its name."""
    return next((rule for rule, pattern in _RULES if pattern.search(name)), UNKNOWN)
