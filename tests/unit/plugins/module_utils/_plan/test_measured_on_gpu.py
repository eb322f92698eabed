# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner's arithmetic against what an engine used on a real GPU (``tests/gpu/measured``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._calibration.records import usage, worst
from ansible_collections.llmops.inference.plugins.module_utils._engine.startup_log import read_startup_log
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._incidents.cause import cause
from ansible_collections.llmops.inference.plugins.module_utils._model.model import checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.module_utils._plan.memory import (
    MARGIN_OUTSIDE,
    Demand,
    demand,
)
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Measured, PlannedService
from ansible_collections.llmops.inference.plugins.module_utils._plan.shares import to_units, units_bytes
from ansible_collections.llmops.inference.tests.gpu import engine_log
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_1_7B,
    QWEN3_8B,
    QWEN3_32B,
    YARN,
    parsed,
    planned,
    service,
)

GPU = Path(__file__).parents[4] / "gpu"
MEASURED = GPU / "measured" / "h100-80gb-vllm-0.24.0"
TWO_GPUS = GPU / "measured" / "2-h100-80gb-vllm-0.24.0"
TOPOLOGIES = sorted((GPU / "topologies").glob("*.json"))
ENGINE = "0.24.0"
ROUNDING = 0.005 * GIB  # the log's numbers have two decimals
GEOMETRIES = {"qwen3-32b": QWEN3_32B, "qwen3-8b": QWEN3_8B, "qwen3-1.7b": QWEN3_1_7B}
NCCL_ALONE = {"disable-custom-all-reduce": True}
INCIDENTS = {
    "gate1": "memory_share_too_large",
    "gate2-none": "no_room_for_kv_cache",
    "gate2-length": "no_room_for_kv_cache",
    "out-of-memory": "out_of_device_memory",
}


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def starts() -> list[Any]:
    """Every start that was measured, with the telling lines of its log, named by its scenario."""
    found = []
    for path in scenarios():
        for number, step in enumerate(load(path)["steps"]):
            if "start" in step:
                found.append(pytest.param(step, log_of(path, number, step), id=f"{path.stem}-{number}"))
    return found


def scenarios() -> list[Path]:
    return sorted(path for place in (MEASURED, TWO_GPUS) for path in place.glob("*.json") if "scenario" in load(path))


def log_of(path: Path, number: int, step: dict[str, Any]) -> str:
    return path.with_name(f"{path.stem}.{number}.{step['start']['name']}.txt").read_text(encoding="utf-8")


def with_outcome(*outcomes: str) -> list[Any]:
    return [item for item in starts() if item.values[0]["outcome"] in outcomes]


def alone(found: list[Any]) -> list[Any]:
    """Those that no other start disturbed."""
    return [item for item in found if not item.id.startswith("together")]


def step_of(scenario: str, number: int) -> tuple[dict[str, Any], str]:
    (path,) = (path for path in scenarios() if path.stem == scenario)
    step = load(path)["steps"][number]
    return step, log_of(path, number, step)


def share_bytes(step: dict[str, Any]) -> int:
    total = step["before"]["total"] - step["before"]["reserved"]
    return units_bytes(to_units(step["start"]["flags"]["gpu-memory-utilization"]), total)


def demanded(step: dict[str, Any], measured: Measured | None = None) -> Demand:
    """What is planned for a start, as the engine that was measured is known, and before it was."""
    flags, geometry = step["start"]["flags"], GEOMETRIES[step["start"]["model"]]
    keys: dict[str, Any] = {"kv_cache_dtype": flags["kv-cache-dtype"]} if "kv-cache-dtype" in flags else {}
    keys["engine_args"] = {flag: True for flag in ("disable-custom-all-reduce",) if flag in flags}
    keys["max_num_batched_tokens"], keys["max_num_seqs"] = flags["max-num-batched-tokens"], flags["max-num-seqs"]
    keys["environment"] = step["start"].get("environment") or {}
    if "hf-overrides" in flags:
        keys["rope"] = YARN
    (asked,) = parsed([service("model", geometry, gpus=list(range(ranks_of(step))), **keys)])
    checkpoint = checkpoint_from_geometry(geometry)
    return demand(asked, checkpoint, "cuda", measured, engine_version=ENGINE, capability=90)


def ranks_of(step: dict[str, Any]) -> int:
    return int(step["start"]["flags"].get("tensor-parallel-size", 1))


def per_gpu(step: dict[str, Any], key: str) -> list[dict[str, int]]:
    return list(step.get(f"{key}_per_gpu", [step[key]]))


