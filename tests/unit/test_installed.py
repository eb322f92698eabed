# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of installations count as long as they are of what lies there."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils import _installed
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError, NotInstalledError
from ansible_collections.llmops.inference.plugins.module_utils._installed import (
    account_exists,
    engine_record,
    tools_record,
)
from ansible_collections.llmops.inference.plugins.module_utils._runtime import read_engine

FILES = "lib/python3.11/site-packages/vllm-0.32.0.dist-info/RECORD"


def install(root: Path, **changes: Any) -> Path:
    """Lay out an engine as far as its record goes, and return its tree."""
    tree = root / "0.32.0"
    (tree / FILES).parent.mkdir(parents=True)
    (tree / FILES).write_text("vllm/__init__.py,sha256=abc,1\n")
    record = {
        "accelerator": "cuda",
        "distribution": "vllm",
        "flags": ["model", "port"],
        "python": "3.11.2",
        "read_from": {FILES: hashlib.sha256((tree / FILES).read_bytes()).hexdigest()},
        "version": "0.32.0",
    }
    (tree / "engine.json").write_text(json.dumps({**record, **changes}))
    return tree


def test_a_record_holds_while_the_engine_is_the_one_it_was_made_of(tmp_path: Path) -> None:
    record = engine_record(install(tmp_path))
    assert record is not None
    assert record["flags"] == ["model", "port"]
    assert read_engine(str(tmp_path), "0.32.0", "cuda").flags == {"model", "port"}


def test_a_record_of_an_engine_that_was_replaced_in_place_counts_for_nothing(tmp_path: Path) -> None:
    tree = install(tmp_path)
    (tree / FILES).write_text("vllm/__init__.py,sha256=def,1\n")
    assert engine_record(tree) is None
    with pytest.raises(NotInstalledError, match="holds another engine than its record"):
        read_engine(str(tmp_path), "0.32.0", "cuda")


def test_a_record_of_an_engine_of_which_the_list_of_files_is_gone_counts_for_nothing(tmp_path: Path) -> None:
    tree = install(tmp_path)
    (tree / FILES).unlink()
    assert engine_record(tree) is None


@pytest.mark.parametrize("read_from", [{}, None, [], "no", {"engine.json": "0" * 64}])
def test_a_record_that_does_not_say_what_it_was_read_from_counts_for_nothing(tmp_path: Path, read_from: Any) -> None:
    assert engine_record(install(tmp_path, read_from=read_from)) is None


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "\x00"])
def test_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "engine.json").write_text(text)
    (tmp_path / "tools.json").write_text(text)
    assert engine_record(tmp_path) is None
    assert tools_record(tmp_path) == []


def test_an_engine_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    install(tmp_path)
    with pytest.raises(NotInstalledError, match=r"vLLM 0\.33\.0 is not installed below .* \(installed: 0\.32\.0\)"):
        read_engine(str(tmp_path), "0.33.0", "cuda")
    with pytest.raises(InferenceError, match="holds the cuda build"):
        read_engine(str(tmp_path), "0.32.0", "cpu")


def test_the_tools_are_known_by_what_they_were_installed_for(tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text('["nvidia-ml-py>=13,<14"]')
    assert tools_record(tmp_path) == ["nvidia-ml-py>=13,<14"]


def test_an_account_is_there_when_all_of_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = pwd.getpwuid(os.getuid())
    group = grp.getgrgid(me.pw_gid).gr_name
    monkeypatch.setattr(_installed, "SHELL", me.pw_shell)
    assert account_exists(me.pw_name, group, me.pw_dir)
    assert not account_exists(me.pw_name, group, str(tmp_path))
    assert not account_exists("nobody-of-this-name", group, me.pw_dir)
    assert not account_exists(me.pw_name, "no-group-of-this-name", me.pw_dir)
    monkeypatch.setattr(_installed, "SHELL", "/bin/another")
    assert not account_exists(me.pw_name, group, me.pw_dir)
