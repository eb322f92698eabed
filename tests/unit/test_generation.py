# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations on disk: whole or not at all, and one in force."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._generation import (
    File,
    GenerationStore,
    changed_paths,
)

FILES = {
    "plan.json": File("{}"),
    "services/mini/engine.yaml": File("port: 1\n"),
    "services/mini/secrets": File("K", True),
}


@pytest.fixture
def store(tmp_path: Path) -> GenerationStore:
    return GenerationStore(str(tmp_path / "vllm"), os.getgid())


def test_before_the_first_deployment_there_is_none(store: GenerationStore) -> None:
    assert (store.numbers(), store.current(), store.read(None)) == ([], None, {})


def test_a_generation_reads_back_as_it_was_written(store: GenerationStore) -> None:
    assert store.write(FILES) == 1
    assert store.read(1) == FILES
    assert store.current() is None, "writing does not put it in force"


def test_secrets_belong_to_root_alone_and_the_rest_to_the_group(store: GenerationStore) -> None:
    path = store.path(store.write(FILES))
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
    store.write(FILES)
    assert (kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode)) == (key, 0o600)
    assert GenerationStore(str(tmp_path / "vllm"), os.getgid()).digest_key() == key
    store.write(FILES)
    assert kept.read_bytes() == key
    store.remove_all()
    assert not kept.exists()


def test_switching_is_one_link_and_can_go_back(store: GenerationStore) -> None:
    first, second = store.write(FILES), store.write({**FILES, "plan.json": File("[]")})
    store.switch(second)
    assert store.current() == second
    store.switch(first)
    assert store.current() == first
    store.switch(None)
    assert store.current() is None


def test_an_edit_by_hand_and_a_lost_file_are_differences(store: GenerationStore) -> None:
    path = store.path(store.write(FILES))
    (path / "services/mini/engine.yaml").write_text("port: 2\n")
    (path / "plan.json").unlink()
    assert changed_paths(store.read(1), FILES) == ["plan.json", "services/mini/engine.yaml"]


def test_a_secret_that_became_readable_is_a_difference(store: GenerationStore) -> None:
    path = store.path(store.write(FILES))
    (path / "services/mini/secrets").chmod(0o644)
    assert changed_paths(store.read(1), FILES) == ["services/mini/secrets"]


def test_a_failed_write_leaves_nothing_and_says_what_to_do(store: GenerationStore, tmp_path: Path) -> None:
    store.switch(store.write(FILES))
    impossible = {**FILES, "x" * 300: File("a name that no file system takes")}
    with pytest.raises(InferenceError, match="the generation in force is unchanged: make room"):
        store.write(impossible)
    assert sorted(entry.name for entry in (tmp_path / "vllm/generations").iterdir()) == ["1"]
    assert store.current() == 1


def test_old_generations_are_collected_but_never_the_one_in_force(store: GenerationStore) -> None:
    for number in range(1, 6):
        store.write({"plan.json": File(str(number))})
    store.switch(2)
    assert store.collect(keep=3) == [1, 3]
    assert store.numbers() == [2, 4, 5]
    with pytest.raises(InferenceError, match="generation 2 is in force"):
        store.remove(2)