def outside_under_load(path: Path) -> list[tuple[int, int]]:
    """The bytes of each GPU beyond the shares of its services after each load, and what was estimated for them."""
    found, running = [], {}
    for step in load(path)["steps"]:
        if step.get("outcome") == "ready":
            running[step["start"]["name"]] = step
        elif "stop" in step:
            running.pop(step["stop"], None)
        elif "load" in step:
            shares = sum(share_bytes(start) for start in running.values())
            estimated = sum(demanded(start).outside_bytes for start in running.values())
            found += [(gpu["used"] - shares, estimated) for gpu in per_gpu(step, "after")]
    return found


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_the_recorded_topology_reads_back_as_it_was_written(path: Path) -> None:
    recorded = load(path)
    assert Topology.from_dict(recorded).to_dict() == recorded


def test_two_cards_were_joined_by_nvlink() -> None:
    (link,) = Topology.from_dict(load(GPU / "topologies" / "2-h100-80gb.json")).links
    assert (link.level, link.nvlink_count, link.p2p_read) == ("NVLINK", 18, "ok")


def test_cuda_sees_what_nvml_counts_without_the_reserved_bytes() -> None:
    ranks = [load(MEASURED / "cuda-context.json")["steps"]]
    ranks += [steps for path in TWO_GPUS.glob("cuda-context*.json") for steps in load(path)["ranks"]]
    for step in [step for steps in ranks for step in steps[1:]]:
        nvml = step["nvml"]
        assert step["cuda_total"] == nvml["total"] - nvml["reserved"]
        assert step["cuda_free"] == nvml["free"]


@pytest.mark.parametrize(("step", "log"), starts())
def test_the_kept_lines_of_a_log_hold_every_number(step: dict[str, Any], log: str) -> None:
    assert engine_log.numbers(log) == step["log"]
    ranks = {name: {**told} for name, told in step.get("log_per_rank", {}).items()}
    for told in ranks.values():
        told.pop("exact")
    assert engine_log.per_rank(log) == ranks


@pytest.mark.parametrize(("step", "log"), with_outcome("ready"))
def test_every_rank_takes_the_same(step: dict[str, Any], log: str) -> None:
    assert len(step.get("log_per_rank", {})) == (0 if ranks_of(step) == 1 else ranks_of(step))
    for told in step.get("log_per_rank", {}).values():
        assert told["exact"] == step["exact"]
    assert len({gpu["after"]["used"] for gpu in step.get("nvml_per_gpu", [step["nvml"]])}) == 1


@pytest.mark.parametrize(("step", "log"), with_outcome("ready"))
def test_the_cache_has_as_many_blocks_as_the_arithmetic_gives(step: dict[str, Any], log: str) -> None:
    kv, metrics = demanded(step).kv, step["metrics"]
    blocks, available = int(metrics["num_gpu_blocks"]), step["log"]["available_kv_gib"] * GIB
    assert available - ROUNDING < (blocks + 1) * kv.block_bytes
    assert blocks * kv.block_bytes <= available + ROUNDING
    assert kv.tokens(blocks * kv.block_bytes, metrics["max_model_len"]) == step["log"]["kv_tokens"]


@pytest.mark.parametrize(("step", "log"), with_outcome("ready"))
def test_the_engine_loads_the_weights_that_the_geometry_says(step: dict[str, Any], log: str) -> None:
    """Beside them it counts the table of rotary positions and what its allocator rounds up."""
    weights = demanded(step).fixed["weights"]
    assert 0 <= step["log"]["weights_gib"] * GIB + ROUNDING - weights < 0.12 * GIB


@pytest.mark.parametrize(("step", "log"), with_outcome("ready"))
def test_no_component_exceeds_its_estimate(step: dict[str, Any], log: str) -> None:
    """With two ranks, part of the communicators is made in the profiling pass, and CUDA graphs can hold NCCL's own."""
    told, needed = step["log"], demanded(step)
    if step["exact"]["free_at_start"] + ranks_of(step) * GIB <= step["before"]["free"]:
        return  # another engine was starting
    inside = (told["weights_gib"] + told["not_torch_gib"] + told["transient_gib"]) * GIB
    assert step["before"]["free"] - step["exact"]["free_at_start"] <= needed.outside_bytes
    assert inside <= sum(needed.fixed[name] for name in ("weights", "persistent", "transient"))


@pytest.mark.parametrize(("step", "log"), alone(with_outcome("ready")))
def test_an_uncalibrated_cache_is_never_above_and_at_most_5_percent_below(step: dict[str, Any], log: str) -> None:
    """Of two ranks 7 %: the plan keeps 1.9 GiB for FlashInfer's buffers, which was not installed there."""
    needed, told = demanded(step), step["log"]["available_kv_gib"] * GIB
    predicted = share_bytes(step) - needed.fixed_bytes
    assert predicted <= told + ROUNDING
    assert predicted >= (0.95 if ranks_of(step) == 1 else 0.93) * told


