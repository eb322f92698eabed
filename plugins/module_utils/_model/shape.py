# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From config.json to the body of a model: the sizes that its weights follow from."""

from __future__ import annotations

from collections.abc import Sequence

from .attention import Heads, heads_of
from .body import Body, Compressed, Latent
from .config import Config
from .feed import read_feed
from .pattern import CHUNK, FULL, WINDOW, Layer
from .quantisation import Quantization
from .state import State

# Small tensors of which only the model's code knows, by the start of the architecture.
_QUERY_BIAS = ("Qwen2", "MiMoFor", "InternLM2Bias")
_HEAD_NORMS = ("Qwen3", "Gemma3", "Gemma4", "Olmo2", "Olmo3", "GlmMoe", "Glm4Moe", "Exaone4", "HunYuan", "MiniMaxM2")
_FOUR_NORMS = ("Gemma2", "Gemma3", "Gemma4", "Olmo2", "Exaone4", "Glm4For")


def read_body(
    config: Config,
    layers: tuple[Layer, ...],
    state: State | None,
    blocks: Sequence[Heads | None],
    quantization: Quantization | None,
) -> Body:
    """Return the sizes of the language model."""
    name = config.architecture
    attention_bias = config.get("attention_bias") is True
    every_bias = config.get("use_bias") is True and "mamba_d_state" not in config and "ssm_state_size" not in config
    every_bias = every_bias or any(key in config for key in ("type_vocab_size", "n_embd", "encoder_layers"))
    only_query = name.startswith(_QUERY_BIAS) or any(
        config.get(key) is True for key in ("qkv_bias", "add_qkv_bias", "use_qkv_bias")
    )
    kinds = [FULL, *(kind for kind in (WINDOW, CHUNK) if any(layer.mixer == kind for layer in layers))]
    norm_flags = ("use_qk_norm", "qk_norm", "qk_layernorm")
    return Body(
        hidden=config.size("hidden_size", True, 1 << 20),
        vocabulary=config.size("vocab_size", True, 1 << 24),
        layers=layers,
        heads=tuple((kind, heads_of(config, kind)) for kind in kinds),
        feed=read_feed(config),
        state=state,
        latent=_latent(config),
        compressed=_compressed(config, len(layers)),
        blocks=tuple(blocks),
        widths=_widths(config, layers),
        tied=config.get("tie_word_embeddings") is True or config.outer.get("tie_word_embeddings") is True,
        qkv_bias=attention_bias or only_query or every_bias,
        o_bias=(attention_bias and not name.startswith(_QUERY_BIAS)) or every_bias,
        qk_norm=name.startswith(_HEAD_NORMS) or any(config.get(key) is True for key in norm_flags),
        gate=config.get("attn_output_gate") is True or (config.get("use_head_wise_attn_gate") is True and False),
        one_kv=config.get("attention_k_eq_v") is True,
        norms=4 if name.startswith(_FOUR_NORMS) else 2,
        positions=_positions(config),
        types=config.size("type_vocab_size"),
        per_layer=config.count("hidden_size_per_layer_input"),
        per_layer_vocabulary=config.count("vocab_size_per_layer_input", highest=1 << 24),
        low_rank=config.count("laurel_rank"),
        streams=config.count("altup_num_inputs"),
        cross="encoder_layers" in config,
        linear=quantization,
    )


def _positions(config: Config) -> int:
    """Return the number of learned positions: models without a rotary embedding have a table of them."""
    learned = "type_vocab_size" in config or "n_positions" in config or "encoder_layers" in config
    if not learned or "rope_theta" in config or config.get("position_embedding_type") == "rotary":
        return 0
    return config.size("max_position_embeddings")


def _latent(config: Config) -> Latent | None:
    if "kv_lora_rank" not in config:
        return None
    return Latent(
        kv_rank=config.size("kv_lora_rank"),
        q_rank=config.count("q_lora_rank"),
        rope=config.size("qk_rope_head_dim"),
        nope=config.size("qk_nope_head_dim"),
        value=config.size("v_head_dim"),
        index_heads=config.size("index_n_heads"),
        index_dim=config.size("index_head_dim"),
    )


def _compressed(config: Config, layers: int) -> Compressed | None:
    ratios = config.numbers("compress_ratios")
    if not ratios or "o_lora_rank" not in config:
        return None
    return Compressed(
        ratios=tuple((ratios + [0] * layers)[:layers]),
        q_rank=config.size("q_lora_rank", True),
        o_rank=config.size("o_lora_rank", True),
        o_groups=config.size("o_groups", True),
        index_heads=config.size("index_n_heads"),
        index_dim=config.size("index_head_dim"),
        streams=config.size("hc_mult") or 1,
        hashed=config.count("num_hash_layers"),
        choices=config.size("num_experts_per_tok"),
    )


def _widths(config: Config, layers: tuple[Layer, ...]) -> tuple[int, ...]:
    """Return the columns of the dense layers where they differ."""
    listed = config.get("intermediate_size")
    if isinstance(listed, (list, tuple)):
        return tuple((config.numbers("intermediate_size") or [])[: len(layers)])
    blocks = config.get("block_configs")
    if isinstance(blocks, (list, tuple)):
        return tuple(_block_width(block, config.size("hidden_size", True)) for block in blocks[: len(layers)])
    if config.get("use_double_wide_mlp") is True and any(not layer.cached for layer in layers):
        width = config.size("intermediate_size", True)
        return tuple(width if layer.cached else 2 * width for layer in layers)
    return ()


def _block_width(block: object, hidden: int) -> int:
    part = block.get("ffn") if isinstance(block, dict) else None
    if not isinstance(part, dict) or part.get("no_op"):
        return 0
    stated = part.get("intermediate_size")
    if isinstance(stated, int) and 0 < stated < 1 << 22:
        return stated
    times = part.get("ffn_mult")
    width = int(2 * times * hidden / 3) if isinstance(times, (int, float)) and 0 < times < 100 else 0
    return -(-width // 256) * 256
