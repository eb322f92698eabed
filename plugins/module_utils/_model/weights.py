# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of weights that one tensor-parallel rank holds.

Tensors come from the headers of safetensors files (``checkpoint``), or, where there are no files, from the geometry
(``expected``). ``sharding`` says how each is divided; key and value heads are repeated where there are fewer of them
than ranks.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from .geometry import Geometry
from .sharding import (
    COLUMN,
    EMBEDDING,
    FUSED,
    HEAD,
    KEY_VALUE,
    MIXED,
    ROW,
    SKIP,
    UNKNOWN,
    WHOLE,
    rule_of,
)
from .stages import Stage
from .state import MAMBA2
from .tensors import ELEMENT_BYTES, TensorGroup

FLOATS = ("F64", "F32", "F16", "BF16")
VOCABULARY_PADDING = 64  # DEFAULT_VOCAB_PADDING_SIZE of the engine


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


def unknown(groups: Iterable[TensorGroup]) -> list[TensorGroup]:
    """Return the tensors of which no rule says how they are divided: their share per rank is an estimate."""
    return [group for group in groups if rule_of(group.name) == UNKNOWN and len(group.shape) > 1]


@lru_cache(maxsize=1024)  # many services, and many hosts of one process, have the same model
def _rank_weights(
    groups: tuple[TensorGroup, ...], geometry: Geometry, ranks: int, width: int, stage: Stage | None
) -> int:
    return sum(_stage_count(group, geometry, stage) * _rank_bytes(group, geometry, ranks, width) for group in groups)


def made_bytes(
    groups: Iterable[TensorGroup],
    geometry: Geometry,
    ranks: int,
    dtype_bytes: int | None = None,
    stage: Stage | None = None,
) -> int:
    """Return the bytes that the engine makes of the weights while it loads them, beside them, on each rank.

    They are the tables of the rotary embedding, and the two matrices that latent attention makes of ``kv_b_proj`` in
    the engine's own type (``process_weights_after_loading`` in ``attention/mla_attention.py``).
    """
    width = geometry.dtype_bytes if dtype_bytes is None else dtype_bytes
    tables = geometry.rope.table_bytes(geometry.max_position_embeddings, width)
    latent = None if geometry.body is None else geometry.body.latent
    if latent is None or not geometry.num_attention_heads:
        return tables
    found = [group for group in groups if group.name.endswith((".kv_b_proj.weight", ".kv_b_proj.weight_packed"))]
    heads = _divided(geometry.num_attention_heads, ranks)
    each = heads * (latent.nope + latent.value) * latent.kv_rank * width
    return tables + each * sum(_stage_count(group, geometry, stage) for group in found)


def _stage_count(group: TensorGroup, geometry: Geometry, stage: Stage | None) -> int:
    """Return how many tensors of a group a stage of a pipeline has.

    Embeddings are on the first stage, and once more on the last where the output head is tied to them; norm and head
    are on the last (``model_executor/models/qwen3.py`` and its siblings). Where layers differ, dense and sparse ones,
    it is the most that any layers of that number can have.
    """
    if stage is None:
        return group.count
    if ".layers.N." in f".{group.name}" and not group.is_tower:
        layers = (geometry.num_hidden_layers, geometry.moe_layers, geometry.num_hidden_layers - geometry.moe_layers)
        per_layer = next((group.count // size for size in layers if size and group.count % size == 0), group.count)
        return min(group.count, per_layer * stage.layers)
    ends = {
        EMBEDDING: stage.first or (stage.last and geometry.tie_word_embeddings),
        HEAD: stage.last,
        WHOLE: stage.last or not group.name.endswith("model.norm.weight"),
    }
    return group.count if ends.get(rule_of(group.name), True) else 0


def _rank_bytes(group: TensorGroup, geometry: Geometry, ranks: int, width: int) -> int:
    rule = rule_of(group.name)
    if rule == SKIP or (rule == HEAD and geometry.tie_word_embeddings):
        return 0
    loaded = group.elements * (width if _is_cast(group) else ELEMENT_BYTES[group.dtype])
    if not loaded:
        return 0
    if rule in _SPECIAL:
        return _SPECIAL[rule](group, geometry, ranks, loaded)
    part = group.name.rsplit(".", 1)[-1]
    whole = {
        COLUMN: part == "g_idx" or group.elements == 1,
        ROW: _is_whole_in_row(part, group.shape),
        UNKNOWN: len(group.shape) < 2,
    }
    return loaded if whole.get(rule, True) else _divided(loaded, ranks)


def _vocabulary(group: TensorGroup, geometry: Geometry, ranks: int, loaded: int) -> int:
    if geometry.body is not None and geometry.body.cross:
        return loaded  # the decoder of an encoder-decoder has its vocabulary on every rank
    rows = _round_up(_round_up(group.shape[0], VOCABULARY_PADDING), ranks)
    return loaded // group.shape[0] * rows // ranks


def _fused(group: TensorGroup, geometry: Geometry, ranks: int, loaded: int) -> int:
    """Divide queries, and keys and values, which are repeated where there are fewer of them than ranks."""
    if group.is_tower or not geometry.num_attention_heads:
        return _divided(loaded, ranks)
    queries, pairs = geometry.num_attention_heads, 2 * geometry.num_key_value_heads
    state = geometry.body.state if geometry.body is not None else None
    if state is not None and group.shape[0] == 3 * state.inner:
        return _divided(loaded, ranks)
    head = loaded // (queries + pairs)
    parts = min(ranks, geometry.num_key_value_heads or ranks)
    return _divided(head * queries, ranks) + _divided(head * pairs, parts)


def _key_value_parts(group: TensorGroup, geometry: Geometry, ranks: int) -> int:
    """Return over how many ranks keys and values are divided: those of that kind of layer, by its size."""
    if group.is_tower:
        return ranks
    heads = geometry.num_key_value_heads
    body = geometry.body
    if body is not None:
        if body.state is not None and group.shape[0] == body.state.inner:
            return min(ranks, max(1, body.state.heads))
        sizes = {kind.keys * dim: kind.keys for _name, kind in body.heads for dim in (kind.key_dim, kind.value_dim)}
        heads = sizes.get(group.shape[0], heads)
    return min(ranks, heads or ranks)


def _key_value(group: TensorGroup, geometry: Geometry, ranks: int, loaded: int) -> int:
    return _divided(loaded, _key_value_parts(group, geometry, ranks))


def _mixed(group: TensorGroup, geometry: Geometry, ranks: int, loaded: int) -> int:
    """Divide a recurrent layer's projection; groups that do not divide over the ranks are repeated."""
    state = geometry.body.state if geometry.body is not None else None
    if state is not None and state.kind == MAMBA2 and state.groups % ranks:
        loaded += loaded // group.shape[0] * 2 * (ranks - state.groups) * state.size
    return _divided(loaded, ranks)


_SPECIAL = {HEAD: _vocabulary, EMBEDDING: _vocabulary, FUSED: _fused, KEY_VALUE: _key_value, MIXED: _mixed}


def _is_whole_in_row(part: str, shape: tuple[int, ...]) -> bool:
    """Whether every rank of a row-parallel layer has this tensor whole: the ones that go with its outputs are."""
    if part in ("weight", "down_proj", "qweight", "weight_packed", "g_idx", "down_proj_blocks", "down_proj_scales"):
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
