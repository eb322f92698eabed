# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of what a model sees and hears with: towers for images and sound, and their way into the language model.

A tower is a transformer: its layers follow from its sizes, its embedding of patches from theirs. The connector between
tower and language model is a block of two linear layers unless the config says more (``deepstack_visual_indexes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import InferenceError
from .._values import as_integer, shown
from .body import Module
from .config import Config

VISION = ("vision_config", "vit_config", "vision_tower_config", "visual", "vision_encoder")
SOUND = ("audio_config", "audio_encoder_config", "speech_config", "sound_config", "whisper_config")
_WIDTH = ("hidden_size", "embed_dim", "width", "vt_hidden_size", "d_model", "n_embd")
_LAYERS = ("num_hidden_layers", "depth", "layers", "vt_num_hidden_layers", "encoder_layers", "num_layers", "n_layers")
_INNER = ("intermediate_size", "vt_intermediate_size", "encoder_ffn_dim", "ffn_dim", "mlp_hidden_size")
_GATED = ("silu", "swish", "swiglu", "geglu")
MOST = 1 << 20
_WHOLE = ("pixtral", "gemma4", "gemma3n")  # of these each rank has all


def read_towers(config: Config) -> tuple[Module, ...]:
    """Return the modules of all towers of a model; () for a model of text alone."""
    found: list[Module] = []
    for kind, names in (("visual", VISION), ("audio_tower", SOUND)):
        part = _part(config, names)
        if part:
            found.extend(_Tower(config, part, kind).modules())
    if "encoder_layers" in config and not found:
        found.extend(_encoder(config))
    return tuple(found)


def _part(config: Config, names: tuple[str, ...]) -> Mapping[str, Any]:
    thinker = config.outer.get("thinker_config")
    for values in (config.outer, thinker if isinstance(thinker, Mapping) else {}):
        for name in names:
            found = values.get(name)
            if isinstance(found, Mapping):
                return found
    return {}


class _Tower:
    def __init__(self, config: Config, part: Mapping[str, Any], kind: str) -> None:
        self.part = {**part, **_nested(part)}
        # The engine divides towers as it divides language models, but for those that it takes over whole.
        whole = str(self.part.get("model_type")).startswith(_WHOLE)
        self.config, self.kind = config, f"{kind}.replicated" if whole else kind
        self.text = config.size("hidden_size", needed=True)

    def number(self, names: tuple[str, ...], default: int = 0) -> int:
        for name in names:
            value = self.part.get(name)
            if isinstance(value, (list, tuple)) and value:
                value = value[0]
            if value is None:
                continue
            number = as_integer(value)
            if number is None or not 0 <= number <= MOST:
                where = f"{self.config.where}: {self.kind} states {name} {shown(value)}"
                raise InferenceError(f"{where}; a whole number up to {MOST} is due. Fetch the model again.")
            return number
        return default

    def modules(self) -> list[Module]:
        hidden, layers = self.number(_WIDTH), min(self.number(_LAYERS), 1000)
        if not hidden or not layers:
            return []
        ratio = self.part.get("mlp_ratio")
        times = float(ratio) if isinstance(ratio, (int, float)) and 0 < ratio < 100 else 4
        inner = self.number(_INNER) or int(hidden * times)
        gated = any(word in str(self.part.get("hidden_act", "")) for word in _GATED)
        gated = gated or self.part.get("model_type") in ("gemma4_vision", "pixtral") or "hidden_activation" in self.part
        name = f"{self.kind}.blocks.N"
        found: list[Module] = [
            (f"{name}.attn.q_proj", (hidden, hidden), 3 * layers),
            (f"{name}.attn.proj", (hidden, hidden), layers),
            (f"{name}.attn.q_proj.bias", (4 * hidden,), 0 if gated else layers),
            (f"{name}.mlp.fc1", (inner, hidden), (2 if gated else 1) * layers),
            (f"{name}.mlp.fc2", (hidden, inner), layers),
            (f"{name}.mlp.fc1.bias", (inner + hidden,), 0 if gated else layers),
            (f"{name}.norm", (hidden,), (2 if gated else 4) * layers),
        ]
        found.extend(self._sound(hidden) if self.kind.startswith("audio_tower") else self._patches(hidden))
        found.extend(self._connector(hidden))
        return [module for module in found if module[2]]

    def _patches(self, hidden: int) -> list[Module]:
        side = self.number(("patch_size",), 14)
        frames = self.number(("temporal_patch_size",), 1)
        channels = self.number(("in_channels", "num_channels", "in_chans"), 3)
        places = self.number(("num_position_embeddings", "position_embedding_size"))
        image = self.number(("image_size",))
        if not places and image and side:
            places = (image // side) ** 2
        places = 2 * places if "position_embedding_size" in self.part else places
        return [
            ("visual.patch_embed", (hidden, channels, frames * side * side), 1),
            ("visual.pos_embed", (max(1, places), hidden), 1 if places else 0),
        ]

    def _sound(self, hidden: int) -> list[Module]:
        bins = self.number(("num_mel_bins",), 80)
        places = self.number(("max_source_positions",))
        return [
            ("audio_tower.conv1", (hidden, bins, 3), 1),
            ("audio_tower.conv2", (hidden, hidden, 3), 1),
            ("audio_tower.positions", (max(1, places), hidden), 1 if places else 0),
        ]

    def _connector(self, hidden: int) -> list[Module]:
        side = self.number(("spatial_merge_size", "merge_size", "spatial_patch_merge"))
        kernel = self.part.get("merge_kernel_size")
        side = side or (as_integer(kernel[0]) or 1 if isinstance(kernel, (list, tuple)) and kernel else 0)
        deep = self.part.get("deepstack_visual_indexes")
        count = 1 + (min(len(deep), 100) if isinstance(deep, (list, tuple)) else 0)
        shuffle = self.config.outer.get("downsample_ratio")
        if isinstance(shuffle, (int, float)) and 0 < shuffle <= 1:
            side, inner = max(1, round(1 / shuffle)), self.text
        else:
            inner = hidden * max(1, side) ** 2 if side else self.text
        entry = hidden * max(1, side) ** 2
        if self.part.get("model_type") == "gemma4_vision":
            return [("visual.connector.fc1", (self.text, hidden), 1)]
        return [
            (f"{self.kind}.connector.fc1", (inner, entry), count),
            (f"{self.kind}.connector.fc2", (self.text, inner), count),
        ]


def _nested(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values of a tower that is nested once more, as some encoders are."""
    for name in ("vision_config", "encoder_config"):
        inner = part.get(name)
        if isinstance(inner, Mapping):
            return inner
    return {}


def _encoder(config: Config) -> list[Module]:
    """Return the encoder of an encoder-decoder for sound: its layers are the decoder's without the second attention."""
    part = {
        "hidden_size": config.get("d_model") or config.get("hidden_size"),
        "encoder_layers": config.get("encoder_layers"),
        "encoder_ffn_dim": config.get("encoder_ffn_dim"),
        "num_mel_bins": config.get("num_mel_bins", 128),
        "max_source_positions": config.get("max_source_positions", 1500),
    }
    return [module for module in _Tower(config, part, "audio_tower").modules() if ".connector." not in module[0]]
