# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of weights that one tensor-parallel rank holds.

The engine divides the linear layers over the ranks (column-parallel: their outputs, row-parallel: their
inputs) and the vocabulary of embeddings and output head; norms, routers and latent projections are on every
rank whole; key and value heads are repeated where there are fewer of them than ranks
(``vllm/model_executor/layers/linear.py``, ``vocab_parallel_embedding.py``). The rule for a tensor follows
from its name, the same names in every architecture known here.

Tensors come from the headers of safetensors files (``_checkpoint``), or, where there are no files, from
``expected_tensors``: what a checkpoint of that geometry holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from .geometry import Geometry
from .stages import Stage

Tensor = tuple[str, str, tuple[int, ...]]  # name, element type, shape

# safetensors' names of element types, in bytes; sub-byte types are not stored by checkpoints read here
ELEMENT_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}
FLOATS = ("F64", "F32", "F16", "BF16")
VOCABULARY_PADDING = 64  # DEFAULT_VOCAB_PADDING_SIZE of the engine

# How a tensor is divided, by the first pattern that its name matches; what matches none is on every rank.
RULES = {
    "skip": re.compile(r"rotary_emb\.(inv_freq|cos_cached|sin_cached)$"),
    "head": re.compile(r"(^|\.)lm_head\.weight$"),
    "embedding": re.compile(r"(^|\.)embed_tokens\.weight$"),
    "fused": re.compile(r"\.qkv_proj\.\w+$"),
    "key_value": re.compile(r"\.(k_proj|v_proj)\.\w+$"),
    "column": re.compile(
        r"\.(q_proj|q_b_proj|kv_b_proj|gate_proj|up_proj|gate_up_proj|w1|w3)\.\w+$|\.experts\.gate_up_proj$"
    ),
    "row": re.compile(r"\.(o_proj|down_proj|w2)\.\w+$|\.experts\.down_proj$"),
}
NUMBER = re.compile(r"\.(\d+)(?=\.)")
LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


@dataclass(frozen=True)
class TensorGroup:
    """``count`` tensors of one name but for layer and expert numbers, one type and one shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    count: int

    @property
    def elements(self) -> int:
        """Return how many numbers the tensor holds."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of one of them in the file."""
        return self.elements * ELEMENT_BYTES[self.dtype]


def group_tensors(tensors: Iterable[Tensor], layers: int) -> tuple[TensorGroup, ...]:
    """Gather (name, dtype, shape) into groups; leave out layers beyond ``layers``, which the engine skips.

    Such layers are multi-token prediction heads; the engine loads them for speculative decoding only.
    """
    counts: dict[Tensor, int] = {}
    for name, dtype, shape in tensors:
        layer = LAYER.search(name)
        if layer is not None and layers and int(layer.group(1)) >= layers and "vision" not in name:
            continue
        key = (NUMBER.sub(".N", name), dtype, shape)
        counts[key] = counts.get(key, 0) + 1
    return tuple(TensorGroup(*key, count) for key, count in sorted(counts.items()))


def rank_weights(
    groups: Iterable[TensorGroup],
    geometry: Geometry,
    ranks: int,
    dtype_bytes: int | None = None,
    stage: Stage | None = None,
) -> int:
    """Return the bytes of weights on each of ``ranks`` ranks; ``dtype_bytes``: of the engine's dtype.

    With a ``stage`` they are the ranks of that stage of a pipeline, else of the whole model.
    """
    width = geometry.dtype_bytes if dtype_bytes is None else dtype_bytes
    return _rank_weights(tuple(groups), geometry, ranks, width, stage)


@lru_cache(maxsize=1024)  # many services, and many hosts of one process, have the same model
def _rank_weights(
    groups: tuple[TensorGroup, ...], geometry: Geometry, ranks: int, width: int, stage: Stage | None
) -> int:
    return sum(_stage_count(group, geometry, stage) * _rank_bytes(group, geometry, ranks, width) for group in groups)


