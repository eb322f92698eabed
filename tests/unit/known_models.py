# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models that people run: their config.json, what an engine says of them, and starts that were published."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._model.expected import expected_tensors
from ansible_collections.llmops.inference.plugins.module_utils._model.geometry import Geometry
from ansible_collections.llmops.inference.plugins.module_utils._model.model import Checkpoint
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._plan.memory import kv_cache
from ansible_collections.llmops.inference.plugins.module_utils._values import GIB

RECORDED = Path(__file__).parent / "recorded" / "models.json.gz"


@lru_cache(maxsize=1)
def recorded() -> dict[str, Any]:
    """Return everything: ``models``, ``families``, ``started`` (configs of measured models) and ``starts``."""
    found: dict[str, Any] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return found


def read(name: str, quantized: bool = True) -> Geometry:
    """Return the geometry of a recorded model; without its quantization where that is asked for."""
    data = recorded()
    entry = {**data["families"], **data["models"]}[name]
    config = {key: value for key, value in entry["config"].items() if quantized or key != "quantization_config"}
    if not quantized:
        config.pop("expert_dtype", None)
    return Geometry.from_config(config, name, entry.get("hf_quant_config") if quantized else None)


def config_of(name: str) -> dict[str, Any] | None:
    """Return the config of a model that was started somewhere; None where it is not on record."""
    data = recorded()
    if name in data["models"]:
        entry = data["models"][name]
        config = dict(entry["config"])
        if "hf_quant_config" in entry:
            config.setdefault("quantization_config", {"quant_method": "modelopt", **entry["hf_quant_config"]})
        return config
    entry = data["started"].get(name)
    if entry is None:
        return None
    base = config_of(entry["like"]) if "like" in entry else entry["config"]
    return {**(base or {}), **{key: value for key, value in entry.items() if key == "quantization_config"}}


@dataclass(frozen=True)
class Start:
    """A start that was published, beside what the plan's arithmetic makes of it."""

    row: dict[str, Any]
    tokens: int
    weights: int

    @property
    def tokens_error(self) -> float:
        """Percent by which the tokens differ, given the cache that the engine had."""
        return 100 * (self.tokens / float(self.row["kv_tokens"]) - 1)

    @property
    def weights_error(self) -> float:
        """Percent by which the weights of a rank differ."""
        return 100 * (self.weights / GIB / float(self.row["weights_gib"]) - 1)

    @property
    def version(self) -> tuple[int, ...]:
        """The engine's version as numbers."""
        return version_of(self.row["vllm"])


def version_of(text: str) -> tuple[int, ...]:
    """Return v0.20.2+rhai1 as (0, 20, 2)."""
    parts = text.lstrip("v").split("+")[0].split(".")[:3]
    return tuple(int("".join(character for character in part if character.isdigit()) or 0) for part in parts)


@lru_cache(maxsize=1)
def starts() -> tuple[list[Start], list[dict[str, Any]]]:
    """Return the published starts, and the rows of models whose config is not on record."""
    table = recorded()["starts"]
    found, without = [], []
    for values in table["rows"]:
        row = dict(zip(table["keys"], values))
        config = config_of(row["model"])
        if config is None:
            without.append(row)
            continue
        geometry = Geometry.from_config(config, row["model"])
        service = {
            "name": "model",
            "model": "model",
            "geometry": config,
            "port": 8000,
            "tensor_parallel_size": row["tp"],
            "kv_cache_dtype": row["kv_dtype"],
            "max_model_len": row["max_seq_len"],
        }
        (parsed,) = parse_layout([service], "cuda")
        kv = kv_cache(parsed, geometry, "cuda")
        available = int(row["available_kv_gib"] * GIB)
        tokens = kv.tokens(available, row["max_seq_len"], version_of(row["vllm"]))
        checkpoint = Checkpoint(geometry, expected_tensors(geometry), "estimated")
        found.append(Start(row, tokens, checkpoint.rank_weights(row["tp"])))
    return found, without
