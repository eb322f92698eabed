# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a bundle is sha256sum's, and no flipped bit of it passes."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._bundle.manifest import BundleManifest, check_pin
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from hypothesis import given
from hypothesis import strategies as st

NAME = "/srv/bundle/SHA256SUMS"
FILES = {
    "README.md": "1" * 64,
    "models/mini/model.safetensors": "a" * 64,
    "wheels/python3.11-x86_64/torch-2.13.0+cpu.whl": "0f" * 32,
}
names = st.text(st.characters(exclude_characters="\\", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
paths = st.lists(names.filter(lambda name: "/" not in name and name not in (".", "..")), min_size=1, max_size=3).map(
    "/".join
)


def test_every_flipped_bit_is_caught() -> None:
    content = BundleManifest(FILES).to_text().encode()
    for position in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            with pytest.raises(InferenceError):
                BundleManifest.from_bytes(bytes(flipped), NAME)


def test_a_changed_line_is_refused_with_both_digests_and_the_way_out() -> None:
    content = BundleManifest(FILES).to_text().encode()
    with pytest.raises(InferenceError, match="Copy the bundle again") as refused:
        BundleManifest.from_bytes(content.replace(b"README", b"READYE"), NAME)
    assert str(refused.value).startswith(NAME)
    assert f"SHA-256 {refused.value.details['found']}," in str(refused.value)
    assert f"says {refused.value.details['expected']}." in str(refused.value)


@pytest.mark.parametrize("cut", [1, 60, 100])
def test_a_manifest_that_was_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(InferenceError):
        BundleManifest.from_bytes(BundleManifest(FILES).to_text().encode()[:-cut], NAME)


@given(st.dictionaries(paths, st.binary(min_size=32, max_size=32).map(bytes.hex)))
def test_what_is_written_is_read(files: dict[str, str]) -> None:
    assert BundleManifest.from_bytes(BundleManifest(files).to_text().encode(), NAME).files == files


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../up", "a/../b", "a//b", "a/", "./a", "line\nbreak", "back\\slash", ""]
)
def test_a_path_that_leads_out_or_cannot_be_written_is_refused(path: str) -> None:
    with pytest.raises(InferenceError):
        BundleManifest({path: "0" * 64}).to_text()
    line = f"{'0' * 64}  {path}\n".encode()
    header = BundleManifest({}).to_text().split(":", maxsplit=1)[0] + ": " + hashlib.sha256(line).hexdigest() + "\n"
    with pytest.raises(InferenceError):
        BundleManifest.from_bytes(header.encode() + line, NAME)


def test_sha256sum_takes_it(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights of a name").write_bytes(b"weights")
    manifest = BundleManifest({"models/weights of a name": hashlib.sha256(b"weights").hexdigest()})
    (tmp_path / "SHA256SUMS").write_text(manifest.to_text())
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "models/weights of a name: OK\n")
    (tmp_path / "models" / "weights of a name").write_bytes(b"weightt")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_a_pin_accepts_one_manifest_only() -> None:
    content = BundleManifest(FILES).to_text().encode()
    check_pin(content, hashlib.sha256(content).hexdigest().upper(), NAME)
    check_pin(content, "", NAME)
    with pytest.raises(InferenceError, match="vllm_bundle_manifest_sha256 is 0000") as refused:
        check_pin(content, "0" * 64, NAME)
    assert hashlib.sha256(content).hexdigest() in str(refused.value)


def test_a_part_is_what_lies_below_it() -> None:
    manifest = BundleManifest({**FILES, "models/mini-2/config.json": "2" * 64})
    assert manifest.below("models/mini") == {"model.safetensors": "a" * 64}
    assert manifest.below("models/min") == {}
    assert manifest.siblings("models/large") == ["models/mini", "models/mini-2"]
