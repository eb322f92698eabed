# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kind each layer of a model is: how it mixes tokens, and how it feeds forward.

Models state this in many ways: a list of kinds, a string with a letter per layer, an interval, a list of places.
Each way is one reader here; the first that finds its field decides. A field decides, never the name of a model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .._errors import InferenceError
from .._values import as_integer, shown
from .config import Config

FULL, WINDOW, CHUNK, STATE, BOTH, NONE = "full", "window", "chunk", "state", "both", "none"
DENSE, EXPERTS = "dense", "experts"

# Words of lists such as layer_types, tried in this order: the first that a kind contains decides.
_WORDS = (
    ("hybrid", BOTH),
    ("linear", STATE),
    ("mamba", STATE),
    ("conv", STATE),
    ("recurrent", STATE),
    ("lightning", STATE),
    ("delta", STATE),
    ("kda", STATE),
    ("ssm", STATE),
    ("sliding", WINDOW),
    ("local", WINDOW),
    ("window", WINDOW),
    ("swa", WINDOW),
    ("chunk", CHUNK),
    ("moe", NONE),
    ("mlp", NONE),
    ("ffn", NONE),
    ("full", FULL),
    ("global", FULL),
    ("attention", FULL),
)
_LETTERS = {"M": (STATE, NONE), "*": (FULL, NONE), "-": (NONE, DENSE), "E": (NONE, EXPERTS)}
MOST_LAYERS = 10_000


@dataclass(frozen=True)
class Layer:
    """One layer: ``mixer`` is full, window, chunk, state, both (full and state) or none; ``feed`` dense, experts, both
    or none. ``cached`` is false where the layer reads the cache of another one."""

    mixer: str
    feed: str
    cached: bool = True


def read_layers(config: Config) -> tuple[Layer, ...]:
    """Return the layers of a model; InferenceError for a pattern that does not suit their number."""
    count = config.size("num_hidden_layers", needed=True, highest=MOST_LAYERS)
    letters = config.get("hybrid_override_pattern")
    if letters is not None:
        return _lettered(config, letters, count)
    mixers = _mixers(config, count)
    feeds = _feeds(config, count)
    kinds = config.get("layers_block_type")
    if isinstance(kinds, (list, tuple)) and "moe" in kinds:  # a layer is one module only
        feeds = [EXPERTS if kind == "moe" else NONE for kind in kinds[:count]]
    alone = "num_attention_heads" not in config.outer or "state_size" in config
    if alone and set(mixers) == {STATE}:
        feeds = [NONE] * count  # the state's own projections are all there is
    shared = _shared(config, count)
    return tuple(Layer(mixer, feed, not reads) for mixer, feed, reads in zip(mixers, feeds, shared))


def _lettered(config: Config, letters: object, count: int) -> tuple[Layer, ...]:
    if not isinstance(letters, str) or not set(letters) <= set(_LETTERS):
        raise InferenceError(
            f"{config.where}: hybrid_override_pattern must be letters of {' '.join(_LETTERS)}, not {shown(letters)}."
        )
    _check(config, "hybrid_override_pattern", len(letters), count)
    return tuple(Layer(*_LETTERS[letter]) for letter in letters[:count])


def _check(config: Config, key: str, found: int, count: int) -> None:
    """Refuse a pattern of another length; only layers that predict further tokens may follow."""
    predicting = config.count("num_nextn_predict_layers")
    if not count <= found <= count + predicting:
        raise InferenceError(
            f"{config.where}: {key} has {found} entries for {count} layers. State the right {key} or "
            "num_hidden_layers in the service's geometry, or fetch the model again."
        )


def _mixers(config: Config, count: int) -> list[str]:
    for reader in _MIXER_READERS:
        found = reader(config, count)
        if found is not None:
            return _with_windows(config, found)
    return [FULL] * count


def _with_windows(config: Config, mixers: list[str]) -> list[str]:
    """Turn windows into full attention where the window is switched off."""
    off = not config.get("sliding_window") or config.get("use_sliding_window") is False
    return [FULL if off and mixer == WINDOW else mixer for mixer in mixers]


def _listed(config: Config, count: int) -> list[str] | None:
    for key in ("layers_block_type", "layer_types", "block_types", "attention_types"):
        kinds = config.get(key)
        if isinstance(kinds, (list, tuple)) and kinds and all(isinstance(kind, str) for kind in kinds):
            if key == "block_types":  # repeated over the layers
                kinds = [kinds[place % len(kinds)] for place in range(count)]
            _check(config, key, len(kinds), count)
            return [_kind(config, key, kind) for kind in kinds[:count]]
    return None


def _kind(config: Config, key: str, kind: str) -> str:
    found = next((mixer for word, mixer in _WORDS if word in kind.lower()), None)
    if found is None:
        raise InferenceError(
            f"{config.where}: {key} names {shown(kind)}, which is no kind of layer known here. State {key} in the "
            "service's geometry with full_attention, sliding_attention, chunked_attention or linear_attention."
        )
    return found


def _switched(config: Config, count: int) -> list[str] | None:
    """Read a list of 0 and 1: of linear and full attention, or of full attention and windows."""
    for key, kinds in (("attn_type_list", (STATE, FULL)), ("hybrid_layer_pattern", (FULL, WINDOW))):
        values = config.numbers(key)
        if values is not None:
            _check(config, key, len(values), count)
            return [kinds[min(1, value)] for value in values[:count]]
    return None


