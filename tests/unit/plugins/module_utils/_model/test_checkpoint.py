# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Model directories: complete ones, and every way in which a download or a header can be wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._model.checkpoint import (
    CONFIG,
    INDEX,
    parse_header,
    read_checkpoint,
)
from ansible_collections.llmops.inference.plugins.module_utils._model.model import checkpoint_from_geometry
from ansible_collections.llmops.inference.tests.unit.scene import (
    TINY,
    named_tensors,
    write_safetensors,
)
from hypothesis import given
from hypothesis import strategies as st

WEIGHTS = "model.safetensors"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A complete model directory with one file of weights."""
    (tmp_path / CONFIG).write_text(json.dumps({**TINY, "architectures": [TINY["architecture"]]}))
    write_safetensors(tmp_path / WEIGHTS, named_tensors(checkpoint_from_geometry(TINY).tensors, 2))
    return tmp_path


@pytest.fixture
def sharded(model: Path) -> Path:
    """The same in two shards with an index."""
    (model / WEIGHTS).unlink()
    tensors = sorted(named_tensors(checkpoint_from_geometry(TINY).tensors, 2).items())
    weight_map: dict[str, str] = {}
    for name, part in zip(SHARDS, (tensors[:10], tensors[10:])):
        write_safetensors(model / name, dict(part))
        weight_map.update((tensor, name) for tensor in dict(part))
    (model / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return model


def refusal(path: Path) -> InferenceError:
    with pytest.raises(InferenceError) as refused:
        read_checkpoint(str(path))
    return refused.value


def set_header(file: Path, header: Any, data: int = 0) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(data))


def test_the_files_say_what_the_geometry_says(model: Path) -> None:
    read, expected = read_checkpoint(str(model)), checkpoint_from_geometry(TINY)
    for ranks in (1, 2, 4):
        assert read.rank_weights(ranks) == expected.rank_weights(ranks)
    assert (read.source, expected.source) == ("exact", "estimated")
    assert read.geometry.rope.theta == 1000000


def test_shards_weigh_what_one_file_weighs(sharded: Path) -> None:
    assert read_checkpoint(str(sharded)).rank_weights(2) == checkpoint_from_geometry(TINY).rank_weights(2)


def test_a_fingerprint_names_the_files_and_not_their_place(model: Path, tmp_path_factory: Any) -> None:
    first = read_checkpoint(str(model)).fingerprint
    copy = tmp_path_factory.mktemp("copy")
    for file in model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert read_checkpoint(str(copy)).fingerprint == first
    (copy / CONFIG).write_text(json.dumps({**TINY, "rope_theta": 5}))
    assert read_checkpoint(str(copy)).fingerprint != first


def test_a_stated_geometry_overrides_the_config(model: Path) -> None:
    assert read_checkpoint(str(model), {"max_position_embeddings": 1024}).geometry.max_position_embeddings == 1024


def test_a_second_copy_of_the_weights_is_not_counted(model: Path) -> None:
    once = read_checkpoint(str(model)).rank_weights(1)
    (model / "consolidated.safetensors").write_bytes((model / WEIGHTS).read_bytes())
    assert read_checkpoint(str(model)).rank_weights(1) == once


def test_a_missing_config_is_named(model: Path) -> None:
    (model / CONFIG).unlink()
    assert str(model / CONFIG) in str(refusal(model))


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere" / CONFIG) in str(refusal(tmp_path / "nowhere"))


def test_a_directory_without_weights_is_refused(model: Path) -> None:
    (model / WEIGHTS).unlink()
    assert "no *.safetensors file" in str(refusal(model))


def test_a_truncated_shard_is_named_with_expected_and_found_bytes(sharded: Path) -> None:
    shard = sharded / SHARDS[1]
    size = shard.stat().st_size
    with shard.open("r+b") as stream:
        stream.truncate(size - 100)
    error = refusal(sharded)
    assert "is cut off" in str(error)
    assert error.details == {"file": str(shard), "expected_bytes": size, "found_bytes": size - 100}


@pytest.mark.parametrize("kept", [0, 3, 8, 40])
def test_a_file_cut_off_within_its_header_is_named(model: Path, kept: int) -> None:
    with (model / WEIGHTS).open("r+b") as stream:
        stream.truncate(kept)
    error = refusal(model)
    assert "is cut off" in str(error)
    assert error.details["found_bytes"] == kept


def test_bytes_that_belong_to_no_tensor_are_refused(model: Path) -> None:
    with (model / WEIGHTS).open("ab") as stream:
        stream.write(b"more")
    assert "belong to no tensor" in str(refusal(model))


def test_absent_files_of_the_index_are_named(sharded: Path) -> None:
    (sharded / SHARDS[0]).unlink()
    error = refusal(sharded)
    assert SHARDS[0] in str(error)
    assert error.details["absent"] == [SHARDS[0]]


def test_a_tensor_that_the_index_places_elsewhere_is_missed(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"]["model.layers.1.self_attn.extra.weight"] = SHARDS[0]
    (sharded / INDEX).write_text(json.dumps(index))
    assert "model.layers.1.self_attn.extra.weight" in str(refusal(sharded))


@pytest.mark.parametrize("name", ["../other/model.safetensors", "/etc/shadow", "..", "", 7, None])
def test_an_index_cannot_lead_out_of_its_directory(sharded: Path, name: Any) -> None:
    (sharded / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    assert "no name of a file beside it" in str(refusal(sharded))


@pytest.mark.parametrize("text", ["{", "[]", "null", "\x00", '{"weight_map": []}', "{}"])
def test_an_index_that_is_none_is_named(sharded: Path, text: str) -> None:
    (sharded / INDEX).write_text(text)
    assert INDEX in str(refusal(sharded))


def test_a_header_of_two_gigabytes_is_refused_at_once(model: Path) -> None:
    with (model / WEIGHTS).open("wb") as stream:
        stream.write((2 << 30).to_bytes(8, "little"))
        stream.truncate(3 << 30)
    started = time.process_time()
    assert "safetensors allows" in str(refusal(model))
    assert time.process_time() - started < 1


def test_a_config_of_a_gigabyte_is_refused_unread(model: Path) -> None:
    with (model / CONFIG).open("wb") as stream:
        stream.truncate(1 << 30)
    assert "at most are read" in str(refusal(model))


ONE = {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "data", "said"),
    [
        ({"a": {**ONE, "data_offsets": [0, 1 << 40]}}, 8, "takes 8 bytes by its shape"),
        ({"a": {**ONE, "data_offsets": [8, 16]}}, 16, "begins at byte 8"),
        ({"a": ONE, "b": ONE}, 8, "begins at byte 0 of the data, where 8 is due"),
        ({"a": {**ONE, "data_offsets": [8, 0]}}, 8, "-8 by its offsets"),
        ({"a": {**ONE, "data_offsets": [-8, 0]}}, 8, "whole numbers are due"),
        ({"a": {**ONE, "data_offsets": [0.0, 8.0]}}, 8, "whole numbers are due"),
        ({"a": {**ONE, "data_offsets": [0, 8, 8]}}, 8, "whole numbers are due"),
        ({"a": {**ONE, "shape": [1 << 60, 1 << 60]}}, 8, "whole numbers are due"),
        ({"a": {**ONE, "shape": [1] * 9}}, 8, "whole numbers are due"),
        ({"a": {**ONE, "shape": "2x2"}}, 8, "whole numbers are due"),
        ({"a": {**ONE, "dtype": "Q3_K"}}, 8, "element type 'Q3_K'"),
        ({"a": {**ONE, "dtype": ["BF16"]}}, 8, "element type"),
        ({"a": 7}, 8, "element type None"),
        (b"[" * 100_000, 0, "is no JSON"),
        (b"\xff\xfe", 0, "is no JSON"),
        ([], 0, "not a dictionary"),
    ],
)
def test_a_header_that_lies_is_refused(model: Path, header: Any, data: int, said: str) -> None:
    set_header(model / WEIGHTS, header, data)
    assert said in str(refusal(model))


def test_an_empty_tensor_is_no_lie(model: Path) -> None:
    empty = {"dtype": "BF16", "shape": [0, 7], "data_offsets": [8, 8]}
    set_header(model / WEIGHTS, {"a": ONE, "b": empty}, 8)
    assert [group.bytes for group in read_checkpoint(str(model)).tensors] == [8, 0]


def outcome(header: bytes, size: int) -> str:
    """What becomes of a header: the names in it, or the refusal; anything else is a mistake of ours."""
    try:
        return f"file of {parse_header(header, size, 'file')}"
    except InferenceError as error:
        return str(error)


@given(st.binary(max_size=200), st.integers(0, 1 << 40))
def test_no_header_does_anything_but_be_read_or_refused(header: bytes, size: int) -> None:
    assert "file" in outcome(header, size)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ENTRY = st.fixed_dictionaries({"dtype": st.sampled_from(["BF16", "F32"]), "shape": JSON, "data_offsets": JSON})


@given(st.dictionaries(st.text(max_size=8), ENTRY | JSON, max_size=4), st.integers(0, 1000))
def test_no_entry_does_anything_but_be_read_or_refused(header: dict[str, Any], size: int) -> None:
    assert "file" in outcome(json.dumps(header).encode(), size)


@pytest.mark.parametrize(("name", "kept"), [("model.gguf", True), ("pytorch_model.bin", True), ("notes.txt", False)])
def test_files_of_another_format_count_by_their_sizes_and_are_an_estimate(model: Path, name: str, kept: bool) -> None:
    (model / WEIGHTS).unlink()
    (model / name).write_bytes(bytes(12345))
    if not kept:
        assert "no *.safetensors file" in str(refusal(model))
        return
    read = read_checkpoint(str(model))
    assert (read.source, read.rank_weights(1)) == ("estimated", 12345)
    assert read_checkpoint(str(model), {"weights_bytes": 99999}).rank_weights(1) == 99999


def test_of_several_gguf_files_none_is_guessed(model: Path) -> None:
    (model / WEIGHTS).unlink()
    for name in ("q4.gguf", "q8.gguf"):
        (model / name).write_bytes(bytes(8))
    assert "2 GGUF files and an engine loads one of them" in str(refusal(model))


def test_a_quantization_beside_the_config_is_read(model: Path) -> None:
    told = {"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    (model / "hf_quant_config.json").write_text(json.dumps(told))
    found = read_checkpoint(str(model)).geometry
    assert (found.quantization is not None, found.cache_dtype) == (True, "fp8")
