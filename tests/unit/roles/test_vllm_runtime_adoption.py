# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role vllm_runtime has not made is not its own, and is never deleted."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._deploy.kept import engines
from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import MARK, contents, is_ours
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File
from ansible_collections.llmops.inference.plugins.module_utils._generation.needs import Needs
from ansible_collections.llmops.inference.plugins.module_utils._generation.store import GenerationStore
from ansible_collections.llmops.inference.plugins.module_utils._places import NEEDS_FILE

ROLE = Path(__file__).parents[3] / "roles" / "vllm_runtime"
VERSION = "0.32.0"


def tree(root: Path, name: str = VERSION, **record: object) -> Path:
    """The directory of an engine, with a record where one is given."""
    made = root / name
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "vllm").touch()
    if record:
        (made / "engine.json").write_text(json.dumps(record))
    return made


def test_an_environment_without_a_record_is_not_ours(tmp_path: Path) -> None:
    assert not is_ours(tree(tmp_path))


@pytest.mark.parametrize("record", [{"version": VERSION}, {"version": VERSION, "adopted": False}])
def test_what_the_role_has_recorded_is_ours(tmp_path: Path, record: dict[str, object]) -> None:
    assert is_ours(tree(tmp_path, VERSION, **record))


def test_what_was_adopted_is_not_ours(tmp_path: Path) -> None:
    assert not is_ours(tree(tmp_path, version=VERSION, adopted=True))


def test_an_interrupted_installation_is_ours_by_its_mark(tmp_path: Path) -> None:
    made = tree(tmp_path)
    (made / MARK).touch()
    assert is_ours(made)


def test_a_place_that_is_free_is_ours(tmp_path: Path) -> None:
    assert is_ours(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert is_ours(tmp_path / "empty")


@pytest.mark.parametrize("text", ["", "[]", "null", '"text"', "{"])
def test_a_record_that_says_nothing_makes_nothing_ours(tmp_path: Path, text: str) -> None:
    made = tree(tmp_path)
    (made / "engine.json").write_text(text)
    assert not is_ours(made)


def test_a_link_to_somewhere_else_and_a_file_are_not_ours(tmp_path: Path) -> None:
    elsewhere = tree(tmp_path / "elsewhere", version=VERSION)
    (tmp_path / "link").symlink_to(elsewhere)
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    assert not [name for name in ("link", "broken", "file") if is_ours(tmp_path / name)]


def test_what_lies_below_the_root_is_told_apart(tmp_path: Path) -> None:
    for name in ("tools", "images"):
        (tmp_path / name).mkdir()
    ours, adopted = tree(tmp_path), tree(tmp_path, "0.33.0", adopted=True)
    ours.joinpath(MARK).touch()
    (tmp_path / "notes.txt").touch()
    made, not_made = contents(tmp_path)
    assert made == [str(ours), str(tmp_path / "images"), str(tmp_path / "tools")]
    assert not_made == [str(adopted), str(tmp_path / "notes.txt")]
    assert contents(tmp_path / "absent") == ([], [])


def test_an_adopted_engine_is_not_removed_with_the_last_generation_that_ran_it(tmp_path: Path) -> None:
    root = tmp_path / "opt"
    ours, adopted = tree(root, version="0.32.0", distribution="vllm"), tree(root, "0.33.0", adopted=True)
    store = GenerationStore(str(tmp_path / "vllm"), os.getgid())
    for number, made in enumerate((ours, adopted), 1):
        needs = Needs(made.name, (f"{made}/bin/vllm",), {}, None)
        store.write({NEEDS_FILE: File(needs.to_json())}, number, None)
    assert engines(store, str(root)) == {str(ours)}


def play(tmp_path: Path, tasks: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one file of the role's tasks on this machine, below a root of its own."""
    text = (
        "- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n"
        f"  - llmops.inference.vllm_runtime_info: {{root: '{tmp_path}/opt', version: '{VERSION}'}}\n"
        "    register: __vllm_runtime_found\n"
        f"  - include_role: {{name: llmops.inference.vllm_runtime, tasks_from: {tasks}, rolespec_validate: false}}\n"
    )
    (tmp_path / "play.yml").write_text(text)
    command = ["ansible-playbook", "play.yml", "-e", f"vllm_runtime_root={tmp_path}/opt", *options]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_the_role_refuses_what_it_has_not_made_and_leaves_it(tmp_path: Path) -> None:
    made = tree(tmp_path / "opt")
    ran = play(tmp_path, "preflight", "-e", "vllm_runtime_min_free_bytes=1")
    assert ran.returncode != 0
    assert "vllm_runtime_adopt: true, which writes its record and nothing else" in " ".join(ran.stdout.split())
    assert (made / "bin" / "vllm").exists()


def test_the_role_goes_on_where_it_is_to_adopt(tmp_path: Path) -> None:
    tree(tmp_path / "opt")
    options = ("-e", "vllm_runtime_min_free_bytes=1", "-e", "vllm_runtime_adopt=true")
    ran = play(tmp_path, "preflight", *options)
    assert ran.returncode == 0, ran.stdout
