# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Model directories without weights: config.json of a Qwen3 geometry and a byte-level tokenizer.

The engine fills the tensors itself (``--load-format dummy``), so that a start uses exactly the memory of the
real model, and nothing has to be downloaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

COMMON: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 40960,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "rms_norm_eps": 1e-6,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "use_sliding_window": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 151936,
}
GEOMETRIES: dict[str, dict[str, Any]] = {
    "qwen3-32b": {
        "hidden_size": 5120,
        "num_hidden_layers": 64,
        "max_window_layers": 64,
        "num_attention_heads": 64,
        "intermediate_size": 25600,
        "tie_word_embeddings": False,
    },
    "qwen3-8b": {
        "hidden_size": 4096,
        "num_hidden_layers": 36,
        "max_window_layers": 36,
        "num_attention_heads": 32,
        "intermediate_size": 12288,
        "tie_word_embeddings": False,
    },
    "qwen3-1.7b": {
        "hidden_size": 2048,
        "num_hidden_layers": 28,
        "max_window_layers": 28,
        "num_attention_heads": 16,
        "intermediate_size": 6144,
        "tie_word_embeddings": True,
    },
}
SPECIAL = ("<|endoftext|>", "<|im_end|>")  # after the 256 bytes: ids 256 and 257


def write_model(directory: Path, name: str) -> Path:
    """Write the files of geometry ``name`` into ``directory/name`` and return that path."""
    model = directory / name
    model.mkdir(parents=True, exist_ok=True)
    _write(model / "config.json", {**COMMON, **GEOMETRIES[name]})
    _write(model / "tokenizer.json", _tokenizer())
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIAL[0],
        "eos_token": SPECIAL[1],
        "model_max_length": 131072,
        "chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}",
    }
    _write(model / "tokenizer_config.json", settings)
    return model


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _tokenizer() -> dict[str, Any]:
    """Return a tokenizer.json in which each byte is a token: byte-pair encoding without a merge."""
    marks = [{"id": 256 + i, "content": mark, **_MARK} for i, mark in enumerate(SPECIAL)]
    bytelevel = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": marks,
        "normalizer": None,
        "pre_tokenizer": bytelevel,
        "post_processor": None,
        "decoder": bytelevel,
        "model": {"type": "BPE", "vocab": _byte_letters(), "merges": []},
    }


_MARK = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def _byte_letters() -> dict[str, int]:
    """Return the letter for each byte: itself where it prints, else one from U+0100 on, as GPT-2 has it."""
    printing = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in printing]
    letters = {chr(byte): byte for byte in sorted(printing)}
    letters.update({chr(0x100 + i): byte for i, byte in enumerate(hidden)})
    return letters
