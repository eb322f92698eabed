# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module, run by Ansible as on a host, over the stand-in library and real model directories."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.inference.plugins.doc_fragments.layout import ModuleDocFragment
from ansible_collections.llmops.inference.plugins.module_utils._arguments import PLAN_OPTIONS
from ansible_collections.llmops.inference.plugins.module_utils._deploy.inputs import read_models, stated_bytes
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._gpu.health import DEFAULT_ANSWERS
from ansible_collections.llmops.inference.plugins.module_utils._model.checkpoint import CONFIG
from ansible_collections.llmops.inference.plugins.module_utils._model.model import checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.modules.vllm_plan import OPTIONS, RETURN, make_plan
from ansible_collections.llmops.inference.tests.unit.ad_hoc import run_module
from ansible_collections.llmops.inference.tests.unit.nvml_box import BOXES, build_standin
from ansible_collections.llmops.inference.tests.unit.scene import (
    QWEN3_8B,
    QWEN3_32B,
    TINY,
    box,
    named_tensors,
    parsed,
    reference_layout,
    service,
    write_safetensors,
)


@pytest.fixture(scope="session", autouse=True)
def _standin() -> None:
    build_standin()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory with a complete small model."""
    (tmp_path / CONFIG).write_text(json.dumps(TINY))
    tensors = named_tensors(checkpoint_from_geometry(TINY).tensors, TINY["num_hidden_layers"])
    write_safetensors(tmp_path / "model.safetensors", tensors)
    return tmp_path


def run_plan(on: Path | None, *options: str, succeeds: bool = True, **arguments: Any) -> dict[str, Any]:
    return run_module("vllm_plan", on, *options, succeeds=succeeds, arguments=arguments)


def plan_of(**arguments: Any) -> dict[str, Any]:
    """Plan as the module does, in this process, on a machine that is described or has no GPU."""
    defaults = {name: option.get("default") for name, option in OPTIONS.items()}
    answers = {"gpu_health": DEFAULT_ANSWERS}
    return make_plan({**defaults, **answers, **arguments}, lambda command: (1, "", "")).plan.to_dict()


def test_the_reference_box_is_planned_over_its_driver_in_check_mode_too() -> None:
    result = run_plan(BOXES / "reference.box", "--check", services=reference_layout())
    plan = result["plan"]
    assert result["changed"] is False
    assert plan["fits"] is True
    assert [item["max_model_len"] for item in plan["services"]] == [131072] * 3
    assert plan["services"][0]["devices"] == [
        "GPU-a1f3c0de-0000-4000-8000-000000000000",
        "GPU-a1f3c0de-0000-4000-8000-000000000001",
    ]
    # 81559 MiB less the 551 that driver and firmware reserve
    assert {device["total_bytes"] for device in plan["devices"]} == {81008 << 20}
    assert any("YaRN" in text for text in plan["warnings"])


def test_a_gpu_that_is_partitioned_is_left_out_and_said() -> None:
    topology = box(80, 80).to_dict()
    topology["gpus"][0]["mig_enabled"] = True
    plan = plan_of(services=[service("mini", QWEN3_8B)], topology=topology)
    assert plan["services"][0]["device_indices"] == [1]
    assert any("MIG" in text for text in plan["warnings"])


def test_a_wrong_layout_fails_with_every_mistake_and_no_secret() -> None:
    secret = {"VLLM_API_KEY": "geheim", "VLLM_PORT": "geheimer"}
    services = [
        service("a", gpus=[0, 0], secret_environment=secret) | {"port": 8001},
        service("b") | {"port": 8001},
    ]
    result = run_plan(BOXES / "reference.box", succeeds=False, services=services)
    assert len(result["errors"]) == 3
    assert "port 8001 is also that of service 'a'" in result["msg"]
    assert "geheim" not in json.dumps(result)


def test_a_machine_that_is_not_this_one_is_planned_from_its_description() -> None:
    topology = {"gpus": [{"index": 0, "memory_total_bytes": 24 << 30}]}
    plan = plan_of(services=[service("medium", QWEN3_32B)], topology=topology)
    assert plan["fits"] is False  # and the module has not failed
    assert plan["refusals"][0]["service"] == "medium"
    assert "weights 61.03 GiB" in plan["refusals"][0]["arithmetic"]


def test_on_the_cpu_the_node_of_this_machine_is_the_device(model: Path) -> None:
    services = [{"name": "tiny", "model": str(model), "port": 8001, "max_model_len": 2048}]
    plan = plan_of(services=services, accelerator="cpu")
    device = plan["devices"][0]
    assert device["id"] == "numa:0"
    assert device["total_bytes"] > device["used_by_others_bytes"] > 0
    for planned in plan["services"]:  # none where this machine is too full for one
        assert planned["devices"] == ["numa:0"]
        assert planned["memory_source"]["weights"] == "exact"
        assert planned["fingerprint"]


def test_a_model_that_cannot_be_read_is_named_with_file_and_bytes(model: Path) -> None:
    file = model / "model.safetensors"
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(size - 7)
    services = [{"name": "tiny", "model": str(model), "port": 8001}]
    with pytest.raises(InferenceError, match=f"service 'tiny': {file} is cut off"):
        plan_of(services=services, topology={"gpus": []})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"gpu_memory_budget": 1.5}, "gpu_memory_budget must be above 0 and at most 1"),
        ({"gpu_memory_budget": float("nan")}, "gpu_memory_budget must be above 0 and at most 1"),
        ({"reserve_bytes": -1}, "reserve_bytes must be a whole number of bytes from 0"),
        ({"on_overcommit": "ignore"}, "on_overcommit must be one of refuse, clamp"),
        ({"used_by_others": {"GPU-1": "much"}}, "'much' for GPU-1 is no number of bytes"),
        ({"topology": {"gpus": [{"index": "first"}]}}, r"topology.gpus\[0\].index"),
    ],
)
def test_a_setting_outside_its_range_is_refused_by_name(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InferenceError, match=said):
        plan_of(**{"services": [service("a")], "topology": {"gpus": []}, **arguments})


def test_every_returned_key_is_documented_and_every_documented_key_is_returned() -> None:
    topology = box(80, 24).to_dict()
    services = [service("mini", QWEN3_8B, gpus=[0]), service("medium", QWEN3_32B, gpus=[1])]
    plan = plan_of(services=services, topology=topology)
    assert plan["services"]
    assert plan["refusals"]
    check_keys(plan, yaml.safe_load(RETURN)["plan"]["contains"])


def check_keys(returned: dict[str, Any], contains: dict[str, Any]) -> None:
    assert set(returned) == set(contains)
    for key, entry in contains.items():
        if "contains" in entry:
            for item in returned[key]:
                check_keys(item, entry["contains"])


def test_documented_options_are_those_that_are_taken() -> None:
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)
    check_options(documented["options"], PLAN_OPTIONS)


def check_options(documented: dict[str, Any], taken: dict[str, Any]) -> None:
    assert set(documented) == set(taken)
    for name, option in taken.items():
        said = documented[name]
        for key in ("type", "required", "default", "choices", "elements"):
            assert said.get(key) == option.get(key), name
        check_options(said.get("suboptions", {}), option.get("options", {}))


# The survey of models


def test_all_models_that_cannot_be_read_are_named_at_once(tmp_path: Path) -> None:
    layout = [{"name": name, "model": str(tmp_path / name), "port": port} for name, port in (("a", 8001), ("b", 8002))]
    with pytest.raises(InferenceError) as refused:
        read_models(parsed(layout))
    errors = refused.value.details["errors"]
    assert isinstance(errors, Iterable)
    assert [str(text).partition(":")[0] for text in errors] == ["service 'a'", "service 'b'"]


def test_models_that_are_absent_come_with_the_ways_to_plan_without_them_said_once(tmp_path: Path, model: Path) -> None:
    layout = [{"name": name, "model": str(tmp_path / name), "port": port} for name, port in (("a", 8001), ("b", 8002))]
    with pytest.raises(InferenceError, match=f"there is no {tmp_path}/a/{CONFIG} on this machine") as refused:
        read_models(parsed(layout))
    assert [str(refused.value).count(way) for way in ("geometry of the service", "geometry_files", "fits")] == [1, 1, 1]
    (model / "model.safetensors").write_bytes(b"")
    with pytest.raises(InferenceError) as broken:
        read_models(parsed([{"name": "c", "model": str(model), "port": 8003}]))
    assert "geometry" not in str(broken.value), "its files are there and are to be mended"


def test_a_stated_geometry_serves_where_there_is_no_directory_and_overrides_where_there_is(model: Path) -> None:
    absent = parsed([service("a", QWEN3_8B)])
    assert read_models(absent)["a"].geometry.hidden_size == 4096
    present = parsed([{"name": "b", "model": str(model), "port": 8001, "geometry": {"rope_theta": 7}}])
    read = read_models(present)["b"]
    assert (read.geometry.rope.theta, read.geometry.hidden_size, read.source) == (7, 64, "exact")


def test_a_whole_model_that_is_stated_is_planned_and_its_files_are_still_checked(model: Path) -> None:
    stated = parsed([service("a", {**QWEN3_8B, "parameters": 8_190_735_360}) | {"model": str(model)}])
    assert read_models(stated)["a"].rank_weights(1) == 2 * 8_190_735_360
    (model / "model.safetensors").write_bytes(b"")
    with pytest.raises(InferenceError, match="is cut off"):
        read_models(stated)


def test_bytes_used_by_others_may_be_stated() -> None:
    assert stated_bytes({"numa:0": "1024"}) == {"numa:0": 1024}
    assert stated_bytes(None) == {}
