# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of state that a layer of linear attention keeps per sequence, whatever its length.

The shapes are the engine's (``vllm/model_executor/layers/mamba/mamba_utils.py``): a window of the convolution and a
recurrent state. Ranks divide both by heads; groups fewer than ranks are repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .config import Config

DELTA, KDA, MAMBA2, MAMBA1, LIGHTNING, CONVOLUTION = "delta", "kda", "mamba2", "mamba1", "lightning", "convolution"
_WIDE = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class State:
    """The state of one layer: ``inner`` channels in ``heads`` heads, ``size`` values each; ``kernel`` is the
    convolution's. ``key_heads`` and ``key_dim`` of a delta rule; ``groups`` of Mamba 2. ``wide`` is the bytes of a
    recurrent value, 0 where it has the engine's type."""

    kind: str
    inner: int
    heads: int
    head_dim: int
    size: int
    kernel: int
    groups: int = 1
    key_heads: int = 0
    key_dim: int = 0
    wide: int = 0

    @property
    def convolved(self) -> int:
        """Channels that the convolution runs over, on one rank."""
        if self.kind == DELTA:
            return 2 * self.key_heads * self.key_dim + self.inner
        if self.kind == KDA:
            return 3 * self.inner
        return self.inner + 2 * self.groups * self.size if self.kind == MAMBA2 else self.inner

    def bytes(self, ranks: int, width: int, recurrent: int = 0) -> int:
        """Return the bytes of one sequence in one layer on each of ``ranks`` ranks.

        ``width`` is the bytes of a value of the engine's type, ``recurrent`` those of the recurrent state where neither
        the model nor the engine's type decides.
        """
        wide = self.wide or recurrent or width
        if self.kind == LIGHTNING:
            return _part(self.heads, ranks) * self.head_dim * self.head_dim * wide
        channels = self.convolved
        if self.kind == MAMBA2 and self.groups % ranks:
            channels += 2 * (ranks - self.groups) * self.size
        window = _part(channels, ranks) * max(0, self.kernel - 1) * width
        if self.kind == CONVOLUTION:
            return window
        heads = _part(self.inner if self.kind == MAMBA1 else self.heads, ranks)
        return window + heads * (1 if self.kind == MAMBA1 else self.head_dim) * self.size * wide


def _part(count: int, ranks: int) -> int:
    return -(-count // ranks)


def read_state(config: Config) -> State | None:
    """Return the state of the layers that keep one; None where no field states it."""
    wide = _WIDE.get(str(config.get("mamba_ssm_cache_dtype", config.get("mamba_ssm_dtype", ""))), 0)
    linear = config.get("linear_attn_config")
    if isinstance(linear, Mapping):
        return _read_kda(config, linear)
    if "linear_num_value_heads" in config:
        heads, size = config.size("linear_num_value_heads"), config.size("linear_value_head_dim", True)
        keys = config.size("linear_num_key_heads", True), config.size("linear_key_head_dim", True)
        kernel = config.size("linear_conv_kernel_dim") or 4
        return State(DELTA, heads * size, heads, size, keys[1], kernel, 1, *keys, wide)
    if "conv_L_cache" in config:
        return State(
            CONVOLUTION,
            config.size("conv_dim") or config.size("hidden_size", True),
            1,
            1,
            0,
            config.size("conv_L_cache"),
        )
    if "attn_type_list" in config or "linear_silu" in config or "group_norm_size" in config:
        heads, hidden = config.size("num_attention_heads", True), config.size("hidden_size", True)
        size = config.size("head_dim") or hidden // heads
        return State(LIGHTNING, heads * size, heads, size, size, 1, wide=wide or 4)
    return _read_mamba(config, wide)


def _read_kda(config: Config, linear: Mapping[str, object]) -> State:
    part = Config({"architecture": config.architecture, **linear}, f"{config.where}: linear_attn_config")
    heads, size = part.size("num_heads") or part.size("num_attention_heads", True), part.size("head_dim", True)
    return State(KDA, heads * size, heads, size, size, part.size("short_conv_kernel_size") or 4, wide=4)


def _read_mamba(config: Config, wide: int) -> State | None:
    size = next((config.size(key) for key in ("ssm_state_size", "mamba_d_state", "state_size") if key in config), 0)
    if not size:
        return None
    hidden = config.size("hidden_size", True)
    heads = next(
        (config.size(key) for key in ("mamba_num_heads", "n_mamba_heads", "mamba_n_heads") if key in config), 0
    )
    head_dim = next(
        (
            config.size(key)
            for key in ("mamba_head_dim", "mamba_headdim", "mamba_d_head")
            if key in config and isinstance(config.get(key), int)
        ),
        0,
    )
    expand = config.size("mamba_expand") or config.size("expand") or 2
    kernel = next((config.size(key) for key in ("mamba_d_conv", "conv_kernel") if key in config), 4)
    groups = next((config.size(key) for key in ("mamba_ngroups", "mamba_n_groups", "n_groups") if key in config), 1)
    stated = config.size("mamba_d_ssm") or config.size("mamba_intermediate_size")
    first = ("time_step_rank" in config and "num_attention_heads" not in config) or "mamba_dt_rank" in config
    if first and not heads:  # Mamba 1: a state per channel
        alone = 0 if "num_attention_heads" in config else config.size("intermediate_size")
        return State(MAMBA1, stated or alone or expand * hidden, 1, 1, size, kernel)
    if not heads and "num_attention_heads" in config and "num_heads" not in config.outer:
        heads = (stated or expand * hidden) // (head_dim or 64)
    if not heads:
        heads = config.size("num_attention_heads") or (expand * hidden) // (head_dim or 64)
        head_dim = head_dim or config.size("head_dim") or 64
    head_dim = head_dim or (stated or expand * hidden) // heads
    if config.architecture.startswith("NemotronH"):
        wide = wide or 4  # the engine's own default for it (``NemotronHForCausalLMConfig``)
    return State(MAMBA2, heads * head_dim, heads, head_dim, size, kernel, groups, wide=wide)
