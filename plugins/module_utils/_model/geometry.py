# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The geometry of a model: the numbers of its config.json that decide its memory.

Field names are config.json's own. A model is read by its structure, so that a family nobody here has seen is read, too:
which layers it has (``_model/pattern``), what they keep (``_model/attention``, ``_model/state``), how wide they are
(``_model/feed``) and how they are stored (``_model/quantisation``). Both spellings of transformers are read: 4
(``torch_dtype``, ``rope_scaling``) and 5 (``dtype``, ``rope_parameters``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .._errors import InferenceError
from .._values import shown
from .attention import LATENT, CacheLayers, block_heads, heads_of, is_encoder, read_cache
from .body import Body, Module
from .config import Config
from .pattern import EXPERTS, FULL, MOST_LAYERS, WINDOW, Layer, read_layers
from .quantisation import Quantization, read_quantization
from .rope import NO_ROPE, RopeSettings, read_rope
from .shape import read_body
from .state import read_state
from .tower import read_towers

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "float8_e4m3fn": 1, "float8_e5m2": 1}
# The engine's own limit where a config states none (``_get_and_verify_max_len``).
UNSTATED_LENGTH = 2048
# What a geometry needs before layers and weights follow from it.
STRUCTURE = {"hidden_size": 1 << 20, "num_hidden_layers": MOST_LAYERS, "vocab_size": 1 << 24}


@dataclass(frozen=True)
class Geometry:
    """A model's shape. Zero means "not stated", which a geometry may leave that states ``kv_bytes_per_token``."""

    architecture: str
    max_position_embeddings: int
    dtype: str
    hidden_size: int = 0
    num_hidden_layers: int = 0
    num_attention_heads: int = 0
    num_key_value_heads: int = 0
    head_dim: int = 0
    intermediate_size: int = 0
    vocab_size: int = 0
    tie_word_embeddings: bool = False
    # stated by the user where files do not tell
    parameters: int | None = None
    weights_bytes: int | None = None  # of the whole model, all ranks together
    kv_bytes_per_token: int | None = None  # all layers, on one rank, as the log of the service shows it
    kv_bytes_per_token_ranks: int = 0  # the tensor-parallel size of that log; 0: the service's own
    kv_bytes_per_token_dtype: str | None = None  # the cache's type in that log; None: the service's own
    # attention that keeps a window only
    sliding_window: int | None = None
    sliding_layers: int = 0
    # multi-head latent attention; 0 where the model has none
    kv_lora_rank: int = 0
    q_lora_rank: int = 0
    qk_rope_head_dim: int = 0
    qk_nope_head_dim: int = 0
    v_head_dim: int = 0
    # mixture of experts; 0 where the model has none
    num_experts: int = 0
    moe_layers: int = 0
    moe_intermediate_size: int = 0
    shared_expert_intermediate_size: int = 0
    rope: RopeSettings = NO_ROPE
    # what the layers keep per token or sequence; () where an encoder keeps nothing, or where nothing tells
    cache: tuple[CacheLayers, ...] = ()
    encoder: bool = False
    alike: bool = True  # whether all layers keep the same
    cache_dtype: str | None = None  # the type of the KV cache that the checkpoint asks for
    # what its weights follow from
    body: Body | None = None
    towers: tuple[Module, ...] = ()
    quantization: Quantization | None = None

    @property
    def uses_mla(self) -> bool:
        """Whether it keeps a latent vector per token, which is on every rank whole."""
        return any(layers.kind == LATENT for layers in self.cache)

    @property
    def keeps_heads(self) -> bool:
        """Whether it keeps keys and values by heads, which ranks divide; true where its layers were not read."""
        return not self.is_known or any(layers.heads and layers.kind != LATENT for layers in self.cache)

    @property
    def is_known(self) -> bool:
        """Whether its layers were read."""
        return self.body is not None

    @property
    def dtype_bytes(self) -> int:
        """Bytes of one weight as the engine holds it: it loads float32 checkpoints in 16 bits."""
        return min(2, DTYPE_BYTES[self.dtype])

    def to_dict(self) -> dict[str, Any]:
        """Return the geometry in JSON types."""
        return asdict(self)

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        where: str = "config.json",
        quantization: Mapping[str, Any] | None = None,
        stated: Mapping[str, Any] | None = None,
    ) -> Geometry:
        """Read config.json's content, or a geometry stated in its words; InferenceError says what is wrong.

        ``architecture`` is accepted beside config.json's list ``architectures``. A nested language model
        (``text_config``) is read as the model. ``quantization`` is the content of hf_quant_config.json, ``stated`` a
        user's own values, which decide over those of the file.
        """
        return _read(Config(config, where, stated), quantization)


