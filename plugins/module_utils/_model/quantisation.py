# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a checkpoint's linear layers are quantized: which of them, in how many bits, with how many scales.

Read from ``quantization_config`` of config.json, and from ``hf_quant_config.json`` beside it. Names that are left out
come from foreign files: they are matched by parts and ``*`` in linear time, never as regular expressions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from .._errors import InferenceError
from .._values import as_integer, shown

PLAIN, FP8, INT8, INT4, NVFP4, MXFP4, MXFP8, NF4 = "plain", "fp8", "int8", "int4", "nvfp4", "mxfp4", "mxfp8", "nf4"
MOST_NAMES = 100_000
MOST_ALTERNATIVES = 64


@dataclass(frozen=True)
class Scheme:
    """How one linear layer is stored: ``rows`` by ``columns`` weights share a scale; 0 stands for all of them."""

    kind: str = PLAIN
    rows: int = 0
    columns: int = 0
    zeros: bool = False  # zero points beside the scales
    bits: int = 16


@dataclass(frozen=True)
class Quantization:
    """The scheme of a checkpoint's linear layers, with those that differ by name and those that are left out."""

    method: str
    default: Scheme
    ignored: tuple[str, ...] = ()
    named: tuple[tuple[str, Scheme], ...] = ()
    experts_only: bool = False
    cache: str | None = None  # the type of the KV cache that the checkpoint asks for

    def scheme(self, name: str) -> Scheme:
        """Return the scheme of a module, such as ``layers.3.mlp.experts.up_proj``."""
        names = spellings(name)
        if _found(names, _by_layer(self.ignored)) is not None:
            return Scheme()
        place = _found(names, _by_layer(tuple(pattern for pattern, _scheme in self.named)))
        if place is not None:
            return self.named[place][1]
        if self.experts_only and ".experts" not in name:
            return Scheme()
        return self.default

    def names(self, name: str) -> bool:
        """Whether a scheme is stated for just this module."""
        return any(matches(pattern, name) for pattern, _scheme in self.named)


_OTHER_WORDS = (
    ("self_attn.", ("mixer.", "attn.", "attention.")),
    ("mlp.", ("mixer.", "ffn.", "feed_forward.", "block_sparse_moe.", "")),
    ("mamba.", ("mixer.",)),
    ("linear_attn.", ("mixer.",)),
    ("experts.", ("moe.experts.",)),
)


@lru_cache(maxsize=8192)
def spellings(name: str) -> tuple[str, ...]:
    """Return a module's name as checkpoints of different families spell it."""
    found = [name]
    head, dot, tail = _after_layer(name)
    for word, others in _OTHER_WORDS:
        if tail.startswith(word):
            found.extend(f"{head}{dot}{other}{tail[len(word) :]}" for other in others)
    return tuple(found + [each.replace(".shared_expert.", ".shared_experts.") for each in found if ".shared_" in each])


def _after_layer(name: str) -> tuple[str, str, str]:
    """Split ``layers.3.mlp.up_proj`` behind the number of its layer."""
    parts = name.split(".", 2)
    return (".".join(parts[:2]), ".", parts[2]) if len(parts) == 3 and parts[0] == "layers" else ("", "", name)


Patterns = Mapping[str, Sequence[tuple[int, str]]]


@lru_cache(maxsize=64)
def _by_layer(patterns: tuple[str, ...]) -> Patterns:
    """Sort patterns by the layer that they name, "" for any, so that a module meets few of them."""
    found: dict[str, list[tuple[int, str]]] = {}
    for place, pattern in enumerate(patterns):
        head = _after_layer(pattern)[0]
        found.setdefault(head if "*" not in head else "", []).append((place, pattern))
    return found


def _found(names: Sequence[str], patterns: Patterns) -> int | None:
    """Return the place of the first pattern that one of the names matches."""
    head = _after_layer(names[0])[0]
    for key in dict.fromkeys((head, "")):
        for place, pattern in patterns.get(key, ()):
            if any(matches(pattern, name) for name in names):
                return place
    return None


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern names a module or one that it lies in; both without what stands before ``layers.``."""
    if "*" not in pattern:
        return name == pattern or name.startswith(pattern + ".") or f".{pattern}." in f".{name}."
    pieces = pattern.split("*")
    if not name.startswith(pieces[0]):
        return False
    place = len(pieces[0])
    for piece in pieces[1:-1]:
        found = name.find(piece, place)
        if found < 0:
            return False
        place = found + len(piece)
    return name.endswith(pieces[-1]) and len(name) - len(pieces[-1]) >= place


def short_name(name: str) -> str:
    """Return a module's name, or a pattern of such, from ``layers.`` on; else its last part of a tree."""
    for prefix in ("re:", "^"):
        name = name[len(prefix) :] if name.startswith(prefix) else name
    place = name.rfind("layers.")
    if place >= 0 and not any(tower in name[:place] for tower in ("visual", "vision", "audio", "mtp")):
        return name[place:]
    for prefix in ("model.language_model.", "language_model.model.", "language_model.", "model.", "backbone."):
        if name.startswith(prefix) and len(name) > len(prefix):
            return name[len(prefix) :]
    return name


