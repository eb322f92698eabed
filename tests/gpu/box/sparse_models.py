# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole checkpoints of Qwen3 whose tensors are holes of sparse files: real headers, real sizes, no disk.

An engine loads them as it loads any model, and generates from zeros. ``sparse_models.py DIRECTORY [NAME...]`` writes
the models named, ``qwen3-8b`` for example, into directories of their public names, ``DIRECTORY/Qwen3-8B``.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.tests.gpu.model_files import COMMON, GEOMETRIES, write_model

SHARD_BYTES = 5_000_000_000  # as Hugging Face's tools split checkpoints
ELEMENT_BYTES = 2  # bfloat16
NAMES = {"qwen3-32b": "Qwen3-32B", "qwen3-8b": "Qwen3-8B", "qwen3-1.7b": "Qwen3-1.7B"}


def tensors(config: Mapping[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """Yield name and shape of every tensor of a Qwen3 checkpoint with that config.json."""
    hidden, wide, words = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    size = config["head_dim"]
    queries, keys = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    yield "model.embed_tokens.weight", [words, hidden]
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", [words, hidden]
    yield "model.norm.weight", [hidden]
    layer = {
        "input_layernorm": [hidden],
        "post_attention_layernorm": [hidden],
        "self_attn.q_proj": [queries, hidden],
        "self_attn.k_proj": [keys, hidden],
        "self_attn.v_proj": [keys, hidden],
        "self_attn.o_proj": [hidden, queries],
        "self_attn.q_norm": [size],
        "self_attn.k_norm": [size],
        "mlp.gate_proj": [wide, hidden],
        "mlp.up_proj": [wide, hidden],
        "mlp.down_proj": [hidden, wide],
    }
    for number in range(config["num_hidden_layers"]):
        for name, shape in layer.items():
            yield f"model.layers.{number}.{name}.weight", shape


def bytes_of(shape: list[int]) -> int:
    """Return the bytes of a tensor of that shape."""
    size = ELEMENT_BYTES
    for length in shape:
        size *= length
    return size


def shards(config: Mapping[str, Any]) -> list[list[tuple[str, list[int]]]]:
    """Return the tensors by the file that holds them."""
    files: list[list[tuple[str, list[int]]]] = [[]]
    size = 0
    for name, shape in tensors(config):
        if size + bytes_of(shape) > SHARD_BYTES:
            files.append([])
            size = 0
        files[-1].append((name, shape))
        size += bytes_of(shape)
    return files


def write_shard(path: Path, content: list[tuple[str, list[int]]]) -> int:
    """Write a safetensors file of holes; return the bytes of its tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in content:
        begin, end = end, end + bytes_of(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return end


def write_checkpoint(directory: Path, name: str) -> Path:
    """Write model ``name`` of ``GEOMETRIES`` below ``directory``; return its path."""
    model = write_model(directory, name).rename(directory / NAMES[name])
    files = shards({**COMMON, **GEOMETRIES[name]})
    total, where = 0, {}
    for number, content in enumerate(files, 1):
        file = f"model-{number:05d}-of-{len(files):05d}.safetensors"
        total += write_shard(model / file, content)
        where.update(dict.fromkeys((tensor for tensor, _shape in content), file))
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (model / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return model


def main(arguments: list[str]) -> int:
    """Write the models that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; without any, all of them")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.name) - set(NAMES))
    if unknown:
        parser.error(f"there is no model {', '.join(unknown)}; choose of {', '.join(NAMES)}")
    asked.directory.mkdir(parents=True, exist_ok=True)
    for name in asked.name or NAMES:
        if not (asked.directory / NAMES[name]).exists():
            print(write_checkpoint(asked.directory, name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
