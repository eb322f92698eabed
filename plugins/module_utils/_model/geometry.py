# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The geometry of a model: the numbers of its config.json that decide its memory.

Field names are config.json's own. Both spellings of transformers are read: 4 (``torch_dtype``, ``rope_theta``
beside ``rope_scaling``) and 5 (``dtype``, ``rope_parameters``). What a config leaves out has the default of
the configuration class in transformers, because that is what the engine will see. No model names are known
here, only architectures; one that is not known needs ``kv_bytes_per_token`` from the user.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._errors import InferenceError
from .._values import as_integer, as_number, shown

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "float8_e4m3fn": 1, "float8_e5m2": 1}


@dataclass(frozen=True)
class Family:
    """What the class of an architecture fixes, and what config.json therefore need not say."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    qk_norm: bool = False
    qkv_bias: bool = False
    fused: bool = False  # one qkv and one gate_up tensor in the checkpoint
    norms_per_layer: int = 2
    layer_rope: bool = False  # rope settings per kind of layer
    scaled_length: bool = False  # max_position_embeddings already includes a linear rope factor


_GEMMA3 = Family(
    defaults={
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "tie_word_embeddings": True,
    },
    qk_norm=True,
    norms_per_layer=4,
    layer_rope=True,
    scaled_length=True,
)
_DEEPSEEK = Family(defaults={"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128})

FAMILIES: Mapping[str, Family] = {
    "Qwen2ForCausalLM": Family(defaults={"use_sliding_window": False}, qkv_bias=True),
    "Qwen2MoeForCausalLM": Family(defaults={"use_sliding_window": False}, qkv_bias=True),
    "Qwen3ForCausalLM": Family(defaults={"use_sliding_window": False, "head_dim": 128}, qk_norm=True),
    "Qwen3MoeForCausalLM": Family(defaults={"use_sliding_window": False}, qk_norm=True),
    "LlamaForCausalLM": Family(),
    "MistralForCausalLM": Family(defaults={"num_key_value_heads": 8, "sliding_window": 4096}),
    "Gemma3ForCausalLM": _GEMMA3,
    "Gemma3ForConditionalGeneration": _GEMMA3,
    "DeepseekV2ForCausalLM": _DEEPSEEK,
    "DeepseekV3ForCausalLM": _DEEPSEEK,
    "Phi3ForCausalLM": Family(fused=True),
}


@dataclass(frozen=True)
class Geometry:
    """A model's shape. Zero means "not stated", which only an architecture unknown to FAMILIES may leave."""

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
    attention_bias: bool = False
    # stated by the user where there are no files to read
    parameters: int | None = None
    weights_bytes: int | None = None
    kv_bytes_per_token: int | None = None  # all layers, one rank that holds every kv head, kv dtype auto
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
    # rope, as far as lengths depend on it
    rope_theta: float | None = None
    rope_type: str = "default"
    rope_factor: float = 1.0
    rope_original: int | None = None
    # quantization of the linear layers; None: they have ``dtype``
    quantization: str | None = None
    quantization_bits: int = 16
    quantization_group_size: int = 0

    @property
    def family(self) -> Family | None:
        """Return what is known of this architecture; None where it is unknown."""
        return FAMILIES.get(self.architecture)

    @property
    def uses_mla(self) -> bool:
        """Tell whether attention caches one compressed vector per token."""
        return self.kv_lora_rank > 0

    @property
    def dtype_bytes(self) -> int:
        """Bytes of one weight as the engine holds it: it loads float32 checkpoints in 16 bits."""
        return min(2, DTYPE_BYTES[self.dtype])

    def to_dict(self) -> dict[str, Any]:
        """Return the geometry in JSON types."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: str = "config.json") -> Geometry:
        """Read config.json's content, or a geometry stated in its words; InferenceError says what is wrong.

        ``architecture`` is accepted beside config.json's list ``architectures``. A multimodal model's
        ``text_config`` is read as the model: the language part holds the cache and nearly all weights.
        """
        return _Reader(config, where).geometry()


class _Reader:
    """Reads one config; every getter checks type and range."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self.where = where
        if not isinstance(config, Mapping):
            raise InferenceError(f"{where} must hold a dictionary, not {shown(config)}.")
        text = config.get("text_config")
        merged = {**config, **text} if isinstance(text, Mapping) else dict(config)
        self.architecture = self._architecture(config)
        self.family = FAMILIES.get(self.architecture)
        defaults = self.family.defaults if self.family is not None else {}
        stated = {key: value for key, value in merged.items() if value is not None}
        self.values = {**defaults, **stated}
        # `"sliding_window": null` switches the window off; only an absent key has the default.
        if "sliding_window" in merged and merged["sliding_window"] is None:
            self.values.pop("sliding_window", None)

    def geometry(self) -> Geometry:
        needed = self.family is not None
        if not needed and "kv_bytes_per_token" not in self.values:
            raise InferenceError(
                f"{self.where}: architecture {shown(self.architecture)} is not one whose memory is known "
                f"({', '.join(sorted(FAMILIES))}). To plan it all the same, state kv_bytes_per_token, all "
                "layers together, in the service's geometry: it is 'Available KV cache memory' divided by "
                "'KV cache size' in the engine's log."
            )
        layers = self.size("num_hidden_layers", needed, 10_000)
        hidden = self.size("hidden_size", needed, 1 << 20)
        heads = self.size("num_attention_heads", needed, 1 << 14)
        head_dim = self.size("head_dim", False, 1 << 16) or (hidden // heads if heads else 0)
        window, sliding_layers = self._sliding(layers)
        mla = needed and "kv_lora_rank" in self.values
        experts, moe_layers = self._experts(layers)
        theta, rope_type, factor, original = self._rope()
        method, bits, group = self._quantization()
        return Geometry(
            architecture=self.architecture,
            max_position_embeddings=self.size("max_position_embeddings", True, 1 << 30),
            dtype=self._dtype(),
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=self.size("num_key_value_heads", False, 1 << 14) or heads,
            head_dim=head_dim,
            intermediate_size=self.size("intermediate_size", False, 1 << 22),
            vocab_size=self.size("vocab_size", needed, 1 << 24),
            tie_word_embeddings=self._flag("tie_word_embeddings"),
            attention_bias=self._flag("attention_bias"),
            parameters=self.size("parameters", False, 1 << 50) or None,
            weights_bytes=self.size("weights_bytes", False, 1 << 50) or None,
            kv_bytes_per_token=self.size("kv_bytes_per_token", False, 1 << 32) or None,
            sliding_window=window,
            sliding_layers=sliding_layers,
            kv_lora_rank=self.size("kv_lora_rank", False, 1 << 16) if mla else 0,
            q_lora_rank=self.size("q_lora_rank", False, 1 << 16) if mla else 0,
            qk_rope_head_dim=self.size("qk_rope_head_dim", False, 1 << 16) if mla else 0,
            qk_nope_head_dim=self.size("qk_nope_head_dim", False, 1 << 16) if mla else 0,
            v_head_dim=self.size("v_head_dim", False, 1 << 16) if mla else 0,
            num_experts=experts,
            moe_layers=moe_layers,
            moe_intermediate_size=self.size("moe_intermediate_size", False, 1 << 22) if experts else 0,
            shared_expert_intermediate_size=self._shared_expert() if experts else 0,
            rope_theta=theta,
            rope_type=rope_type,
            rope_factor=factor,
            rope_original=original,
            quantization=method,
            quantization_bits=bits,
            quantization_group_size=group,
        )

    def size(self, key: str, needed: bool, highest: int) -> int:
        """Return a whole number from 1 to ``highest``; 0 where it is absent and not needed."""
        if key not in self.values:
            if needed:
                raise InferenceError(f"{self.where}: {key} is missing; a plan needs it.")
            return 0
        value = as_integer(self.values[key])
        if value is None or not 1 <= value <= highest:
            raise InferenceError(
                f"{self.where}: {key} must be a whole number from 1 to {highest}, not {shown(self.values[key])}."
            )
        return value

    def _architecture(self, config: Mapping[str, Any]) -> str:
        named = config.get("architecture", config.get("architectures"))
        if isinstance(named, (list, tuple)) and named:
            named = named[0]
        if not isinstance(named, str) or not named:
            raise InferenceError(f"{self.where} names no architecture: {shown(named)}.")
        return named

    def _flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise InferenceError(f"{self.where}: {key} must be true or false, not {shown(value)}.")
        return value

    def _dtype(self) -> str:
        value = self.values.get("dtype", self.values.get("torch_dtype", "bfloat16"))
        name = value.replace("torch.", "") if isinstance(value, str) else value
        if not isinstance(name, str) or name not in DTYPE_BYTES:
            raise InferenceError(f"{self.where}: dtype {shown(value)} is none of {', '.join(DTYPE_BYTES)}.")
        return name

    def _sliding(self, layers: int) -> tuple[int | None, int]:
        """Return the window in tokens and how many layers keep only that much."""
        window = self.values.get("sliding_window")
        if not window or self.values.get("use_sliding_window") is False:
            return None, 0
        kinds = self.values.get("layer_types")
        pattern = as_integer(self.values.get("sliding_window_pattern", self.values.get("_sliding_window_pattern")))
        if isinstance(kinds, (list, tuple)):
            if layers and len(kinds) != layers:
                raise InferenceError(f"{self.where}: layer_types has {len(kinds)} entries for {layers} layers.")
            sliding = sum(kind == "sliding_attention" for kind in kinds)
        elif pattern:
            sliding = layers - layers // pattern
        else:
            sliding = layers
        return (self.size("sliding_window", True, 1 << 30), sliding) if sliding else (None, 0)

    def _experts(self, layers: int) -> tuple[int, int]:
        """Return the number of routed experts and of the layers that have them."""
        for key in ("num_experts", "n_routed_experts", "num_local_experts"):
            if key in self.values:
                dense = self.values.get("mlp_only_layers")
                first = as_integer(self.values.get("first_k_dense_replace")) or 0
                step = as_integer(self.values.get("decoder_sparse_step")) or 1
                skipped = len(dense) if isinstance(dense, (list, tuple)) else 0
                return self.size(key, True, 1 << 14), max(0, (layers - first) // step - skipped)
        return 0, 0

    def _shared_expert(self) -> int:
        shared = self.size("shared_expert_intermediate_size", False, 1 << 22)
        count = self.size("n_shared_experts", False, 1 << 10)
        return shared or count * self.size("moe_intermediate_size", False, 1 << 22)

    def _rope(self) -> tuple[float | None, str, float, int | None]:
        """Return theta, type, factor and original length, from either spelling."""
        settings = self.values.get("rope_parameters", self.values.get("rope_scaling")) or {}
        if not isinstance(settings, Mapping):
            raise InferenceError(f"{self.where}: rope_parameters must be a dictionary, not {shown(settings)}.")
        # Settings per kind of layer: the full attention layers decide the length.
        full = settings.get("full_attention")
        settings = full if isinstance(full, Mapping) else settings
        rope_type = settings.get("rope_type", settings.get("type", "default"))
        theta = self.values.get("rope_theta", settings.get("rope_theta"))
        factor = as_number(settings.get("factor", 1.0))
        number = None if theta is None else as_number(theta)
        if factor is None or factor < 1 or not isinstance(rope_type, str):
            raise InferenceError(f"{self.where}: rope settings are not usable: {shown(dict(settings))}.")
        if theta is not None and (number is None or number <= 0):
            raise InferenceError(f"{self.where}: rope_theta must be a number above 0, not {shown(theta)}.")
        original = settings.get("original_max_position_embeddings", self.values.get("original_max_position_embeddings"))
        return number, rope_type, factor, None if original is None else as_integer(original)

    def _quantization(self) -> tuple[str | None, int, int]:
        """Return the method, the bits of a linear weight and the weights that share a scale."""
        settings = self.values.get("quantization_config", self.values.get("compression_config"))
        if settings is None:
            return None, 16, 0
        if not isinstance(settings, Mapping):
            raise InferenceError(f"{self.where}: quantization_config must be a dictionary, not {shown(settings)}.")
        method = str(settings.get("quant_method", "unknown")).lower()
        bits = as_integer(settings.get("bits", settings.get("w_bit"))) or (8 if "fp8" in method else 16)
        if not 1 <= bits <= 64:
            raise InferenceError(f"{self.where}: quantization_config.bits must be from 1 to 64, not {shown(bits)}.")
        block = settings.get("weight_block_size")
        group = as_integer(settings.get("group_size", settings.get("q_group_size")))
        if isinstance(block, (list, tuple)) and block:
            group = max(1, as_integer(block[0]) or 1) * max(1, as_integer(block[-1]) or 1)
        return method, bits, group or 0