def _patterns(values: Any) -> tuple[str, ...]:
    """Return names and expressions as short patterns; an expression becomes ``*`` where it is not literal."""
    found: dict[str, None] = {}
    for value in values if isinstance(values, (list, tuple)) else ():
        if isinstance(value, str) and 0 < len(value) <= 512 and len(found) < MOST_NAMES:
            for alternative in _alternatives(value) if value.startswith("re:") else (value,):
                found[short_name(alternative)] = None
    return tuple(found)


def _alternatives(expression: str) -> Sequence[str]:
    text = expression[3:].lstrip("^").rstrip("$")
    for expression_part, pattern in (("\\.", "\0"), (".*", "*"), ("\\d+", "*"), ("[0-9]+", "*"), ("\0", ".")):
        text = text.replace(expression_part, pattern)  # a literal point must not become part of ".*"
    texts = [text]
    while len(texts) <= MOST_ALTERNATIVES and any("(" in text for text in texts):
        opened: list[str] = []
        for text in texts:
            before, bracket, after = text.partition("(")
            inner, closing, rest = after.partition(")")
            if not bracket or not closing:
                opened.append(text.replace("(", "*").replace(")", "*"))
            else:
                opened.extend(f"{before}{part}{rest}" for part in inner.replace("?:", "").split("|"))
        texts = opened
    return [text if text.startswith("*") else f"*{text}" for text in texts[:MOST_ALTERNATIVES]]


def read_quantization(
    settings: Any, beside: Mapping[str, Any] | None, where: str, expert_type: Any = None
) -> Quantization | None:
    """Return the quantization that a config states; None where there is none.

    ``beside`` is the content of hf_quant_config.json, ``expert_type`` config.json's ``expert_dtype``. Raises
    InferenceError for a method that nobody here knows.
    """
    if settings is None and beside is not None:
        inner = beside.get("quantization")
        settings = {"quant_method": "modelopt", **(inner if isinstance(inner, Mapping) else beside)}
    if settings is None:
        return None
    if not isinstance(settings, Mapping):
        raise InferenceError(f"{where}: quantization_config must be a dictionary, not {shown(settings)}.")
    method = settings.get("quant_method") or ("modelopt" if "quant_algo" in settings else "unknown")
    reader = _READERS.get(str(method).lower().replace("_", "-"))
    if reader is None:
        raise InferenceError(
            f"{where}: quantization {shown(method)} is none of {', '.join(sorted(_READERS))}. State "
            "weights_bytes in the service's geometry."
        )
    found = reader(settings, str(method).lower(), where)
    if expert_type == "fp4" and not found.named:  # experts narrower than the rest
        return replace(found, named=(("*.experts.*", Scheme(MXFP4, 1, 32, bits=4)),))
    return found