def _read(config: Config, beside: Mapping[str, Any] | None) -> Geometry:
    stated_cache = config.size("kv_bytes_per_token", highest=1 << 32) or None
    structured = stated_cache is None or all(key in config for key in STRUCTURE)
    layers: tuple[Layer, ...] = ()
    body: Body | None = None
    towers: tuple[Module, ...] = ()
    cache: tuple[CacheLayers, ...] = ()
    settings = config.get("quantization_config", config.get("compression_config"))
    stated_bytes = config.size("weights_bytes", highest=1 << 50) or None
    try:
        quantization = read_quantization(settings, beside, config.where, config.get("expert_dtype"))
    except InferenceError:
        if stated_bytes is None:
            raise
        quantization = None  # the bytes that it would tell are stated
    if structured:
        for key, highest in STRUCTURE.items():
            config.size(key, needed=True, highest=highest)
        layers = read_layers(config)
        state = read_state(config)
        if any(layer.mixer in (FULL, WINDOW) for layer in layers) and "kv_lora_rank" not in config:
            config.size("num_attention_heads", needed="decoder_layers" not in config, highest=1 << 14)
        blocks = block_heads(config, len(layers))
        cache = read_cache(config, layers, state, blocks)
        body = read_body(config, layers, state, blocks, quantization)
        towers = read_towers(config)
    window = next((kept for kept in cache if kept.kind == WINDOW), None)
    heads = heads_of(config, FULL)
    feed = None if body is None else body.feed
    latent = None if body is None else body.latent
    return Geometry(
        architecture=config.architecture,
        max_position_embeddings=_length(config),
        dtype=_dtype(config),
        hidden_size=config.size("hidden_size", highest=1 << 20),
        num_hidden_layers=len(layers) or config.size("num_hidden_layers"),
        num_attention_heads=heads.queries,
        num_key_value_heads=heads.keys or heads.queries,
        head_dim=heads.key_dim,
        intermediate_size=0 if feed is None else feed.dense,
        vocab_size=config.size("vocab_size", highest=1 << 24),
        tie_word_embeddings=_tied(config),
        parameters=config.size("parameters", highest=1 << 50) or None,
        weights_bytes=stated_bytes,
        kv_bytes_per_token=stated_cache,
        kv_bytes_per_token_ranks=config.size("kv_bytes_per_token_ranks", highest=1 << 10),
        kv_bytes_per_token_dtype=_stated_dtype(config),
        sliding_window=window.reach if window else None,
        sliding_layers=window.count if window else 0,
        kv_lora_rank=latent.kv_rank if latent else 0,
        q_lora_rank=latent.q_rank if latent else 0,
        qk_rope_head_dim=latent.rope if latent else 0,
        qk_nope_head_dim=latent.nope if latent else 0,
        v_head_dim=latent.value if latent else 0,
        num_experts=feed.experts if feed else 0,
        moe_layers=sum(layer.feed in (EXPERTS, "both") for layer in layers),
        moe_intermediate_size=feed.expert if feed else 0,
        shared_expert_intermediate_size=feed.shared if feed else 0,
        rope=read_rope(config),
        cache=cache,
        encoder=structured and is_encoder(config),
        alike=len({(layer.mixer, layer.cached) for layer in layers}) <= 1,
        cache_dtype=quantization.cache if quantization else None,
        body=body,
        towers=towers,
        quantization=quantization,
    )


def _length(config: Config) -> int:
    length = config.size("max_position_embeddings") or UNSTATED_LENGTH
    return length - 2 if "roberta" in config.architecture.lower() and length > 2 else length


def _tied(config: Config) -> bool:
    stated = config.outer.get("tie_word_embeddings")
    if isinstance(stated, bool) and "tie_word_embeddings" not in config.values:
        return stated
    return config.flag("tie_word_embeddings")


def _dtype(config: Config) -> str:
    value = config.get("dtype", config.get("torch_dtype", "bfloat16"))
    name = value.replace("torch.", "") if isinstance(value, str) else value
    name = "bfloat16" if name == "auto" else name
    if not isinstance(name, str) or name not in DTYPE_BYTES:
        raise InferenceError(f"{config.where}: dtype {shown(value)} is none of {', '.join(DTYPE_BYTES)}.")
    return name


def _stated_dtype(config: Config) -> str | None:
    value = config.get("kv_bytes_per_token_dtype")
    if value is None:
        return None
    if value not in ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2"):
        raise InferenceError(f"{config.where}: kv_bytes_per_token_dtype {shown(value)} is no type of a KV cache.")
    return str(value)
