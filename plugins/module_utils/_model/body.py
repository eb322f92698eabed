# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tensors that a checkpoint of a geometry holds, where there are no files to read: an estimate.

Each layer's modules are listed with their shapes, outputs first, and stored in the checkpoint's quantization. The
sizes follow from config.json; small tensors that only the model's code knows (norms of heads) are taken from a list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .attention import Heads
from .feed import Feed
from .pattern import BOTH, CHUNK, DENSE, EXPERTS, FULL, STATE, WINDOW, Layer
from .quantisation import Quantization
from .state import CONVOLUTION, DELTA, KDA, LIGHTNING, MAMBA1, MAMBA2, State


@dataclass(frozen=True)
class Latent:
    """The sizes of multi-head latent attention, and of its indexer where it has one."""

    kv_rank: int
    q_rank: int
    rope: int
    nope: int
    value: int
    index_heads: int = 0
    index_dim: int = 0


@dataclass(frozen=True)
class Compressed:
    """The sizes of compressed latent attention: ``ratios`` by layer, low ranks of query and output."""

    ratios: tuple[int, ...]
    q_rank: int
    o_rank: int
    o_groups: int
    index_heads: int
    index_dim: int
    streams: int
    hashed: int
    choices: int


@dataclass(frozen=True)
class Body:
    """A language model's layers as its weights need them."""

    hidden: int
    vocabulary: int
    layers: tuple[Layer, ...]
    heads: tuple[tuple[str, Heads], ...]  # by kind of attention
    feed: Feed
    state: State | None = None
    latent: Latent | None = None
    compressed: Compressed | None = None
    blocks: tuple[Heads | None, ...] = ()
    widths: tuple[int, ...] = ()  # columns of the dense layer, where they differ by layer
    tied: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: bool = False
    gate: bool = False  # the query projection also makes a gate
    one_kv: bool = False  # full attention uses its keys as values
    norms: int = 2
    positions: int = 0  # learned ones
    types: int = 0
    per_layer: int = 0  # values of a further embedding in each layer
    per_layer_vocabulary: int = 0
    low_rank: int = 0  # of a learned residual in each layer
    streams: int = 0  # parallel residual streams
    cross: bool = False  # each layer also attends to an encoder
    linear: Quantization | None = None

    def heads_of(self, place: int, mixer: str) -> Heads | None:
        """Return the heads of a layer's attention; None where the layer has none."""
        if place < len(self.blocks):
            return self.blocks[place]
        found = dict(self.heads)
        return found.get(mixer, found.get(FULL))


Module = tuple[str, tuple[int, ...], int]  # name below the layer, shape (outputs, inputs) or (size,), how many


def layer_modules(body: Body, place: int) -> Iterator[Module]:
    """Yield the modules of one layer; those of two dimensions are linear and may be quantized."""
    layer = body.layers[place]
    yield "input_layernorm", (body.hidden,), body.norms if layer.feed != "none" and layer.mixer != "none" else 1
    if body.compressed is not None:
        yield from _compressed(body, body.compressed, place)
    elif layer.mixer in (FULL, WINDOW, CHUNK, BOTH):
        if body.latent is not None:
            yield from _latent(body, body.latent)
        else:
            yield from _attention(body, place, FULL if layer.mixer == BOTH else layer.mixer)
    if layer.mixer in (STATE, BOTH) and body.state is not None:
        yield from _state(body.hidden, body.state)
    if layer.feed in (DENSE, "both"):
        yield from _dense(body, place)
    if layer.feed in (EXPERTS, "both"):
        yield from _experts(body, "" if layer.feed == "both" else "mlp.")
    if body.per_layer:
        yield "per_layer_input_gate", (body.per_layer, body.hidden), 1
        yield "per_layer_projection", (body.hidden, body.per_layer), 1
    if body.low_rank:
        yield "laurel.linear_left", (body.low_rank, body.hidden), 1
        yield "laurel.linear_right", (body.hidden, body.low_rank), 1


