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
from ansible_collections.llmops.inference.plugins.module_utils._engine import installed
from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import (
    account_exists,
    engine_record,
    forget_images,
    image_record,
    read_engine,
    tools_record,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError, NotInstalledError

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


DIGEST = "5d" * 32
IMAGE = f"docker.io/vllm/vllm-openai@sha256:{DIGEST}"


def ask_image(root: Path, **changes: Any) -> Path:
    """Lay out what the engine in an image said of itself."""
    path = root / "images" / f"{DIGEST}.json"
    path.parent.mkdir(exist_ok=True)
    record = {
        "accelerator": "cuda",
        "distribution": "vllm",
        "flags": ["port"],
        "version": "0.32.0",
        "image": "sha256:id",
    }
    path.write_text(json.dumps({**record, **changes}))
    return path


def test_an_image_is_known_by_the_digest_that_it_is_pinned_by(tmp_path: Path) -> None:
    ask_image(tmp_path)
    engine = read_engine(str(tmp_path), "0.32.0", "cuda", IMAGE)
    assert (engine.image, engine.executable, set(engine.flags)) == ("sha256:id", "vllm", {"port"})
    assert image_record(tmp_path, IMAGE.replace("5d", "5e")) is None
    with pytest.raises(NotInstalledError, match="is not on this host; run the role"):
        read_engine(str(tmp_path), "0.32.0", "cuda", IMAGE.replace("5d", "5e"))


@pytest.mark.parametrize(
    "image", ["vllm:latest", "vllm", f"sha256:{DIGEST}", f"vllm@sha256:{DIGEST[1:]}", f"a b@sha256:{DIGEST}"]
)
def test_an_image_that_may_be_another_one_tomorrow_is_refused(tmp_path: Path, image: str) -> None:
    with pytest.raises(InferenceError, match=r"is not pinned: state it as NAME@sha256:DIGEST"):
        read_engine(str(tmp_path), "0.32.0", "cuda", image)


def test_an_image_of_another_version_or_accelerator_is_refused_with_the_one_that_it_holds(tmp_path: Path) -> None:
    ask_image(tmp_path, version="0.32.0+cpu", accelerator="cpu")
    assert read_engine(str(tmp_path), "0.32.0", "cpu", IMAGE).version == "0.32.0"
    with pytest.raises(InferenceError, match=r"holds vLLM 0\.32\.0, and engine_version is 0\.33\.0"):
        read_engine(str(tmp_path), "0.33.0", "cpu", IMAGE)
    with pytest.raises(InferenceError, match="holds the cpu build"):
        read_engine(str(tmp_path), "0.32.0", "cuda", IMAGE)


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "{}"])
def test_of_an_image_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    ask_image(tmp_path).write_text(text)
    assert image_record(tmp_path, IMAGE) is None
    forget_images(tmp_path, {"sha256:id"})


def test_only_the_records_of_removed_images_are_forgotten(tmp_path: Path) -> None:
    path = ask_image(tmp_path)
    forget_images(tmp_path, {"sha256:other"})
    assert path.exists()
    forget_images(tmp_path, {"sha256:id"})
    assert not path.exists()


def test_the_tools_are_known_by_what_they_were_installed_for(tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text('["nvidia-ml-py>=13,<14"]')
    assert tools_record(tmp_path) == ["nvidia-ml-py>=13,<14"]


def test_an_account_is_there_when_all_of_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = pwd.getpwuid(os.getuid())
    group = grp.getgrgid(me.pw_gid).gr_name
    monkeypatch.setattr(installed, "SHELL", me.pw_shell)
    assert account_exists(me.pw_name, group, me.pw_dir)
    assert not account_exists(me.pw_name, group, str(tmp_path))
    assert not account_exists("nobody-of-this-name", group, me.pw_dir)
    assert not account_exists(me.pw_name, "no-group-of-this-name", me.pw_dir)
    monkeypatch.setattr(installed, "SHELL", "/bin/another")
    assert not account_exists(me.pw_name, group, me.pw_dir)
