# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One config.json as checked values: nested parts, other spellings, and the defaults of the model's class.

A config of a model with several parts nests its language model (``text_config`` and its like). The nested part decides;
both may state the same size, but not two different sizes. Other spellings of a field (``n_embd`` for ``hidden_size``)
are read under the common name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._errors import InferenceError
from .._values import as_integer, shown

# Where a language model is nested, outermost first. A part may nest again (``thinker_config.text_config``).
TEXT_PARTS = ("thinker_config", "text_config", "llm_config", "language_config", "text_model_config", "language_model")
NESTING = 3
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("n_embd", "d_model", "model_dim"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers", "decoder_layers"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads", "decoder_attention_heads"),
    "num_key_value_heads": ("num_kv_heads", "n_head_kv", "multi_query_group_num", "num_attention_groups"),
    "head_dim": ("attention_head_dim", "kv_channels", "d_kv"),
    "intermediate_size": ("n_inner", "ffn_dim", "d_ff", "ffn_hidden_size", "decoder_ffn_dim", "intermediate_dim"),
    "vocab_size": ("padded_vocab_size",),
    "max_position_embeddings": (
        "n_positions",
        "max_seq_len",
        "seq_length",
        "model_max_length",
        "max_sequence_length",
        "max_seq_length",
        "max_target_positions",
        "n_ctx",
    ),
    "num_experts": ("n_routed_experts", "num_local_experts", "moe_num_experts"),
    "moe_intermediate_size": ("moe_ffn_hidden_size", "expert_ffn_hidden_size", "expert_dim"),
    "n_shared_experts": ("num_shared_experts", "moe_num_shared_experts", "num_shared_expert"),
    "shared_expert_intermediate_size": (
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
        "share_expert_dim",
    ),
    "num_nextn_predict_layers": ("mtp_num_hidden_layers", "num_mtp_layers", "mtp_num_layers"),
}
# Sizes that an outer and a nested part must not state differently.
ONCE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim")

# What the configuration classes of transformers supply where config.json is silent, by the start of the architecture.
_GEMMA3 = {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
    "sliding_window_pattern": 6,
    "tie_word_embeddings": True,
}
CLASS_DEFAULTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("Qwen2", {"use_sliding_window": False}),
    ("Qwen3Moe", {"use_sliding_window": False}),
    ("Qwen3Next", {"attn_output_gate": True, "full_attention_interval": 4}),
    ("Qwen3", {"use_sliding_window": False, "head_dim": 128}),
    ("MistralForCausalLM", {"num_key_value_heads": 8, "sliding_window": 4096}),
    ("Gemma3n", {"tie_word_embeddings": True, "sliding_window_pattern": 5}),
    ("Gemma3", _GEMMA3),
    ("Gemma2", {"sliding_window": 4096, "sliding_window_pattern": 2, "tie_word_embeddings": True, "head_dim": 256}),
    ("Gemma", {"tie_word_embeddings": True, "head_dim": 256}),
    ("Cohere", {"tie_word_embeddings": True}),
    ("DeepseekV2", {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}),
    ("DeepseekV3", {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}),
    ("Llama4", {"interleave_moe_layer_step": 1, "attention_chunk_size": 8192}),
    ("Starcoder2", {"tie_word_embeddings": True}),
    ("Falcon", {"tie_word_embeddings": True}),
    ("GPT2", {"tie_word_embeddings": True}),
    ("GPTBigCode", {"tie_word_embeddings": True}),
    ("Bloom", {"tie_word_embeddings": True}),
    ("OPT", {"tie_word_embeddings": True}),
    ("Whisper", {"tie_word_embeddings": True}),
    ("T5", {"tie_word_embeddings": True}),
    ("Mamba", {"tie_word_embeddings": True}),
    ("Lfm2", {"tie_word_embeddings": True}),
    ("Zamba2", {"tie_word_embeddings": True}),
)
# A class that sets this starts with one of these names although a shorter one is above.
_OWN_DEFAULTS = ("FalconH1", "Gemma4")


