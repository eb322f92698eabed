# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations on disk: whole or not at all, and one active."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File, changed_paths
from ansible_collections.llmops.inference.plugins.module_utils._generation.store import GenerationStore

FILES = {
    "plan.json": File("{}"),
    "services/mini/engine.yaml": File("port: 1\n"),
    "services/mini/secrets": File("K", True),
}


@pytest.fixture
def store(tmp_path: Path) -> GenerationStore:
    return GenerationStore(str(tmp_path / "vllm"), os.getgid())


def written(store: GenerationStore) -> Path:
    """The directory of a first generation."""
    store.write(FILES, 1, None)
    return store.path(1)


def test_before_the_first_deployment_there_is_none(store: GenerationStore) -> None:
    assert (store.numbers(), store.current(), store.read(None)) == ([], None, {})


def test_a_generation_reads_back_as_it_was_written(store: GenerationStore) -> None:
    store.write(FILES, 1, None)
    assert store.read(1) == FILES
    assert store.current() is None, "writing does not activate it"


def test_secrets_belong_to_root_alone_and_the_rest_to_the_group(store: GenerationStore) -> None:
    path = written(store)
    modes = {name: stat.S_IMODE((path / name).stat().st_mode) for name in FILES}
    assert modes == {"plan.json": 0o640, "services/mini/engine.yaml": 0o640, "services/mini/secrets": 0o600}
    assert stat.S_IMODE((path / "services").stat().st_mode) == 0o750


def test_the_key_of_digests_is_random_kept_with_the_first_generation_and_roots_alone(
    store: GenerationStore, tmp_path: Path
) -> None:
    key = store.digest_key()
    other = GenerationStore(str(tmp_path / "other"), os.getgid())
    assert (len(key), key == other.digest_key()) == (32, False)
    kept = tmp_path / "vllm/digest.key"
    assert not kept.exists(), "looking leaves nothing behind"
    store.write(FILES, 1, replaces=None)
    assert (kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode)) == (key, 0o600)
    assert GenerationStore(str(tmp_path / "vllm"), os.getgid()).digest_key() == key
    store.write(FILES, 2, replaces=1)
    assert kept.read_bytes() == key
    store.remove_all()
    assert not kept.exists()


def test_switching_is_one_link_and_can_go_back(store: GenerationStore) -> None:
    first, second = 1, 2
    store.write(FILES, first, None)
    store.write({**FILES, "plan.json": File("[]")}, second, first)
    store.switch(second)
    assert store.current() == second
    store.switch(first)
    assert store.current() == first
    store.switch(None)
    assert store.current() is None


def test_an_edit_by_hand_and_a_lost_file_are_differences(store: GenerationStore) -> None:
    path = written(store)
    (path / "services/mini/engine.yaml").write_text("port: 2\n")
    (path / "plan.json").unlink()
    assert changed_paths(store.read(1), FILES) == ["plan.json", "services/mini/engine.yaml"]


def test_a_secret_that_became_readable_is_a_difference(store: GenerationStore) -> None:
    path = written(store)
    (path / "services/mini/secrets").chmod(0o644)
    assert changed_paths(store.read(1), FILES) == ["services/mini/secrets"]


def test_a_failed_write_leaves_nothing_and_says_what_to_do(store: GenerationStore, tmp_path: Path) -> None:
    store.write(FILES, 1, None)
    store.switch(1)
    impossible = {**FILES, "x" * 300: File("a name that no file system takes")}
    with pytest.raises(InferenceError, match="the active generation is unchanged: make room"):
        store.write(impossible, 2, 1)
    assert sorted(entry.name for entry in (tmp_path / "vllm/generations").iterdir()) == ["1"]
    assert store.current() == 1


def test_old_generations_are_collected_but_never_the_one_in_force(store: GenerationStore) -> None:
    for number in range(1, 6):
        store.write({"plan.json": File(str(number))}, number, None)
    store.switch(2)
    assert store.collect(keep=3) == [1, 3]
    assert store.numbers() == [2, 4, 5]
    with pytest.raises(InferenceError, match="generation 2 is active"):
        store.remove(2)


def test_the_one_that_served_before_is_never_collected(store: GenerationStore) -> None:
    for number in range(1, 6):
        store.write({"plan.json": File(str(number))}, number, None)
    store.switch(5)
    assert store.collect(keep=1, before=2) == [1, 3, 4]
    assert store.numbers() == [2, 5]


def test_what_an_interrupted_run_left_is_collected(store: GenerationStore) -> None:
    path = written(store)
    store.switch(1)
    (path.parent / ".2.incomplete/services").mkdir(parents=True)
    (path.parent / ".3.removed").mkdir()
    store.collect(keep=5)
    assert [entry.name for entry in path.parent.iterdir()] == ["1"]


def test_the_manifest_belongs_to_root_alone_and_holds_no_secret(store: GenerationStore) -> None:
    manifest = written(store) / "manifest.json"
    status = manifest.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o600, 0, 0)
    assert "manifest.json" not in store.read(1)
    found = store.manifest(1)
    assert found is not None
    assert found.files.keys() == FILES.keys()
    assert found.files["services/mini/secrets"][1] == "0600"


def test_a_generation_as_it_was_written_is_intact(store: GenerationStore) -> None:
    written(store)
    assert store.damage(1) == {}


@pytest.mark.parametrize(
    ("hand", "path", "problem"),
    [
        (lambda base: (base / "plan.json").write_text("[]"), "plan.json", "was changed"),
        (lambda base: (base / "plan.json").unlink(), "plan.json", "is gone"),
        (lambda base: (base / "plan.json").chmod(0o666), "plan.json", "has mode 0666"),
        (lambda base: os.chown(base / "plan.json", 1, -1), "plan.json", "belongs to 1:"),
        (lambda base: (base / "services").chmod(0o777), "services", "has mode 0777"),
        (lambda base: (base / "services/new").write_text(""), "services/new", "was added"),
        (lambda base: (base / "manifest.json").unlink(), "manifest.json", "is gone"),
        (lambda base: (base / "manifest.json").write_text("{}"), "manifest.json", "cannot be read"),
        (lambda base: (base / "manifest.json").chmod(0o644), "manifest.json", "has mode 0644"),
    ],
)
def test_whatever_a_hand_changed_is_found_and_named(
    store: GenerationStore, hand: Callable[[Path], object], path: str, problem: str
) -> None:
    hand(written(store))
    damage = store.damage(1)
    assert list(damage) == [path]
    assert problem in damage[path]


def test_a_file_that_became_a_link_is_damage(store: GenerationStore) -> None:
    path = written(store) / "plan.json"
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    assert store.damage(1)["plan.json"] == "is no regular file"