def _attention(body: Body, place: int, mixer: str) -> Iterator[Module]:
    heads = body.heads_of(place, mixer)
    if heads is None:
        return
    queries = heads.queries * heads.key_dim * (2 if body.gate else 1)
    names = ("self_attn", "encoder_attn") if body.cross else ("self_attn",)
    for name in names:
        yield f"{name}.q_proj", (queries, body.hidden), 1
        yield f"{name}.k_proj", (heads.keys * heads.key_dim, body.hidden), 1
        if not (body.one_kv and mixer == FULL):
            yield f"{name}.v_proj", (heads.keys * heads.value_dim, body.hidden), 1
        yield f"{name}.o_proj", (body.hidden, heads.queries * heads.value_dim), 1
        if body.qkv_bias:
            yield f"{name}.q_proj.bias", (queries,), 1
            yield f"{name}.k_proj.bias", (heads.keys * heads.key_dim,), 1
            yield f"{name}.v_proj.bias", (heads.keys * heads.value_dim,), 1
        if body.o_bias:
            yield f"{name}.o_proj.bias", (body.hidden,), 1
    if body.qk_norm:
        yield "self_attn.qk_norm", (heads.key_dim,), 2


def _latent(body: Body, latent: Latent) -> Iterator[Module]:
    heads = dict(body.heads)[FULL].queries
    query = heads * (latent.nope + latent.rope)
    if latent.q_rank:
        yield "self_attn.q_a_proj", (latent.q_rank, body.hidden), 1
        yield "self_attn.q_b_proj", (query, latent.q_rank), 1
    else:
        yield "self_attn.q_proj", (query, body.hidden), 1
    yield "self_attn.kv_a_proj_with_mqa", (latent.kv_rank + latent.rope, body.hidden), 1
    yield "self_attn.kv_b_proj", (heads * (latent.nope + latent.value), latent.kv_rank), 1
    yield "self_attn.o_proj", (body.hidden, heads * latent.value), 1
    yield "self_attn.a_layernorm", (latent.kv_rank + latent.q_rank,), 1
    if latent.index_dim:
        yield "self_attn.indexer.wq_b", (latent.index_heads * latent.index_dim, latent.q_rank), 1
        yield "self_attn.indexer.wk", (latent.index_dim, body.hidden), 1
        yield "self_attn.indexer.weights_proj", (latent.index_heads, body.hidden), 1
        yield "self_attn.indexer.k_norm", (latent.index_dim,), 2


