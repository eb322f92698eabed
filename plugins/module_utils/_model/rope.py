# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotary embedding of a model, as far as lengths and overrides depend on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import InferenceError
from .._values import as_integer, as_number, is_json, shown
from .config import Config

AXES = 4  # of ``MRotaryEmbedding``


@dataclass(frozen=True)
class RopeSettings:
    """What config.json says of the rotary embedding.

    ``kept`` is the whole dictionary as JSON text: an override replaces it, so that the rest must be carried over.
    ``part`` is where the language model is nested, "" at the top.
    """

    theta: float | None = None
    type: str = "default"
    factor: float = 1.0
    original: int | None = None
    kept: str = "{}"
    by_layer: bool = False  # settings per kind of layer
    scaled: bool = False  # max_position_embeddings includes the factor
    part: str = ""
    rotary: int = 0  # values of a head that turn
    tables: int = 1  # tables of sines and cosines that the engine keeps
    axes: int = 1  # 4 where positions have several axes: the engine's table is that many times as long

    def table_bytes(self, length: int, width: int) -> int:
        """Return the bytes of the engine's tables for ``length`` positions (``layers/rotary_embedding``)."""
        return self.tables * self.axes * length * self.rotary * width if self.theta is not None else 0

    @property
    def settings(self) -> dict[str, Any]:
        """The dictionary of config.json."""
        found: dict[str, Any] = json.loads(self.kept)
        return found


NO_ROPE = RopeSettings()


def read_rope(config: Config) -> RopeSettings:
    """Return the settings of either spelling; where they differ by layer, those of full attention."""
    settings = config.get("rope_parameters", config.get("rope_scaling")) or {}
    if not isinstance(settings, Mapping):
        raise InferenceError(f"{config.where}: rope_parameters must be a dictionary, not {shown(settings)}.")
    inner = settings.get("full_attention")
    by_layer = isinstance(inner, Mapping) or "rope_local_base_freq" in config
    settings = inner if isinstance(inner, Mapping) else settings
    rope_type = settings.get("rope_type", settings.get("type", "default"))
    theta = config.get("rope_theta", settings.get("rope_theta"))
    factor = as_number(settings.get("factor", 1.0))
    number = None if theta is None else as_number(theta)
    if factor is None or factor < 1 or not isinstance(rope_type, str):
        raise InferenceError(f"{config.where}: rope settings are not usable: {shown(dict(settings))}.")
    if theta is not None and (number is None or number <= 0):
        raise InferenceError(f"{config.where}: rope_theta must be a number above 0, not {shown(theta)}.")
    original = settings.get("original_max_position_embeddings", config.get("original_max_position_embeddings"))
    kept = {key: value for key, value in settings.items() if isinstance(key, str) and is_json(value)}
    if "partial_rotary_factor" in config:
        kept.setdefault("partial_rotary_factor", config.get("partial_rotary_factor"))
    return RopeSettings(
        theta=number,
        type=rope_type,
        factor=factor,
        original=None if original is None else as_integer(original),
        kept=json.dumps(kept, sort_keys=True)[:4096] if len(json.dumps(kept)) <= 4096 else "{}",
        by_layer=by_layer or config.architecture.startswith("Gemma3"),
        scaled=config.architecture.startswith("Gemma3"),
        rotary=_rotary(config, kept),
        tables=2 if by_layer or config.architecture.startswith("Gemma3") else 1,
        axes=AXES if "mrope_section" in kept or "spatial_merge_size" in config.part("vision_config") else 1,
        part=config.part_path,
    )


def _rotary(config: Config, kept: Mapping[str, Any]) -> int:
    """Return how many values of a head turn; of latent attention only those beside the latent ones."""
    if "qk_rope_head_dim" in config:
        return config.size("qk_rope_head_dim")
    heads = config.size("num_attention_heads")
    dim = config.size("head_dim") or (config.size("hidden_size") // heads if heads else 0)
    part = as_number(kept.get("partial_rotary_factor", config.get("rotary_pct", 1.0)))
    return int(dim * part) if part is not None and 0 < part <= 1 else dim