def _stage_count(group: TensorGroup, geometry: Geometry, stage: Stage | None) -> int:
    """Return how many tensors of a group a stage of a pipeline has.

    Embeddings are on the first stage, and once more on the last where the output head is tied to them; norm and head
    are on the last (``model_executor/models/qwen3.py`` and its siblings). Where layers differ, dense and sparse ones,
    it is the most that any layers of that number can have.
    """
    if stage is None:
        return group.count
    if ".layers.N." in f".{group.name}" and "vision" not in group.name:
        layers = (geometry.num_hidden_layers, geometry.moe_layers, geometry.num_hidden_layers - geometry.moe_layers)
        per_layer = next((group.count // size for size in layers if size and group.count % size == 0), group.count)
        return min(group.count, per_layer * stage.layers)
    ends = {
        "embedding": stage.first or (stage.last and geometry.tie_word_embeddings),
        "head": stage.last,
        "whole": stage.last or not group.name.endswith("model.norm.weight"),
    }
    return group.count if ends.get(_rule(group.name), True) else 0


def total_parameters(groups: Iterable[TensorGroup]) -> int:
    """Return the number of weights, for checkpoints that are not quantized."""
    return sum(group.count * group.elements for group in groups)


@lru_cache(maxsize=4096)
def _rule(name: str) -> str:
    """Return the rule by which a tensor is divided; its name alone decides."""
    return next((rule for rule, pattern in RULES.items() if pattern.search(name)), "whole")


def _rank_bytes(group: TensorGroup, geometry: Geometry, ranks: int, width: int) -> int:
    rule = _rule(group.name)
    if rule == "skip" or (rule == "head" and geometry.tie_word_embeddings):
        return 0
    loaded = group.elements * (width if _is_cast(group) else ELEMENT_BYTES[group.dtype])
    if rule in ("head", "embedding"):
        rows = _round_up(_round_up(group.shape[0], VOCABULARY_PADDING), ranks)
        return loaded // group.shape[0] * rows // ranks
    if rule == "fused":
        queries, pairs = geometry.num_attention_heads, 2 * geometry.num_key_value_heads
        head = loaded // (queries + pairs)
        return _divided(head * queries, ranks) + _divided(head * pairs, _key_value_parts(geometry, ranks))
    if rule == "key_value":
        return _divided(loaded, _key_value_parts(geometry, ranks))
    part = group.name.rsplit(".", 1)[-1]
    whole = {
        "column": part == "g_idx" or group.elements == 1,
        "row": _is_whole_in_row(part, group.shape),
    }
    return loaded if whole.get(rule, True) else _divided(loaded, ranks)


def _key_value_parts(geometry: Geometry, ranks: int) -> int:
    return min(ranks, geometry.num_key_value_heads or ranks)


def _is_whole_in_row(part: str, shape: tuple[int, ...]) -> bool:
    """Whether every rank of a row-parallel layer has this tensor whole: what goes with its outputs does."""
    if part in ("weight", "down_proj", "qweight", "weight_packed", "g_idx"):
        return False
    if part in ("scales", "qzeros"):
        return shape[0] == 1  # one group over all inputs
    if part in ("weight_scale", "weight_scale_inv", "weight_zero_point"):
        return len(shape) < 2 or shape[1] == 1  # a scale per output, not per group of inputs
    return True


def _is_cast(group: TensorGroup) -> bool:
    """Whether the engine holds the tensor in its own dtype instead of the file's."""
    last = group.name.rsplit(".", 1)[-1]
    return group.dtype in FLOATS and last in ("weight", "bias", "gate_up_proj", "down_proj")


def _divided(size: int, parts: int) -> int:
    return -(-size // parts)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@lru_cache(maxsize=256)
def expected_tensors(geometry: Geometry) -> tuple[TensorGroup, ...]:
    """Return what a checkpoint of this geometry holds, or () where its architecture is unknown.

    Quantization is that of FP8 with block scales, or of AWQ and GPTQ with 4 or 8 bits; others are refused by
    returning (), because what they leave unquantized differs.
    """
    if geometry.family is None or geometry.quantization not in (None, "fp8", "awq", "gptq"):
        return ()
    if geometry.quantization in ("awq", "gptq") and geometry.quantization_bits not in (4, 8):
        return ()
    return tuple(_expected(geometry))


def _expected(geometry: Geometry) -> Iterator[TensorGroup]:
    dtype = {1: "F8_E4M3", 2: "BF16", 4: "F32"}[geometry.dtype_bytes]
    hidden, layers = geometry.hidden_size, geometry.num_hidden_layers
    yield TensorGroup("model.embed_tokens.weight", dtype, (geometry.vocab_size, hidden), 1)
    yield TensorGroup("model.norm.weight", dtype, (hidden,), 1)
    if not geometry.tie_word_embeddings:
        yield TensorGroup("lm_head.weight", dtype, (geometry.vocab_size, hidden), 1)
    family = geometry.family
    norms = layers * (family.norms_per_layer if family is not None else 2)
    yield TensorGroup("model.layers.N.layernorm.weight", dtype, (hidden,), norms)
    for name, outputs, inputs in _attention(geometry):
        yield from _linear(geometry, f"self_attn.{name}", (outputs, inputs), layers, dtype)
    if family is not None and family.qk_norm:
        yield TensorGroup("model.layers.N.self_attn.qk_norm.weight", dtype, (geometry.head_dim,), 2 * layers)
    if geometry.uses_mla:
        latent = geometry.kv_lora_rank + geometry.q_lora_rank
        yield TensorGroup("model.layers.N.self_attn.a_layernorm.weight", dtype, (latent,), layers)
    yield from _biases(geometry, dtype)
    yield from _feed_forward(geometry, dtype)


def _attention(geometry: Geometry) -> Iterator[tuple[str, int, int]]:
    """Yield (name, outputs, inputs) of one layer's attention projections."""
    hidden, heads = geometry.hidden_size, geometry.num_attention_heads
    if geometry.uses_mla:
        query = heads * (geometry.qk_nope_head_dim + geometry.qk_rope_head_dim)
        if geometry.q_lora_rank:
            yield "q_a_proj", geometry.q_lora_rank, hidden
            yield "q_b_proj", query, geometry.q_lora_rank
        else:
            yield "q_proj", query, hidden
        yield "kv_a_proj_with_mqa", geometry.kv_lora_rank + geometry.qk_rope_head_dim, hidden
        per_head = geometry.qk_nope_head_dim + geometry.v_head_dim
        yield "kv_b_proj", heads * per_head, geometry.kv_lora_rank
        yield "o_proj", hidden, heads * geometry.v_head_dim
        return
    keys = geometry.num_key_value_heads * geometry.head_dim
    yield "q_proj", heads * geometry.head_dim, hidden
    yield "k_proj", keys, hidden
    yield "v_proj", keys, hidden
    yield "o_proj", hidden, heads * geometry.head_dim


def _biases(geometry: Geometry, dtype: str) -> Iterator[TensorGroup]:
    family, layers = geometry.family, geometry.num_hidden_layers
    if geometry.uses_mla or not (geometry.attention_bias or (family is not None and family.qkv_bias)):
        return
    for name, heads in (
        ("q_proj", geometry.num_attention_heads),
        ("k_proj", geometry.num_key_value_heads),
        ("v_proj", geometry.num_key_value_heads),
    ):
        shape = (heads * geometry.head_dim,)
        yield TensorGroup(f"model.layers.N.self_attn.{name}.bias", dtype, shape, layers)
    if geometry.attention_bias:
        yield TensorGroup("model.layers.N.self_attn.o_proj.bias", dtype, (geometry.hidden_size,), layers)


def _feed_forward(geometry: Geometry, dtype: str) -> Iterator[TensorGroup]:
    hidden, sparse = geometry.hidden_size, geometry.moe_layers
    parts = [("mlp", geometry.intermediate_size, geometry.num_hidden_layers - sparse)]
    if sparse:
        router = (geometry.num_experts, hidden)
        yield TensorGroup("model.layers.N.mlp.gate.weight", dtype, router, sparse)
        parts.append(("mlp.experts.N", geometry.moe_intermediate_size, sparse * geometry.num_experts))
        parts.append(("mlp.shared_experts", geometry.shared_expert_intermediate_size, sparse))
        if geometry.architecture == "Qwen2MoeForCausalLM":
            yield TensorGroup("model.layers.N.mlp.shared_expert_gate.weight", dtype, (1, hidden), sparse)
    for name, width, count in parts:
        if width and count:
            yield from _linear(geometry, f"{name}.gate_proj", (width, hidden), count, dtype)
            yield from _linear(geometry, f"{name}.up_proj", (width, hidden), count, dtype)
            yield from _linear(geometry, f"{name}.down_proj", (hidden, width), count, dtype)


def _linear(geometry: Geometry, name: str, shape: tuple[int, int], count: int, dtype: str) -> Iterator[TensorGroup]:
    """Yield the tensors of one kind of linear layer, (outputs, inputs), in the checkpoint's quantization."""
    outputs, inputs = shape
    prefix = f"model.layers.N.{name}"
    if geometry.quantization is None:
        yield TensorGroup(f"{prefix}.weight", dtype, (outputs, inputs), count)
    elif geometry.quantization == "fp8":
        yield TensorGroup(f"{prefix}.weight", "F8_E4M3", (outputs, inputs), count)
        side = math.isqrt(geometry.quantization_group_size)
        scales = (_divided(outputs, side), _divided(inputs, side)) if side else (1,)
        yield TensorGroup(f"{prefix}.weight_scale_inv", "F32", scales, count)
    else:
        packed = 32 // geometry.quantization_bits
        group = geometry.quantization_group_size
        rows = inputs // group if group > 0 else 1
        yield TensorGroup(f"{prefix}.qweight", "I32", (inputs, outputs // packed), count)
        yield TensorGroup(f"{prefix}.qzeros", "I32", (rows, outputs // packed), count)
        yield TensorGroup(f"{prefix}.scales", "F16", (rows, outputs), count)
