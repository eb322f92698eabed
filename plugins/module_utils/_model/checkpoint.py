# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model directory read without its tensors: config.json and the headers of its safetensors files.

Headers are untrusted input. Each is bounded before it is read, its offsets must tile the file exactly, and a
file shorter than its header says is a download that was cut off. Every refusal names the file, what was
expected and what was found.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import InferenceError
from .._values import is_whole, printable, shown
from .expected import expected_tensors
from .geometry import DTYPE_BYTES, Geometry
from .model import Checkpoint, stated_weights
from .tensors import ELEMENT_BYTES, Tensor, group_tensors

MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit
MAX_DIMENSIONS = 8
MAX_NAME_BYTES = 255
MAX_JSON_BYTES = 64 << 20  # config.json and the index of the largest checkpoints are a few MiB
CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
BESIDE = "hf_quant_config.json"
PART = re.compile(r"-[0-9]{5}-of-[0-9]{5}\.gguf$")


def read_checkpoint(path: str, geometry: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read a model directory; ``geometry`` overrides what its config.json says.

    A stated ``weights_bytes`` or ``parameters`` decides over the files. Without safetensors files, the sizes of files
    of another format count as the weights' bytes, an estimate. Raises InferenceError for a directory that no engine
    could load: no config.json, no weights, a file that the index names and that is absent, a file cut off, a header
    that lies.
    """
    directory = Path(path)
    text = _read_config(directory)
    config = _parse_json(text, str(directory / CONFIG))
    beside = _read_beside(directory)
    shape = Geometry.from_config(config, str(directory / CONFIG), beside, geometry)
    stated = stated_weights(shape)
    other = _other_files(directory)
    if other:
        wide = min(2, DTYPE_BYTES[shape.dtype]), DTYPE_BYTES[shape.dtype]
        size = stated or sum(other.values()) * wide[0] // wide[1]
        return Checkpoint(shape, expected_tensors(shape), "estimated", _digest_of(other, text), size)
    tensors, fingerprint = _read_weights(directory, text)
    source = "exact" if stated is None else "estimated"
    return Checkpoint(shape, group_tensors(tensors, shape.num_hidden_layers), source, fingerprint, stated)


def _read_beside(directory: Path) -> dict[str, Any] | None:
    """Return the content of the file that tells how a checkpoint is quantized; None without one."""
    path = directory / BESIDE
    return _parse_json(_read_small(path, "it reports the quantization"), str(path)) if path.is_file() else None


def _other_files(directory: Path) -> dict[str, int]:
    """Return name -> bytes of the files with weights where none of them is a safetensors file.

    Of GGUF files an engine loads one, or the parts of one; several are refused, because nobody says which.
    """
    if (directory / INDEX).exists() or not directory.is_dir():
        return {}
    names = _file_names(directory)
    if any(name.endswith(".safetensors") for name in names):
        return {}
    found = sorted(name for name in names if name.endswith(".gguf"))
    whole = [name for name in found if PART.search(name) is None]
    if len(whole) > 1 or (whole and len(found) > 1):
        raise InferenceError(
            f"{directory} has {len(found)} GGUF files and an engine loads one of them. "
            "Keep the file that the service is to load.",
            file=str(directory),
        )
    found = found or sorted(name for name in names if name.startswith("pytorch_model") and name.endswith(".bin"))
    return {name: _regular_size(directory / name) for name in found}


def _digest_of(files: Mapping[str, int], config: bytes) -> str:
    return hashlib.sha256(config + json.dumps(files, sort_keys=True).encode()).hexdigest()


def read_config(file: Path) -> dict[str, Any]:
    """Return the content of a config.json; InferenceError where it is absent, too large or no dictionary."""
    return _parse_json(_read_small(file, "it has the shape of the model"), str(file))


def read_fingerprint(path: str) -> str:
    """Return the fingerprint of a model directory's files; InferenceError as of ``read_checkpoint``."""
    directory = Path(path)
    config, other = _read_config(directory), _other_files(directory)
    return _digest_of(other, config) if other else _read_weights(directory, config)[1]


def _read_config(directory: Path) -> bytes:
    return _read_small(directory / CONFIG, "a model directory has one beside its weights")


def _read_weights(directory: Path, config: bytes) -> tuple[list[Tensor], str]:
    """Return every tensor, and the fingerprint of the files together with ``config``."""
    digest = hashlib.sha256(config)
    index = _read_index(directory)
    tensors: list[Tensor] = []
    for file in _weight_files(directory, index):
        header, size = read_header(file)
        found = parse_header(header, size, str(file))
        digest.update(f"{file.name}\0{size}\0".encode() + header)
        _refuse_incomplete(file, found, index)
        tensors.extend(found)
    return tensors, digest.hexdigest()


def read_header(file: Path) -> tuple[bytes, int]:
    """Return the JSON text of a safetensors file's header, and the file's size in bytes."""
    try:
        size = _regular_size(file)
        with file.open("rb") as stream:
            prefix = stream.read(8)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or 8 + min(length, MAX_HEADER_BYTES) > size:
                raise InferenceError(
                    f"{file} is cut off: its header needs {8 + length} bytes and the file has {size}. Fetch it again.",
                    file=str(file),
                    expected_bytes=8 + length,
                    found_bytes=size,
                )
            if length > MAX_HEADER_BYTES:
                raise InferenceError(
                    f"{file} claims a header of {length} bytes; safetensors allows {MAX_HEADER_BYTES}. "
                    "It is no safetensors file, or a damaged one.",
                    file=str(file),
                )
            return stream.read(length), size
    except OSError as error:
        raise InferenceError(f"{file} cannot be read: {error.strerror}.", file=str(file)) from error


def parse_header(header: bytes, size: int, where: str) -> list[Tensor]:
    """Return (name, dtype, shape) of every tensor; the offsets must tile a file of ``size`` bytes exactly."""
    entries = _parse_json(header, f"the header of {where}")
    entries.pop("__metadata__", None)
    spans = []
    tensors = []
    for name, entry in entries.items():
        dtype, shape, begin, end = _entry(entry, f"{where}: tensor {shown(name)}")
        tensors.append((name, dtype, shape))
        spans.append((begin, end, name))
    data = size - 8 - len(header)
    reached = 0
    for begin, end, name in sorted(spans):
        if begin != reached:
            raise InferenceError(
                f"{where}: tensor {shown(name)} begins at byte {begin} of the data, where {reached} is due: "
                "the header is damaged.",
                file=where,
            )
        reached = end
    if reached != data:
        state = "is cut off" if reached > data else "has bytes that belong to no tensor"
        raise InferenceError(
            f"{where} {state}: its header describes {reached} bytes of data and the file has {data}. Fetch it again.",
            file=where,
            expected_bytes=reached + 8 + len(header),
            found_bytes=size,
        )
    return tensors


def _entry(entry: Any, where: str) -> tuple[str, tuple[int, ...], int, int]:
    """Return (dtype, shape, begin, end) of one entry of a header."""
    values = entry if isinstance(entry, Mapping) else {}
    dtype = values.get("dtype")
    if not isinstance(dtype, str) or dtype not in ELEMENT_BYTES:
        raise InferenceError(f"{where}: element type {shown(dtype)} is none of {', '.join(ELEMENT_BYTES)}.")
    shape, offsets = _sizes(values.get("shape")), _sizes(values.get("data_offsets"))
    if shape is None or offsets is None or len(offsets) != 2 or len(shape) > MAX_DIMENSIONS:
        raise InferenceError(
            f"{where} has the shape {shown(values.get('shape'))} and the offsets "
            f"{shown(values.get('data_offsets'))}; whole numbers are due."
        )
    begin, end = offsets
    expected = math.prod(shape) * ELEMENT_BYTES[dtype]
    if end - begin != expected:
        raise InferenceError(
            f"{where} takes {expected} bytes by its shape and {end - begin} by its offsets: the header is damaged."
        )
    return dtype, shape, begin, end


def _sizes(values: Any) -> tuple[int, ...] | None:
    """Return a list of whole numbers as a tuple; None for anything else."""
    if isinstance(values, list) and all(is_whole(value) and 0 <= value < 1 << 48 for value in values):
        return tuple(values)
    return None


def _read_index(directory: Path) -> dict[str, set[str]]:
    """Return file name -> names of its tensors, as the index has them; {} where there is no index."""
    path = directory / INDEX
    if not path.exists():
        return {}
    weight_map = _parse_json(_read_small(path, "it names the weights' files"), str(path)).get("weight_map")
    if not isinstance(weight_map, Mapping) or not weight_map:
        raise InferenceError(f"{path} has no weight_map.", file=str(path))
    index: dict[str, set[str]] = {}
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or not _is_file_name(name):
            raise InferenceError(f"{path} names {shown(name)}, which is no name of a file beside it.")
        index.setdefault(name, set()).add(tensor)
    return index


def _file_names(directory: Path) -> set[str]:
    """Return the files of a directory, links to files among them; one listing, however many an index names."""
    try:
        with os.scandir(directory) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError as error:
        raise InferenceError(f"{directory} cannot be listed: {error.strerror}.", file=str(directory)) from error


def _is_file_name(name: str) -> bool:
    return printable(name) and len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES


def _weight_files(directory: Path, index: Mapping[str, set[str]]) -> list[Path]:
    if index:
        absent = sorted(set(index) - _file_names(directory))
        if absent:
            raise InferenceError(
                f"{directory / INDEX} names {len(index)} files and {len(absent)} of them are absent: "
                f"{', '.join(absent[:5])}{' ...' if len(absent) > 5 else ''}. Fetch the model again.",
                file=str(directory / INDEX),
                absent=absent[:100],
            )
        return [directory / name for name in sorted(index)]
    files = sorted(directory.glob("*.safetensors"))
    # Mistral's releases carry the same weights twice; the engine takes the sharded ones.
    files = [file for file in files if not file.name.startswith("consolidated")] or files
    if not files:
        raise InferenceError(
            f"{directory} has no *.safetensors file; its weights are absent or of a format that is not read. "
            "Fetch the model again, or state its geometry with weights_bytes.",
            file=str(directory),
        )
    return files


def _refuse_incomplete(file: Path, found: list[Tensor], index: Mapping[str, set[str]]) -> None:
    missing = sorted(index.get(file.name, set()) - {name for name, _dtype, _shape in found})
    if missing:
        raise InferenceError(
            f"{file} lacks {len(missing)} tensors that the index places in it, first {shown(missing[0])}. "
            "Fetch the model again.",
            file=str(file),
        )


def _regular_size(path: Path) -> int:
    """Return the size of a file in bytes; refuse what is none and would be read for ever, such as a pipe."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InferenceError(f"{path} is no regular file. Fetch the model again.", file=str(path))
    return status.st_size


def _read_small(path: Path, purpose: str) -> bytes:
    try:
        size = _regular_size(path)
        if size > MAX_JSON_BYTES:
            raise InferenceError(f"{path} has {size} bytes; {MAX_JSON_BYTES} at most are read.", file=str(path))
        return path.read_bytes()
    except OSError as error:
        raise InferenceError(f"{path} cannot be read: {error.strerror}; {purpose}.", file=str(path)) from error


def _parse_json(text: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InferenceError(f"{where} is no JSON: {error}.", file=where) from error
    if not isinstance(value, dict):
        raise InferenceError(f"{where} holds {shown(value)}, not a dictionary.", file=where)
    return value