def _compressed(body: Body, sizes: Compressed, place: int) -> Iterator[Module]:
    heads = dict(body.heads)[FULL]
    inner, ratio = heads.queries * heads.key_dim, sizes.ratios[place]
    yield "attn.wq_a", (sizes.q_rank, body.hidden), 1
    yield "attn.wq_b", (inner, sizes.q_rank), 1
    yield "attn.wkv", (heads.key_dim, body.hidden), 1
    yield "attn.wo_a", (sizes.o_groups * sizes.o_rank, inner // max(1, sizes.o_groups)), 1
    yield "attn.wo_b", (body.hidden, sizes.o_groups * sizes.o_rank), 1
    mixed = (2 + sizes.streams) * sizes.streams
    yield "hc_fn", (mixed, sizes.streams * body.hidden), 2
    if ratio > 1:
        overlap = 2 if ratio == 4 else 1
        yield "attn.compressor.wkv", (overlap * heads.key_dim, body.hidden), 2
        if ratio == 4:
            yield "attn.indexer.wq_b", (sizes.index_heads * sizes.index_dim, sizes.q_rank), 1
            yield "attn.indexer.weights_proj", (sizes.index_heads, body.hidden), 1
            yield "attn.indexer.compressor.wkv", (2 * sizes.index_dim, body.hidden), 2


def _state(hidden: int, state: State) -> Iterator[Module]:
    inner, heads, kernel = state.inner, state.heads, state.kernel
    if state.kind == DELTA:
        yield "linear_attn.in_proj_qkv", (state.convolved, hidden), 1
        yield "linear_attn.in_proj_z", (inner, hidden), 1
        yield "linear_attn.in_proj_ba", (2 * heads, hidden), 1
        yield "linear_attn.conv1d", (state.convolved, 1, kernel), 1
        yield "linear_attn.A_log", (heads,), 2
        yield "linear_attn.norm", (state.head_dim,), 1
    elif state.kind == KDA:
        for name in ("q_proj", "k_proj", "v_proj"):
            yield f"self_attn.{name}", (inner, hidden), 1
        yield "self_attn.f_a_proj", (state.head_dim, hidden), 2
        yield "self_attn.f_b_proj", (inner, state.head_dim), 2
        yield "self_attn.b_proj", (heads, hidden), 1
        yield "self_attn.conv1d", (state.convolved, 1, kernel), 1
    elif state.kind == LIGHTNING:
        yield "self_attn.qkv_proj", (3 * inner, hidden), 1
        yield "self_attn.output_gate", (inner, hidden), 1
        yield "self_attn.norm", (inner,), 1
    elif state.kind == CONVOLUTION:
        yield "conv.in_proj", (3 * inner, hidden), 1
        yield "conv.conv", (inner, 1, kernel), 1
    elif state.kind == MAMBA1:
        rank = -(-hidden // 16)
        yield "mamba.in_proj", (2 * inner, hidden), 1
        yield "mamba.x_proj", (rank + 2 * state.size, inner), 1
        yield "mamba.dt_proj", (inner, rank), 1
        yield "mamba.conv1d", (inner, 1, kernel), 1
        yield "mamba.A_log", (inner, state.size), 1
    elif state.kind == MAMBA2:
        yield "mamba.in_proj", (inner + state.convolved + heads, hidden), 1
        yield "mamba.conv1d", (state.convolved, 1, kernel), 1
        yield "mamba.conv1d.bias", (state.convolved,), 1
        yield "mamba.A_log", (heads,), 3
        yield "mamba.norm", (inner,), 1
    yield _OUTPUTS[state.kind], (hidden, inner), 1


_OUTPUTS = {
    DELTA: "linear_attn.out_proj",
    KDA: "self_attn.o_proj",
    LIGHTNING: "self_attn.out_proj",
    CONVOLUTION: "conv.out_proj",
    MAMBA1: "mamba.out_proj",
    MAMBA2: "mamba.out_proj",
}


def _dense(body: Body, place: int) -> Iterator[Module]:
    width = body.widths[place] if place < len(body.widths) else body.feed.dense
    yield from _projections(body, "mlp", width, body.hidden, 1)
    if body.feed.bias:
        yield "mlp.up_proj.bias", (width,), 2 if body.feed.gated else 1
        yield "mlp.down_proj.bias", (body.hidden,), 1


def _experts(body: Body, parent: str) -> Iterator[Module]:
    feed, inner = body.feed, body.feed.latent or body.hidden
    yield "mlp.gate" if parent else "router", (feed.experts, body.hidden), 1
    yield from _projections(body, f"{parent}experts", feed.expert, inner, feed.experts)
    if feed.expert_bias:
        yield "mlp.experts.up_proj_bias", ((2 if feed.gated else 1) * feed.expert,), feed.experts
        yield "mlp.experts.down_proj_bias", (inner,), feed.experts
    if feed.latent:
        yield "mlp.fc1_latent_proj", (feed.latent, body.hidden), 1
        yield "mlp.fc2_latent_proj", (body.hidden, feed.latent), 1
    if feed.shared:
        yield from _projections(body, "mlp.shared_expert", feed.shared, body.hidden, 1)
    if feed.shared_gate:
        yield "mlp.shared_expert_gate", (1, body.hidden), 1


def _projections(body: Body, name: str, width: int, hidden: int, count: int) -> Iterator[Module]:
    if not width or not count:
        return
    if body.feed.gated:
        yield f"{name}.gate_proj", (width, hidden), count
    yield f"{name}.up_proj", (width, hidden), count
    yield f"{name}.down_proj", (hidden, width), count