def _left_out(settings: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("ignore", "modules_to_not_convert", "exclude_modules", "ignored_layers", "llm_int8_skip_modules")
    return _patterns([name for key in keys for name in (settings.get(key) or ()) if isinstance(name, str)])


def _block(settings: Mapping[str, Any]) -> tuple[int, int]:
    block = settings.get("weight_block_size") or settings.get("block_structure")
    if isinstance(block, (list, tuple)) and len(block) == 2:
        return max(1, as_integer(block[0]) or 1), max(1, as_integer(block[1]) or 1)
    return 0, 0


def _bits(settings: Mapping[str, Any], where: str, default: int) -> int:
    value = next((settings[key] for key in ("bits", "w_bit", "num_bits", "weight_bits") if key in settings), default)
    bits = as_integer(value)
    if bits is None or not 1 <= bits <= 16:
        raise InferenceError(f"{where}: quantization_config.bits must be from 1 to 16, not {shown(value)}.")
    return bits


def _read_fp8(settings: Mapping[str, Any], method: str, where: str) -> Quantization:
    rows, columns = _block(settings)
    scheme = Scheme(FP8, rows, columns, bits=8)
    named: tuple[tuple[str, Scheme], ...] = ()
    if settings.get("moe_quant_algo") == "NVFP4":
        named = (("*.experts.*", Scheme(NVFP4, 1, 16, bits=4)),)
    return Quantization(method, scheme, _left_out(settings), named)


def _read_groups(settings: Mapping[str, Any], method: str, where: str) -> Quantization:
    """Read AWQ and GPTQ: groups of inputs share a scale and a zero point."""
    bits = _bits(settings, where, 4)
    group = as_integer(settings.get("group_size", settings.get("q_group_size", 128)))
    scheme = Scheme(INT8 if bits == 8 else INT4, 1, group or 0, True, bits)
    return Quantization(method, scheme, _left_out(settings))


def _read_bitsandbytes(settings: Mapping[str, Any], method: str, where: str) -> Quantization:
    eight = settings.get("load_in_8bit") is True
    scheme = Scheme(INT8, 1, 0, bits=8) if eight else Scheme(NF4, 1, 64, bits=4)
    return Quantization(method, scheme, _left_out(settings) or ("lm_head",))


def _read_mxfp4(settings: Mapping[str, Any], method: str, where: str) -> Quantization:
    return Quantization(method, Scheme(MXFP4, 1, 32, bits=4), _left_out(settings), experts_only=True)


_ALGORITHMS = {
    "FP8": Scheme(FP8, bits=8),
    "FP8_PER_CHANNEL_PER_TOKEN": Scheme(FP8, 1, 0, bits=8),
    "FP8_PB_WO": Scheme(FP8, 128, 128, bits=8),
    "NVFP4": Scheme(NVFP4, 1, 16, bits=4),
    "W4A16_NVFP4": Scheme(NVFP4, 1, 16, bits=4),
    "W4A8_NVFP4_FP8": Scheme(NVFP4, 1, 16, bits=4),
    "NVFP4_AWQ": Scheme(NVFP4, 1, 16, bits=4),
    "MXFP4": Scheme(MXFP4, 1, 32, bits=4),
    "MXFP8": Scheme(MXFP8, 1, 32, bits=8),
    "W4A16_AWQ": Scheme(INT4, 1, 128, bits=4),
    "W8A8_SQ_PER_CHANNEL": Scheme(INT8, 1, 0, bits=8),
    "INT8": Scheme(INT8, 1, 0, bits=8),
}


def _read_modelopt(settings: Mapping[str, Any], method: str, where: str) -> Quantization:
    inner = settings.get("quantization")
    values = {**settings, **inner} if isinstance(inner, Mapping) else settings
    cache = values.get("kv_cache_quant_algo", values.get("kv_cache_scheme"))
    if isinstance(cache, Mapping):
        cache = "FP8" if as_integer(cache.get("num_bits")) == 8 else None
    kept = "fp8" if isinstance(cache, str) and "FP8" in cache.upper() else None
    algorithm = str(values.get("quant_algo") or "FP8").upper()
    layers = values.get("quantized_layers")
    if isinstance(layers, Mapping) and algorithm == "MIXED_PRECISION":
        named = [
            (short_name(name), _algorithm(str(entry.get("quant_algo", "")).upper(), where))
            for name, entry in layers.items()
            if isinstance(name, str) and isinstance(entry, Mapping)
        ]
        return Quantization(method, Scheme(), _left_out(values), tuple(named[:MOST_NAMES]), cache=kept)
    return Quantization(method, _algorithm(algorithm, where), _left_out(values), cache=kept)


def _algorithm(name: str, where: str) -> Scheme:
    scheme = _ALGORITHMS.get(name)
    if scheme is None:
        raise InferenceError(
            f"{where}: quantization algorithm {shown(name)} is none of {', '.join(sorted(_ALGORITHMS))}. "
            "Read the weights from their files, or state weights_bytes in the service's geometry."
        )
    return scheme


def _read_compressed(settings: Mapping[str, Any], method: str, where: str) -> Quantization:
    """Read compressed-tensors: groups of targets, each with the numbers of its weights."""
    default = Scheme()
    named: list[tuple[str, Scheme]] = []
    groups = settings.get("config_groups")
    for group in groups.values() if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if not isinstance(weights, Mapping):
            continue
        scheme = _compressed_scheme(weights, where)
        targets = group.get("targets") or ["Linear"]
        if "Linear" in targets:
            default = scheme
        else:
            named.extend((pattern, scheme) for pattern in _patterns(targets))
    cache = settings.get("kv_cache_scheme")
    kept = "fp8" if isinstance(cache, Mapping) and as_integer(cache.get("num_bits")) == 8 else None
    return Quantization(method, default, _left_out(settings), tuple(named), cache=kept)


def _compressed_scheme(weights: Mapping[str, Any], where: str) -> Scheme:
    bits, group = _bits(weights, where, 8), as_integer(weights.get("group_size")) or 0
    floating = weights.get("type") == "float"
    if bits == 8:
        rows, columns = _block(weights)
        per_channel = weights.get("strategy") == "channel"
        return Scheme(FP8 if floating else INT8, rows or int(per_channel), columns or group, bits=8)
    if floating:
        return Scheme(MXFP4, 1, 32, bits=4) if group == 32 else Scheme(NVFP4, 1, group or 16, bits=4)
    return Scheme(INT4, 1, group, weights.get("symmetric") is False, bits)


_READERS = {
    "fp8": _read_fp8,
    "fbgemm-fp8": _read_fp8,
    "deepseek-v4-fp8": _read_fp8,
    "awq": _read_groups,
    "awq-marlin": _read_groups,
    "gptq": _read_groups,
    "gptq-marlin": _read_groups,
    "auto-round": _read_groups,
    "autoround": _read_groups,
    "bitsandbytes": _read_bitsandbytes,
    "mxfp4": _read_mxfp4,
    "modelopt": _read_modelopt,
    "modelopt-fp4": _read_modelopt,
    "modelopt-mixed": _read_modelopt,
    "compressed-tensors": _read_compressed,
}
