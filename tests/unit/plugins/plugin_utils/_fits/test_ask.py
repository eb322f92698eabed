# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a model fits some cards: from the options of a task to the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._model.model import checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.modules.vllm_fits import DOCUMENTATION
from ansible_collections.llmops.inference.plugins.modules.vllm_plan import OPTIONS as PLAN_OPTIONS
from ansible_collections.llmops.inference.plugins.modules.vllm_plan import make_plan
from ansible_collections.llmops.inference.plugins.plugin_utils._fits.ask import OPTIONS, answer_to
from ansible_collections.llmops.inference.plugins.plugin_utils._fits.model import service_name
from ansible_collections.llmops.inference.plugins.plugin_utils._fits.output import write
from ansible_collections.llmops.inference.plugins.plugin_utils._plan_page.page import page
from ansible_collections.llmops.inference.tests.unit.scene import (
    QWEN3_8B,
    QWEN3_32B,
    TINY,
    named_tensors,
    write_safetensors,
)


def config(at: Path, geometry: dict[str, Any], name: str = "config.json") -> Path:
    """Write a config.json and nothing else."""
    at.mkdir(exist_ok=True, parents=True)
    stated = {key: value for key, value in geometry.items() if key != "architecture"}
    (at / name).write_text(json.dumps({**stated, "architectures": [geometry["architecture"]]}))
    return at / name


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The config.json of a model of 8 billion parameters."""
    return config(tmp_path / "Qwen3-8B", QWEN3_8B)


def asked(model: object, gpu: str = "H100", **options: Any) -> dict[str, Any]:
    return answer_to({"model": str(model), "gpu": gpu, **options}, {})


def contexts(answer: dict[str, Any]) -> dict[int, int]:
    return {row["users"]: row["max_model_len"] for row in answer["contexts"]}


# The model


def test_a_directory_with_weights_is_exact(tmp_path: Path) -> None:
    file = config(tmp_path / "tiny", TINY)
    tensors = named_tensors(checkpoint_from_geometry(TINY).tensors, TINY["num_hidden_layers"])
    write_safetensors(file.with_name("model.safetensors"), tensors)
    found = asked(file.parent)
    assert (found["model"]["source"], found["model"]["weights"], found["model"]["note"]) == ("directory", "exact", None)
    assert found["plan"]["services"][0]["memory_source"]["weights"] == "exact"


def test_a_config_is_enough_as_a_directory_or_as_a_file_and_is_called_an_estimate(small: Path, tmp_path: Path) -> None:
    renamed = config(tmp_path, QWEN3_8B, "Qwen3-8B.json")
    answers = [asked(place) for place in (small.parent, small, renamed)]
    assert [answer["model"]["source"] for answer in answers] == ["directory", "config", "config"]
    assert {answer["layout"][0]["name"] for answer in answers} == {"qwen3-8b"}
    assert len({json.dumps(contexts(answer)) for answer in answers}) == 1
    for answer in answers:
        assert answer["plan"]["services"][0]["memory_source"]["weights"] == "estimated"
        assert any(line.startswith("Weights: estimated from config.json: ") for line in answer["lines"])


def test_what_is_no_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match=r"is no directory, no config\.json and no name on a hub"):
        asked(tmp_path / "absent")
    with pytest.raises(InferenceError, match=r"config\.json cannot be read"):
        asked(tmp_path)
    with pytest.raises(InferenceError, match=r"State model and gpu, such as -e model=Qwen/Qwen3-8B"):
        answer_to({"model": "", "gpu": "H100"}, {})
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(InferenceError, match="not a dictionary"):
        asked(tmp_path)


def test_a_model_whose_weights_do_not_follow_needs_them_stated(tmp_path: Path) -> None:
    file = config(tmp_path, {**QWEN3_8B, "quantization_config": {"quant_method": "a-method-of-tomorrow"}})
    with pytest.raises(
        InferenceError, match=r"State it as geometry, such as -e '.\"geometry\": .\"weights_bytes\": \d+"
    ):
        asked(file)
    found = asked(file, geometry={"weights_bytes": 5 << 30})
    assert found["plan"]["services"][0]["memory"]["weights"] == 5 << 30


@pytest.mark.parametrize(
    ("text", "name"), [("Qwen3-8B", "qwen3-8b"), ("My Model!", "my-model"), ("...", "model"), ("a" * 99, "a" * 64)]
)
def test_a_service_gets_a_name_that_it_may_have(text: str, name: str) -> None:
    assert service_name(text) == name


# The plan


def test_the_plan_is_as_the_module_vllm_plan_returns_it(small: Path) -> None:
    found = asked(small, "2 x RTX 6000 Ada")
    defaults = {name: option.get("default") for name, option in PLAN_OPTIONS.items()}
    defaults["gpu_health"] = {"failed": "refuse", "degraded": "warn"}
    service = {**found["layout"][0], "geometry": QWEN3_8B}
    made = make_plan(
        {**defaults, "topology": found["topology"], "services": [service]},
        lambda command: pytest.fail(f"{command} was run"),
    )
    assert made.plan.to_dict() == found["plan"]
    assert made.topology.to_dict() == found["topology"]
    assert json.loads(json.dumps(found)) == found
    assert page({found["question"]: found}).startswith("<!DOCTYPE html>")


def test_all_cards_take_part_where_the_model_can_be_divided_by_them(small: Path) -> None:
    found = asked(small, "2 x RTX 6000 Ada")
    assert (found["plan"]["services"][0]["tensor_parallel_size"], found["fewest_cards"]) == (2, 1)
    assert "1 of the 2 cards is enough to start it." in found["lines"]
    assert asked(small, "3 x RTX 6000 Ada")["plan"]["services"][0]["tensor_parallel_size"] == 2
    assert asked(small, "2 x RTX 6000 Ada", tensor_parallel_size=1)["layout"][0]["gpus"] == {"count": 1}
    with pytest.raises(InferenceError, match="tensor_parallel_size 4 needs as many cards, and gpu names 2"):
        asked(small, "2 x L4", tensor_parallel_size=4)


def test_a_model_that_does_not_fit_is_refused_with_the_bytes(tmp_path: Path) -> None:
    found = asked(config(tmp_path, QWEN3_32B), "RTX 4090")
    assert (found["fits"], found["contexts"], found["layout"], found["command"]) == (False, [], [], "")
    refusal = found["plan"]["refusals"][0]
    assert refusal["needed_bytes"] > refusal["available_bytes"] > 0
    assert found["lines"][0].endswith("on 1 x RTX 4090: does not fit.")


def test_cards_of_two_kinds_are_planned_together(small: Path) -> None:
    found = asked(small, "1 x RTX 6000 Ada, 1 x L40S")
    assert found["question"].endswith("on 1 x RTX 6000 Ada, 1 x L40S")
    assert [device["name"] for device in found["plan"]["devices"]] == ["NVIDIA RTX 6000 Ada Generation", "NVIDIA L40S"]


# Users and contexts


def test_more_users_have_shorter_contexts_that_the_cache_really_holds(small: Path) -> None:
    found = asked(small, "RTX 6000 Ada")
    lengths = contexts(found)
    assert list(lengths.values()) == sorted(lengths.values(), reverse=True)
    assert lengths[1] == 40960 > lengths[16] > lengths[64]
    service = found["plan"]["services"][0]
    blocks = service["memory"]["kv_cache"] // service["kv_block_bytes"]
    for users, length in lengths.items():
        taken = users * -(-length // 16) + 1  # each request its blocks of 16 tokens, and the pool its null block
        assert taken <= blocks
        assert length == 40960 or taken + users > blocks


def test_so_many_users_get_the_context_that_all_of_them_can_have(small: Path) -> None:
    free, shared = asked(small, "RTX 6000 Ada"), asked(small, "RTX 6000 Ada", users=24)
    service = shared["plan"]["services"][0]
    assert service["max_num_seqs"] == 24
    assert service["max_model_len"] == contexts(shared)[24] < free["plan"]["services"][0]["max_model_len"]
    assert max(contexts(shared)) == 24


def test_what_a_user_states_reaches_the_engine(small: Path) -> None:
    stated: dict[str, Any] = {
        "max_model_len": 2048,
        "kv_cache_dtype": "fp8",
        "engine_args": {"enforce-eager": True},
        "users": 2,
    }
    found = asked(small, "RTX 6000 Ada", **stated)
    assert found["command"].startswith("vllm serve /var/lib/vllm/models/qwen3-8b --tensor-parallel-size 1 ")
    assert "--max-model-len 2048 --max-num-seqs 2 " in found["command"]
    assert found["command"].endswith("--kv-cache-dtype fp8 --enforce-eager")
    assert set(contexts(found).values()) == {2048}


@pytest.mark.parametrize(
    ("option", "value"),
    [("users", 0), ("users", "many"), ("hub_timeout", 0), ("max_model_len", "long"), ("kv_cache_dtype", "fp3")],
)
def test_an_option_outside_its_range_is_named(small: Path, option: str, value: object) -> None:
    with pytest.raises(InferenceError, match=option):
        answer_to({"model": str(small), "gpu": "H100", option: value}, {})


def test_an_empty_option_is_one_left_out(small: Path) -> None:
    left_out = {name: "" for name in OPTIONS if name not in {"model", "gpu"}}
    assert asked(small, **left_out) == asked(small)


def test_the_documentation_has_the_options() -> None:
    documented = yaml.safe_load(DOCUMENTATION)["options"]
    files = {"page_file", "answer_file"}
    assert documented.keys() == OPTIONS.keys() | files
    for name, option in OPTIONS.items():
        assert documented[name]["type"] == option["type"], name
        assert documented[name].get("default") == option.get("default"), name


# Files


def test_a_file_is_written_once_and_not_in_check_mode(tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    assert write(str(file), "a", check=True)
    assert not file.exists()
    assert write(str(file), "a")
    assert not write(str(file), "a")
    assert [path.name for path in tmp_path.iterdir()] == ["answer.json"]
    with pytest.raises(InferenceError, match="cannot be written: No such file or directory"):
        write(str(tmp_path / "absent" / "answer.json"), "a")
