# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generations that a host keeps: which one is returned to, and what keeps one from serving again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._deploy import kept
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File
from ansible_collections.llmops.inference.plugins.module_utils._generation.needs import Needs
from ansible_collections.llmops.inference.plugins.module_utils._generation.store import GenerationStore
from ansible_collections.llmops.inference.plugins.module_utils._generation.transaction import Transaction
from ansible_collections.llmops.inference.plugins.module_utils._model.checkpoint import read_fingerprint
from ansible_collections.llmops.inference.tests.unit import scene


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    program = tmp_path / "opt/0.32.0/bin/vllm"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "models/mini"
    directory.mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    scene.write_safetensors(directory / "model.safetensors", {"a": ("BF16", [4, 4])})
    return directory


@pytest.fixture
def store(tmp_path: Path, engine: Path, model: Path) -> GenerationStore:
    """Generations 1 to 3, each deployed over the one before."""
    made = GenerationStore(str(tmp_path / "vllm"), os.getgid())
    needs = Needs("0.32.0", (str(engine),), {str(model): read_fingerprint(str(model))})
    for number in (1, 2, 3):
        files = {"plan.json": File(str(number)), "needs.json": File(needs.to_json())}
        made.write(files, number, number - 1 or None)
        made.switch(number)
    return made


def test_without_a_number_it_is_the_one_that_served_before(store: GenerationStore) -> None:
    assert kept.choose_generation(store, None, 3) == 2


def test_after_a_return_to_run_again_stays_there(store: GenerationStore) -> None:
    store.switch(2)
    assert kept.choose_generation(store, None, 2) == 2


def test_what_was_deployed_after_a_return_goes_back_to_what_served_then(store: GenerationStore) -> None:
    store.switch(1)
    store.write({"plan.json": File("4")}, 4, replaces=1)
    store.switch(4)
    assert kept.choose_generation(store, None, 4) == 1, "not 3, from which somebody has turned away"


def test_where_the_one_before_is_not_kept_it_is_the_newest_older_one(store: GenerationStore) -> None:
    store.remove(2)
    assert kept.choose_generation(store, None, 3) == 1


def test_any_kept_number_will_do_and_others_are_refused_naming_those_that_are(store: GenerationStore) -> None:
    assert kept.choose_generation(store, 1, 3) == 1
    with pytest.raises(InferenceError, match="generation 7 is not kept on this host; those that are: 1, 2, 3"):
        kept.choose_generation(store, 7, 3)


def test_where_nothing_is_older_that_is_said(store: GenerationStore, tmp_path: Path) -> None:
    store.remove(1)
    store.remove(2)
    with pytest.raises(InferenceError, match=r"no generation to return to \(kept: 3, active: 3\)"):
        kept.choose_generation(store, None, 3)
    with pytest.raises(InferenceError, match=r"no generation to return to \(kept: none, active: none\)"):
        kept.choose_generation(GenerationStore(str(tmp_path / "fresh"), os.getgid()), None, None)


def has_image(image: str) -> bool:
    return image == "sha256:kept"


def test_a_generation_with_all_that_it_needs_may_serve(store: GenerationStore) -> None:
    kept.refuse_unusable(store, 1, has_image)


def test_a_damaged_generation_is_refused_naming_the_file(store: GenerationStore) -> None:
    (store.path(1) / "plan.json").write_text("else")
    with pytest.raises(InferenceError, match=r"nothing was changed: plan\.json was changed; choose another") as refused:
        kept.refuse_unusable(store, 1, has_image)
    assert refused.value.details["damage"] == {"plan.json": "was changed"}


def test_a_generation_whose_engine_is_gone_is_refused_naming_it_and_who_installs_it(
    store: GenerationStore, engine: Path
) -> None:
    engine.unlink()
    with pytest.raises(InferenceError, match=r"0\.32\.0/bin/vllm is gone .* install vLLM 0\.32\.0 again with the role"):
        kept.refuse_unusable(store, 1, has_image)


def test_a_generation_whose_image_is_gone_is_refused_naming_it_and_who_brings_it_back(
    store: GenerationStore, engine: Path
) -> None:
    for number, image in ((4, "sha256:kept"), (5, "sha256:gone")):
        needs = Needs("0.33.0", (str(engine),), {}, image)
        store.write({"plan.json": File("{}"), "needs.json": File(needs.to_json())}, number, None)
    kept.refuse_unusable(store, 4, has_image)
    with pytest.raises(InferenceError, match=r"the image sha256:gone is gone; bring vLLM 0\.33\.0 back with the role"):
        kept.refuse_unusable(store, 5, has_image)
    assert kept.images(store) == {"sha256:kept", "sha256:gone"}


def test_a_generation_whose_model_is_gone_is_refused_naming_it(store: GenerationStore, model: Path) -> None:
    model.rename(model.with_name("elsewhere"))
    with pytest.raises(InferenceError, match=r"models/mini is gone; bring the model back there"):
        kept.refuse_unusable(store, 1, has_image)


def test_a_generation_whose_weights_are_cut_off_is_refused_naming_the_file(store: GenerationStore, model: Path) -> None:
    os.truncate(model / "model.safetensors", (model / "model.safetensors").stat().st_size - 1)
    with pytest.raises(InferenceError, match=r"model\.safetensors is cut off"):
        kept.refuse_unusable(store, 1, has_image)


def test_a_generation_whose_model_is_another_by_now_is_refused(store: GenerationStore, model: Path) -> None:
    scene.write_safetensors(model / "model.safetensors", {"a": ("BF16", [4, 8])})
    with pytest.raises(InferenceError, match="are not those that it was planned for"):
        kept.refuse_unusable(store, 1, has_image)


def test_a_generation_that_does_not_say_what_it_needs_is_refused(store: GenerationStore) -> None:
    store.write({"plan.json": File("{}")}, 4, None)
    with pytest.raises(InferenceError, match="it does not say what it needs"):
        kept.refuse_unusable(store, 4, has_image)


def test_each_is_described_with_what_it_runs_and_whether_it_could(store: GenerationStore, engine: Path) -> None:
    (store.path(1) / "plan.json").unlink()
    first, second, third = kept.describe_generations(store, Transaction(2, 3, True, "now", "me"), has_image)
    assert (first["number"], first["intact"], first["problem"]) == (1, False, "plan.json is gone")
    assert (second["served"], second["in_force"], second["problem"]) == (True, False, None)
    assert (second["engine_version"], second["programs"], second["replaces"]) == ("0.32.0", [str(engine)], 1)
    assert (third["served"], third["in_force"]) == (False, True), "its transaction is open"
    assert second["made"].startswith("20")


def test_only_engines_below_the_root_that_a_generation_runs_are_named(
    store: GenerationStore, engine: Path, tmp_path: Path
) -> None:
    root = str(tmp_path / "opt")
    assert kept.engines(store, root) == set(), "without its record it is no engine of ours"
    (engine.parents[1] / "engine.json").write_text("{}")
    prefetched = tmp_path / "opt/0.33.0"
    prefetched.mkdir()
    (prefetched / "engine.json").write_text("{}")
    assert kept.engines(store, root) == {str(engine.parents[1])}
    assert kept.engines(store, "/elsewhere") == set()
