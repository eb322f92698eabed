# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sizes of a model's feed-forward layers: dense ones, experts, and experts that every token passes.

Sizes of 0 mean that there is none (``shared_expert_intermediate_size: 0``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .._values import as_integer
from .config import Config

# Classes whose activation does not tell that they have no gate.
_UNGATED = (
    "starcoder2",
    "gpt2",
    "gptneox",
    "gptj",
    "gptbigcode",
    "falconfor",
    "opt",
    "bloom",
    "mpt",
    "whisper",
    "nemotronfor",
    "nemotronh",
    "persimmon",
    "phifor",
    "arcee",
    "bertmodel",
    "robertamodel",
    "apertus",
)
_GATED = ("modernbert", "gemma", "nomicbert", "gte", "newmodel")


@dataclass(frozen=True)
class Feed:
    """Columns of the feed-forward layers; ``gated`` ones have two projections into them, others one."""

    gated: bool
    dense: int
    experts: int = 0
    expert: int = 0
    shared: int = 0
    shared_gate: bool = False
    latent: int = 0  # the size that experts work in, where it is not the model's
    bias: bool = False
    expert_bias: bool = False


def read_feed(config: Config) -> Feed:
    """Return the sizes of the feed-forward layers."""
    experts = config.count("num_experts", highest=1 << 14) or _inner_experts(config)
    listed = isinstance(config.get("intermediate_size"), (list, tuple))
    width = config.count("intermediate_size") if listed else config.size("intermediate_size", highest=1 << 22)
    if not width and not experts and "hidden_size" in config:
        width = 4 * config.size("hidden_size")  # the size that is left out where it is the usual one
    bias = config.get("mlp_bias") is True or config.get("use_bias") is True or config.get("bias") is True
    if not experts:
        return Feed(is_gated(config), width, bias=bias)
    expert = config.count("moe_intermediate_size") or width
    shared = config.count("shared_expert_intermediate_size")
    number = config.count("n_shared_experts", highest=1 << 10)
    if not shared:
        shared = number * expert
    elif number > 1 and "moe_shared_expert_intermediate_size" not in config:
        shared = max(shared, number * expert)
    if "interleave_moe_layer_step" in config and not shared:
        shared = expert  # beside each layer of experts there is one of their size
    return Feed(
        gated=is_gated(config),
        dense=config.size("intermediate_size_mlp") or width,
        experts=experts,
        expert=expert,
        shared=shared,
        shared_gate=config.architecture.startswith(("Qwen2Moe", "Qwen3Next", "Qwen3_5")) and bool(shared),
        latent=config.size("moe_latent_size"),
        bias=bias,
        expert_bias=config.architecture.startswith("GptOss"),
    )


def _inner_experts(config: Config) -> int:
    inner = config.part("ffn_config")
    return as_integer(inner.get("moe_num_experts")) or 0 if isinstance(inner, Mapping) else 0


def is_gated(config: Config) -> bool:
    """Whether the feed-forward layers multiply by a gate.

    SiLU comes with a gate, a squared ReLU without; GELU with one where the model normalises by root mean squares.
    """
    name = config.architecture.lower()
    if name.startswith(_GATED) or any(word in name for word in _GATED):
        return True
    if name.startswith(_UNGATED):
        return False
    keys = (
        "hidden_act",
        "hidden_activation",
        "mlp_hidden_act",
        "activation_function",
        "activation",
        "feed_forward_proj",
    )
    stated = next((config.get(key) for key in keys if isinstance(config.get(key), str)), "silu")
    if "glu" in stated or "silu" in stated or "swish" in stated or "gated" in stated:
        return True
    if "relu" in stated:
        return False
    return "rms_norm_eps" in config
