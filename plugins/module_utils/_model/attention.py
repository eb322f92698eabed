# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The heads of each kind of attention, and what its layers keep per token.

Layers of one kind may have other heads than those of another kind (``global_head_dim``, ``swa_num_key_value_heads``),
and single layers may have their own (``block_configs``). Layers with the same needs are counted together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .._values import as_integer
from .config import Config
from .pattern import BOTH, CHUNK, FULL, STATE, WINDOW, Layer
from .state import State

LATENT, INDEX, CROSS = "latent", "index", "cross"


@dataclass(frozen=True)
class Heads:
    """The heads of one kind of attention: keys have ``key_dim`` values each, values ``value_dim``."""

    queries: int
    keys: int
    key_dim: int
    value_dim: int


@dataclass(frozen=True)
class CacheLayers:
    """``count`` layers with the same needs of a KV cache.

    ``kind`` is full, window, chunk, latent (one vector per token, on every rank whole), index (the keys of a sparse
    attention's indexer), cross (a fixed length per request) or state (no tokens, one page per sequence).
    ``reach`` is the tokens of a window, a chunk or an encoder.
    """

    kind: str
    count: int
    heads: int = 0
    key_dim: int = 0
    value_dim: int = 0
    reach: int = 0
    state: State | None = None
    ratio: int = 1  # tokens that share one vector of a latent cache

    def token_bytes(self, ranks: int, width: int) -> int:
        """Return the bytes of one token in one layer on one rank; ``width``: of one value of the cache."""
        if self.kind == INDEX:  # 8 bits per value and a float32 scale per 128 of them
            return self.key_dim + -(-self.key_dim // 128) * 4
        if self.kind == LATENT:
            return self.key_dim * width
        return max(1, self.heads // ranks) * (self.key_dim + self.value_dim) * width


def heads_of(config: Config, kind: str) -> Heads:
    """Return the heads of the layers with one kind of attention."""
    hidden, queries = config.size("hidden_size"), _queries(config, kind)
    keys = config.size("num_key_value_heads", highest=1 << 14) or _old_keys(config) or queries
    dim = config.size("head_dim", highest=1 << 16)
    dim = dim or (hidden // queries if queries else 0)
    values = 0 if "kv_lora_rank" in config else config.size("v_head_dim", highest=1 << 16)
    if kind == FULL:
        dim = config.size("global_head_dim") or dim
        keys = config.size("num_global_key_value_heads") or keys
    if kind == WINDOW:
        keys = config.size("swa_num_key_value_heads") or keys
        dim = config.size("swa_head_dim") or dim
        values = config.size("swa_v_head_dim") or values
    return Heads(queries, keys, dim, values or dim)


def _queries(config: Config, kind: str) -> int:
    if kind == WINDOW:
        other = config.part("attention_other_setting")
        stated = as_integer(other.get("num_attention_heads")) or config.size("swa_num_attention_heads")
        if stated:
            return stated
    stated = config.size("num_attention_heads", highest=1 << 14)
    if not stated and "encoder_layers" in config:  # as in all encoder-decoders for speech
        return config.size("hidden_size") // 64
    return stated


def _old_keys(config: Config) -> int:
    """Return the key-value heads of models that state a switch instead of a number."""
    return 1 if config.get("multi_query") is True and config.get("new_decoder_architecture") is not True else 0


def read_cache(
    config: Config, layers: Sequence[Layer], state: State | None, blocks: Sequence[Heads | None]
) -> tuple[CacheLayers, ...]:
    """Return what the layers keep, alike ones together; () for an encoder. ``blocks``: heads of single layers."""
    if is_encoder(config):
        return ()
    ratios = config.numbers("compress_ratios")
    if ratios:
        return _compressed(config, ratios[: len(layers)])
    found: Counter[CacheLayers] = Counter()
    for place, layer in enumerate(layers):
        if layer.mixer in (STATE, BOTH) and state is not None:
            found[CacheLayers(STATE, 0, state=state)] += 1
        mixer = FULL if layer.mixer == BOTH else layer.mixer
        if mixer not in (FULL, WINDOW, CHUNK) or not layer.cached:
            continue
        own = blocks[place] if place < len(blocks) else heads_of(config, mixer)
        if own is not None:
            found[_attention(config, mixer, own)] += 1
    full = sum(count for key, count in found.items() if key.kind == LATENT)
    if full and "index_head_dim" in config and "index_n_heads" in config:
        found[CacheLayers(INDEX, 0, key_dim=config.size("index_head_dim"))] += full
    if "encoder_layers" in config or config.get("is_encoder_decoder") is True:
        heads = heads_of(config, FULL)
        reach = config.size("max_source_positions") or 1500
        cross = CacheLayers(CROSS, 0, heads.keys, heads.key_dim, heads.value_dim, reach)
        found[cross] += sum(layer.mixer == FULL for layer in layers)
    return tuple(_counted(found))


def _attention(config: Config, mixer: str, heads: Heads) -> CacheLayers:
    if "kv_lora_rank" in config:
        vector = config.size("kv_lora_rank", highest=1 << 16) + config.size("qk_rope_head_dim", highest=1 << 16)
        return CacheLayers(LATENT, 0, 1, vector, 0)
    reach = {WINDOW: "sliding_window", CHUNK: "attention_chunk_size"}.get(mixer)
    return CacheLayers(mixer, 0, heads.keys, heads.key_dim, heads.value_dim, config.size(reach) if reach else 0)


def _counted(found: Mapping[CacheLayers, int]) -> Iterable[CacheLayers]:
    for key, count in found.items():
        yield CacheLayers(key.kind, count, key.heads, key.key_dim, key.value_dim, key.reach, key.state, key.ratio)


def _compressed(config: Config, ratios: Sequence[int]) -> tuple[CacheLayers, ...]:
    """Read compressed latent attention: a window in every layer, and one vector per ``ratio`` tokens beside it.

    Layers that compress little look up with an indexer, which keeps its keys at the same ratio.
    """
    vector, window = config.size("head_dim", True), config.size("sliding_window", True)
    found = [CacheLayers(WINDOW, len(ratios), 1, vector, 0, window)]
    for ratio, count in sorted(Counter(ratio for ratio in ratios if ratio > 1).items()):
        found.append(CacheLayers(LATENT, count, 1, vector, 0, ratio=ratio))
        if ratio < 16 and "index_head_dim" in config:
            found.append(CacheLayers(INDEX, count, key_dim=config.size("index_head_dim"), ratio=ratio))
    return tuple(found)


_ENCODERS = ("bert", "roberta", "electra", "deberta", "mpnet", "gtemodel", "newmodel", "bidirectional")


def is_encoder(config: Config) -> bool:
    """Whether a model only encodes, and so keeps no cache: it tells token types apart or sees both directions."""
    names = f"{config.architecture} {config.get('model_type', '')}".lower()
    if config.architecture.endswith("ForCausalLM") or "decoder_layers" in config:
        return False
    both = config.get("use_bidirectional_attention") is True or config.get("is_causal") is False
    return both or "type_vocab_size" in config or any(word in names for word in _ENCODERS)


def block_heads(config: Config, count: int) -> list[Heads | None]:
    """Return the heads of each layer where ``block_configs`` states them; None for a layer without attention."""
    blocks = config.get("block_configs")
    if not isinstance(blocks, (list, tuple)):
        return []
    shared = heads_of(config, FULL)
    found: list[Heads | None] = []
    for block in blocks[:count]:
        part = block.get("attention") if isinstance(block, Mapping) else None
        if not isinstance(part, Mapping) or part.get("no_op") or part.get("replace_with_linear"):
            found.append(None)
            continue
        group, keys = as_integer(part.get("n_heads_in_group")), as_integer(part.get("num_key_value_heads"))
        keys = keys or (shared.queries // group if group else shared.keys)
        found.append(Heads(shared.queries, keys, shared.key_dim, shared.value_dim))
    return found