def _placed(config: Config, count: int) -> list[str] | None:
    """Read the places of the layers with full attention; the others keep a state."""
    linear = config.get("linear_attn_config")
    if isinstance(linear, dict):
        places = [as_integer(place) for place in linear.get("full_attn_layers") or []]
        return [FULL if place + 1 in places else STATE for place in range(count)]
    for key in ("attn_layer_indices", "full_attn_idxs"):
        found = config.numbers(key)
        if found is not None:
            return [FULL if place in found else STATE for place in range(count)]
    return None


def _spaced(config: Config, count: int) -> list[str] | None:
    """Read an interval: every n-th layer has full attention, the others keep a state."""
    for key in ("full_attention_interval", "layer_group_size"):
        if key in config and (key != "layer_group_size" or "linear_silu" in config or "group_norm_size" in config):
            interval = config.size(key)
            return [FULL if (place + 1) % interval == 0 else STATE for place in range(count)]
    if "attn_layer_period" in config:
        period, offset = config.size("attn_layer_period"), config.count("attn_layer_offset")
        return [FULL if place % period == offset else STATE for place in range(count)]
    return None


def _chunked(config: Config, count: int) -> list[str] | None:
    """Read chunked local attention: layers with a rotary embedding have it, every fourth has none by default."""
    if "attention_chunk_size" not in config:
        return None
    rotary = config.numbers("no_rope_layers")
    if rotary:
        _check(config, "no_rope_layers", len(rotary), count)
        return [CHUNK if value else FULL for value in rotary[:count]]
    interval = config.size("no_rope_layer_interval") or 4
    return [FULL if (place + 1) % interval == 0 else CHUNK for place in range(count)]


def _windowed(config: Config, count: int) -> list[str] | None:
    """Read windows: in all layers, in all but every n-th, or by letters that repeat."""
    if not config.get("sliding_window") or config.get("use_sliding_window") is False:
        return None
    pattern = config.get("sliding_window_pattern", config.get("_sliding_window_pattern"))
    if isinstance(pattern, str) and pattern:
        return [WINDOW if pattern[place % len(pattern)] in "Ll" else FULL for place in range(count)]
    interval = as_integer(pattern) if pattern is not None else None
    if pattern is not None and not interval:
        raise InferenceError(
            f"{config.where}: sliding_window_pattern must be a number from 1 or letters, not {shown(pattern)}."
        )
    if interval:
        return [FULL if (place + 1) % interval == 0 else WINDOW for place in range(count)]
    first = as_integer(config.get("max_window_layers")) if config.get("use_sliding_window") else None
    return [WINDOW if first is None or place >= first else FULL for place in range(count)]


def _stateful(config: Config, count: int) -> list[str] | None:
    """Read a model whose layers all keep a state, alone or beside attention."""
    if not any(key in config for key in ("ssm_state_size", "state_size", "mamba_d_state", "mamba_d_ssm", "d_state")):
        return None
    return [BOTH if "num_attention_heads" in config and "mamba_d_state" in config else STATE] * count


_MIXER_READERS: tuple[Callable[[Config, int], list[str] | None], ...] = (
    _listed,
    _switched,
    _placed,
    _spaced,
    _chunked,
    _windowed,
    _stateful,
)


def _feeds(config: Config, count: int) -> list[str]:
    """Return which layers have experts; 0 experts are none."""
    if not config.count("num_experts") or config.get("enable_moe_block") is False:
        return [DENSE] * count
    if config.get("enable_moe_block"):
        return ["both"] * count
    return [EXPERTS if sparse else DENSE for sparse in _sparse(config, count)]


def _sparse(config: Config, count: int) -> Sequence[bool]:
    kinds = config.get("mlp_layer_types")
    if isinstance(kinds, (list, tuple)):
        _check(config, "mlp_layer_types", len(kinds), count)
        return [kind != "dense" for kind in kinds[:count]]
    for key in ("moe_layers", "moe_layers_enum"):
        places = config.numbers(key)
        if places is not None:
            return [place in places for place in range(count)]
    frequency = config.get("moe_layer_freq")
    if isinstance(frequency, (list, tuple)):
        _check(config, "moe_layer_freq", len(frequency), count)
        return [bool(value) for value in frequency[:count]]
    if "expert_layer_period" in config:
        period, offset = config.size("expert_layer_period"), config.count("expert_layer_offset")
        return [place % period == offset for place in range(count)]
    first = config.count("first_k_dense_replace") or config.count("num_dense_layers")
    first = first or config.count("moe_layer_start_index")
    last = config.get("moe_layer_end_index")
    end = as_integer(last) if last not in (None, -1) else count - 1
    step = 1
    for key in ("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_interval", "moe_layer_freq"):
        step = config.count(key) or step
    after = 0 if "moe_layer_freq" in config else 1
    dense = config.numbers("mlp_only_layers") or []
    return [
        first <= place <= (count if end is None else end) and (place + after) % step == 0 and place not in dense
        for place in range(count)
    ]


def _shared(config: Config, count: int) -> list[bool]:
    """Return which layers read the cache of an earlier one."""
    last = min(config.count("num_kv_shared_layers"), count)
    factor = config.count("cla_share_factor") if config.get("use_cla") else 0
    return [place >= count - last or bool(factor and place % factor) for place in range(count)]
