# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools that make a GPU host of a bare GPU machine (``tests/gpu/box``)."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.tests.gpu.box import sparse_models
from ansible_collections.llmops.inference.tests.gpu.box.trim_cuda import MACHINE_CODE, MAGIC, PTX, main, trim

BOX = Path(__file__).parents[2] / "gpu" / "box"
PARAMETERS = {"qwen3-1.7b": 1_720_574_976, "qwen3-8b": 8_190_735_360}


def entry(kind: int, architecture: int, code: bytes) -> bytes:
    header = struct.pack("<HHIQ", kind, 1, 64, len(code))
    return header.ljust(28, b"\0") + struct.pack("<I", architecture).ljust(36, b"\0") + code


def library(path: Path, *entries: bytes) -> Path:
    """A library with one fat binary between other bytes, one of which only look like the start of another."""
    content = b"".join(entries)
    fat = MAGIC + struct.pack("<HHQ", 1, 16, len(content)) + content
    path.write_bytes(b"before" + MAGIC + b"text" * 9 + fat + b"after")
    return path


def test_machine_code_of_other_architectures_is_zeroed_and_ptx_stays(tmp_path: Path) -> None:
    entries = [(MACHINE_CODE, 80, b"A" * 40), (MACHINE_CODE, 90, b"B" * 48), (PTX, 80, b"C" * 24)]
    found = library(tmp_path / "lib.so", *(entry(*one) for one in entries))
    size = found.stat().st_size
    assert trim(found, {90}) == (72, 40)
    content = found.read_bytes()
    assert len(content) == size
    assert [content.count(letter) for letter in (b"A" * 40, b"B" * 48, b"C" * 24)] == [0, 1, 1]
    assert content.startswith(b"before" + MAGIC + b"text")
    assert content.endswith(b"after")


def test_ptx_goes_where_it_is_not_wanted(tmp_path: Path) -> None:
    found = library(tmp_path / "lib.so", entry(PTX, 80, b"C" * 24))
    assert trim(found, {90}, drop_ptx=True) == (0, 24)
    assert b"C" not in found.read_bytes()


def test_entries_that_do_not_fill_their_binary_are_left_alone(tmp_path: Path) -> None:
    found = library(tmp_path / "lib.so", entry(MACHINE_CODE, 80, b"A" * 40)[:-8])
    before = found.read_bytes()
    assert trim(found, {90}) == (0, 0)
    assert found.read_bytes() == before


def test_a_file_that_is_not_there_is_refused_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--keep", "90", str(tmp_path / "none.so")])
    assert "name the shared libraries of an unpacked wheel" in capsys.readouterr().err


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_sparse_checkpoint_has_every_parameter_and_takes_no_disk(tmp_path: Path, name: str) -> None:
    model = sparse_models.write_checkpoint(tmp_path, name)
    index = json.loads((model / "model.safetensors.index.json").read_text(encoding="utf-8"))
    assert index["metadata"]["total_size"] == 2 * PARAMETERS[name]
    for file in set(index["weight_map"].values()):
        with (model / file).open("rb") as shard:
            (length,) = struct.unpack("<Q", shard.read(8))
            header = json.loads(shard.read(length))
        end = max(tensor["data_offsets"][1] for tensor in header.values() if "shape" in tensor)
        assert (model / file).stat().st_size == 8 + length + end
    assert sum(file.stat().st_blocks for file in model.iterdir()) * 512 < 1 << 20


def test_a_model_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sparse_models.main([str(tmp_path), "qwen3-9b"])
    assert "there is no model qwen3-9b" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "said"),
    [("install", "usage: install KIT"), ("make_kit", "usage: make_kit DIRECTORY"), ("boot", "STATE is missing")],
)
def test_a_script_without_its_argument_says_how_it_is_used(script: str, said: str) -> None:
    done = subprocess.run(
        [str(BOX / script)], check=False, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 2
    assert said in done.stderr


def test_the_box_says_when_it_does_not_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(BOX / "box"), "--kit", str(tmp_path), "run", "true"], check=False, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "start it with: box up" in done.stderr or "needs root" in done.stderr