class Config:
    """The values of one config.json, or of a geometry in its words; each getter checks type and range.

    ``stated`` is what a user states beside a file; it decides, wherever the file has the field.
    """

    def __init__(self, config: Any, where: str, stated: Mapping[str, Any] | None = None) -> None:
        self.where = where
        self.stated = {key: value for key, value in (stated or {}).items() if value is not None}
        if not isinstance(config, Mapping):
            raise InferenceError(f"{where} must hold a dictionary, not {shown(config)}.")
        self.outer = {**config, **self.stated}
        self.architecture = self._architecture(self.outer)
        self.part_path = ".".join(name for name, _part in _text_parts(config))
        merged = {**self._without_patterns(self._merged(config)), **self.stated}
        defaults = _class_defaults(self.architecture)
        self.values: dict[str, Any] = {key: value for key, value in merged.items() if value is not None}
        self._read_spellings()
        # A field that is null, such as `"sliding_window": null`, is switched off and takes no default.
        off = {key for key, value in merged.items() if value is None and key in ("sliding_window", "q_lora_rank")}
        self.values = {**{key: value for key, value in defaults.items() if key not in off}, **self.values}

    def _without_patterns(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out lists with an entry per layer where a user states another number of layers than the file."""
        layers, stated = as_integer(values.get("num_hidden_layers")), self.stated.get("num_hidden_layers")
        if layers is None or stated is None or as_integer(stated) == layers:
            return dict(values)
        return {key: value for key, value in values.items() if not (isinstance(value, list) and len(value) == layers)}

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value as it was written."""
        return self.values.get(key, default)

    def size(self, key: str, needed: bool = False, highest: int = 1 << 30) -> int:
        """Return a whole number from 1 to ``highest``; 0 where it is absent and not needed."""
        if key not in self.values:
            if needed:
                raise InferenceError(
                    f"{self.where}: {key} is missing; a plan needs it. State {key} in the service's geometry."
                )
            return 0
        value = as_integer(self.values[key])
        if value is None or not 1 <= value <= highest:
            raise InferenceError(
                f"{self.where}: {key} must be a whole number from 1 to {highest}, not {shown(self.values[key])}."
            )
        return value

    def count(self, key: str, default: int = 0, highest: int = 1 << 22) -> int:
        """Return a whole number from 0 to ``highest``, where 0 means none; of a list the largest entry."""
        value = self.values.get(key, default)
        if isinstance(value, (list, tuple)):
            value = max((as_integer(entry) or 0 for entry in value[:MOST_LIST_ENTRIES]), default=0)
        number = as_integer(value)
        if number is None or not 0 <= number <= highest:
            raise InferenceError(f"{self.where}: {key} must be a whole number from 0 to {highest}, not {shown(value)}.")
        return number

    def flag(self, key: str, default: bool = False) -> bool:
        """Return true or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise InferenceError(f"{self.where}: {key} must be true or false, not {shown(value)}.")
        return value

    def part(self, *names: str) -> Mapping[str, Any]:
        """Return the first of these dictionaries, of the whole config or of its language part; {} without one."""
        for name in names:
            for values in (self.values, self.outer):
                found = values.get(name)
                if isinstance(found, Mapping):
                    return found
        return {}

    def numbers(self, key: str) -> list[int] | None:
        """Return a list of whole numbers, from a list or from text such as "3,4,5"; None for anything else."""
        value = self.values.get(key)
        if isinstance(value, str):
            value = [entry.strip() for entry in value.split(",")[:MOST_LIST_ENTRIES] if entry.strip()]
        if not isinstance(value, (list, tuple)):
            return None
        found = [as_integer(entry) for entry in value[:MOST_LIST_ENTRIES]]
        if any(entry is None for entry in found):
            raise InferenceError(f"{self.where}: {key} must be a list of whole numbers, not {shown(value)}.")
        return [entry for entry in found if entry is not None]

    def _architecture(self, config: Mapping[str, Any]) -> str:
        named = config.get("architecture", config.get("architectures"))
        if isinstance(named, (list, tuple)) and named:
            named = named[0]
        if not isinstance(named, str) or not named:
            raise InferenceError(f"{self.where} names no architecture: {shown(named)}.")
        return named

    def _merged(self, config: Mapping[str, Any]) -> dict[str, Any]:
        merged = dict(config)
        for name, part in _text_parts(config):
            for key in ONCE:
                outer, inner = _stated(merged, key), _stated(part, key)
                if outer is not None and inner is not None and outer != inner and key not in self.stated:
                    raise InferenceError(
                        f"{self.where} contradicts itself: {key} is {shown(outer)} and in {name} {shown(inner)}. "
                        f"State the right {key} in the service's geometry, or fetch the model again."
                    )
            merged.update({key: value for key, value in part.items() if value is not None or key not in merged})
            for key in ONCE:  # a spelling of the outer part must not hide the nested value
                if _stated(part, key) is not None:
                    merged[key] = _stated(part, key)
        return merged

    def _read_spellings(self) -> None:
        for key, others in SPELLINGS.items():
            if key not in self.values:
                found = next((self.values[other] for other in others if other in self.values), None)
                if found is not None:
                    self.values[key] = found


MOST_LIST_ENTRIES = 10_000  # of any list; no model has as many layers


def _text_parts(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the nested language parts, outermost first."""
    for _depth in range(NESTING):
        name = next((name for name in TEXT_PARTS if isinstance(config.get(name), Mapping)), None)
        if name is None:
            return
        config = config[name]
        yield name, config


def _stated(values: Mapping[str, Any], key: str) -> Any:
    return next((values[name] for name in (key, *SPELLINGS.get(key, ())) if values.get(name) is not None), None)


def _class_defaults(architecture: str) -> Mapping[str, Any]:
    if architecture.startswith(_OWN_DEFAULTS):
        return {}
    return next((values for start, values in CLASS_DEFAULTS if architecture.startswith(start)), {})
