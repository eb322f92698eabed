# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is of models on a host, and what would be fetched."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._model.directory import (
    inspect_models,
    problem_of,
    with_defaults,
)


def fetched(directory: Path, **changes: Any) -> dict[str, Any]:
    """Lay out a model that was fetched whole, and return its entry of the list."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text("{}")
    record = {"repo_id": "org/name", "revision": "main", "commit": "c", "files": {"config.json": 2}}
    (directory / ".fetched.json").write_text(json.dumps({**record, **changes}))
    return {"name": directory.name, "repo_id": "org/name", "revision": None, "dest": None, "path": None}


def seen(model: dict[str, Any], directory: Path) -> dict[str, Any]:
    (found,) = inspect_models([model], str(directory), getpass.getuser())
    return found


def test_a_whole_model_is_not_fetched_again(tmp_path: Path) -> None:
    found = seen(fetched(tmp_path / "model"), tmp_path)
    assert (found["fetch"], found["replaces"], found["problem"]) == (False, None, None)
    assert found["path"] == str(tmp_path / "model")


def test_a_file_of_another_size_is_fetched_again(tmp_path: Path) -> None:
    model = fetched(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("{ }")
    assert seen(model, tmp_path)["fetch"]


def test_another_revision_would_replace_what_is_there(tmp_path: Path) -> None:
    found = seen({**fetched(tmp_path / "model"), "revision": "v2"}, tmp_path)
    assert (found["fetch"], found["replaces"]) == (True, "org/name@main")


def test_a_model_that_is_not_there_has_to_be_fetched_and_cannot_be_read(tmp_path: Path) -> None:
    found = seen({"name": "absent", "repo_id": "org/name"}, tmp_path)
    assert found["fetch"]
    assert "is not a directory" in found["problem"]


def test_a_model_of_the_host_is_never_fetched(tmp_path: Path) -> None:
    found = seen({"name": "own", "path": str(tmp_path)}, tmp_path)
    assert (found["fetch"], found["replaces"], found["problem"]) == (False, None, None)


def test_nothing_is_said_of_what_a_user_may_read_that_does_not_exist(tmp_path: Path) -> None:
    (found,) = inspect_models([{"name": "own", "path": str(tmp_path / "absent")}], str(tmp_path), "nobody-of-this-name")
    assert found["problem"] is None


def test_what_a_user_leaves_out_is_filled_in() -> None:
    assert with_defaults({"name": "m", "repo_id": "o/n", "dest": "/srv/m"}, "/models") == {
        "name": "m",
        "repo_id": "o/n",
        "path": "/srv/m",
        "revision": "main",
        "ignore_patterns": [],
    }


def test_hidden_files_need_not_be_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".hidden", "shown"):
        (tmp_path / name).write_text("x")

    def refuse(path: str, mode: str) -> Any:
        raise PermissionError(path)

    monkeypatch.setattr("builtins.open", refuse)
    assert problem_of(str(tmp_path)) == f"1 of its files cannot be read, the first is {tmp_path}/shown"
