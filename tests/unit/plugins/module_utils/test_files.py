# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are replaced whole, and files that others write are read without trusting them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils import _files


def test_a_replaced_file_has_its_mode_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    _files.replace(path, "new", 0o640)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_text("precious")
    for name in (path, path.with_name(".file.next")):
        name.symlink_to(victim)
    _files.replace(path, "new", 0o600)
    assert (victim.read_text(), path.read_text(), path.is_symlink()) == ("precious", "new", False)


@pytest.mark.parametrize("limit", [4, 5])
def test_a_file_of_others_is_read_up_to_its_limit(tmp_path: Path, limit: int) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file").write_text("12345")
    if limit == 5:
        assert _files.read_below(tmp_path, "inner", "file", limit=limit) == b"12345"
    else:
        with pytest.raises(OSError, match="has more than 4 bytes"):
            _files.read_below(tmp_path, "inner", "file", limit=limit)


def test_no_link_pipe_or_device_of_others_is_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/link").symlink_to("file")
    os.mkfifo(tmp_path / "real/pipe")
    for names in (("link", "file"), ("real", "link"), ("real", "pipe"), ("real",)):
        with pytest.raises(OSError, match=r"Not a directory|symbolic links|not a regular file|Is a directory"):
            _files.read_below(tmp_path, *names)


def test_the_trusted_directory_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text('{"a": 1}')
    (tmp_path / "link").symlink_to("real")
    assert _files.read_object_below(tmp_path / "link", "file") == {"a": 1}


@pytest.mark.parametrize("text", ["", "[]", "1", '"a"', "null", "[" * 50_000, "{"])
def test_anything_but_an_object_is_a_value_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(ValueError, match=r"object|Expecting|too deeply"):
        _files.read_object_below(tmp_path, "file")