@pytest.mark.parametrize("path", [path for path in scenarios() if outside_under_load(path)], ids=lambda path: path.stem)
def test_what_lies_outside_the_shares_under_load_is_within_the_estimate(path: Path) -> None:
    for held, estimated in outside_under_load(path):
        assert held <= estimated


@pytest.mark.parametrize("path", scenarios(), ids=lambda path: path.stem)
def test_load_takes_no_more_than_the_margin_of_what_was_measured(path: Path) -> None:
    for step in load(path)["steps"]:
        if "load" in step:
            assert step["process_bytes_after"] - step["process_bytes_before"] <= MARGIN_OUTSIDE["cuda"]


@pytest.mark.parametrize(("known", "flags"), [("two-gpus-0.952", {}), ("two-gpus-no-p2p", NCCL_ALONE)])
def test_the_big_model_serves_on_two_cards_with_the_share_of_its_plan(known: str, flags: dict[str, Any]) -> None:
    share, medium, total = planned_share(flags)
    held = max(held for held, _estimated in outside_under_load(TWO_GPUS / f"{known}.json"))
    assert share + held <= total
    assert medium.max_model_len == 131072
    step, _log = step_of(known, 0)
    measured = step["log"]["kv_tokens"] - (share_bytes(step) - share) // demanded(step).kv.block_bytes * 16
    assert 0.88 * measured < medium.kv_cache_tokens < measured


def test_a_share_that_serves_with_the_engine_s_own_all_reduce_dies_without_it() -> None:
    share, medium, _total = planned_share({})
    assert 0.952 <= medium.gpu_memory_utilization <= 0.96  # both served 256 requests
    assert planned_share(NCCL_ALONE)[0] < share
    for scenario, answered in {"two-gpus-0.952": 256, "two-gpus-no-p2p-0.952": 0}.items():
        loads = [step for step in load(TWO_GPUS / f"{scenario}.json")["steps"] if "load" in step]
        assert [step["result"]["answered"] for step in loads] == [answered, answered]


def planned_share(flags: dict[str, Any]) -> tuple[int, PlannedService, int]:
    """The share of the big model on the two cards, in bytes, what else is planned for it, and the total of a card."""
    topology = Topology.from_dict(load(GPU / "topologies" / "2-h100-80gb.json"))
    layout = [service("medium", QWEN3_32B, gpus=[0, 1], rope=YARN, engine_args=flags)]
    plan = planned(layout, topology, gpu_memory_budget=0.99, engine_version=ENGINE)
    (medium,), total = plan.services, plan.devices[0].total_bytes
    return units_bytes(to_units(medium.gpu_memory_utilization), total), medium, total


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        (("pair", 1), ("fitted-length", 0)),
        (("pair", 0), ("share-0.98", 0)),
        (("two-gpus", 3), ("two-gpus-0.952", 0)),
        (("two-gpus-no-p2p", 0), ("two-gpus-no-p2p-0.952", 0)),
    ],
    ids=["1.7B from 0.30 to 0.12", "8B from 0.50 to 0.98", "32B from 0.90 to 0.952", "32B without P2P"],
)
def test_one_start_foretells_the_cache_at_another_share_within_a_percent(
    known: tuple[str, int], asked: tuple[str, int]
) -> None:
    step, log = step_of(*known)
    blocks = int(step["metrics"]["num_gpu_blocks"])
    start = usage(share_bytes(step), demanded(step).kv.block_bytes, read_startup_log(log.splitlines()), blocks)
    step, _rest = step_of(*asked)
    needed = demanded(step, worst([start]))
    cache = share_bytes(step) - needed.fixed_bytes
    predicted = needed.kv.tokens(cache, step["metrics"]["max_model_len"])
    assert predicted == pytest.approx(step["log"]["kv_tokens"], rel=0.01)


@pytest.mark.parametrize(("step", "log"), with_outcome("gate2-length"))
def test_a_length_that_the_engine_refused_is_refused_on_paper(step: dict[str, Any], log: str) -> None:
    available = step["log"]["available_kv_gib"] * GIB
    assert demanded(step).kv.request_bytes(step["start"]["flags"]["max-model-len"]) > available


@pytest.mark.parametrize(("step", "log"), with_outcome(*INCIDENTS))
def test_the_cause_of_a_refused_start_is_found_in_its_log(step: dict[str, Any], log: str) -> None:
    assert engine_log.refusal(log) == (step["outcome"], step["message"])
    assert cause(log.splitlines()).kind == INCIDENTS[step["outcome"]]
