# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner's arithmetic against what an engine used on a real GPU (``tests/gpu/measured``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._calibration import usage, worst
from ansible_collections.llmops.inference.plugins.module_utils._checkpoint import checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.module_utils._incidents import cause
from ansible_collections.llmops.inference.plugins.module_utils._memory import ESTIMATES, Demand, Measured, demand
from ansible_collections.llmops.inference.plugins.module_utils._shares import to_units, units_bytes
from ansible_collections.llmops.inference.plugins.module_utils._startup_log import read_startup_log
from ansible_collections.llmops.inference.plugins.module_utils._topology import Topology
from ansible_collections.llmops.inference.tests.gpu import engine_log
from ansible_collections.llmops.inference.tests.unit.scene import GIB, QWEN3_1_7B, QWEN3_8B, parsed, service

GPU = Path(__file__).parents[1] / "gpu"
MEASURED = GPU / "measured" / "h100-80gb-vllm-0.24.0"
ROUNDING = 0.005 * GIB  # the log's numbers have two decimals
GEOMETRIES = {"qwen3-8b": QWEN3_8B, "qwen3-1.7b": QWEN3_1_7B}
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
    for path in sorted(MEASURED.glob("*.json")):
        for number, step in enumerate(load(path).get("steps", [])):
            if "start" in step:
                log = path.with_name(f"{path.stem}.{number}.{step['start']['name']}.txt")
                found.append(pytest.param(step, log.read_text(encoding="utf-8"), id=f"{path.stem}-{number}"))
    return found


def with_outcome(*outcomes: str) -> list[Any]:
    return [item for item in starts() if item.values[0]["outcome"] in outcomes]


def step_of(scenario: str, number: int) -> tuple[dict[str, Any], str]:
    step = load(MEASURED / f"{scenario}.json")["steps"][number]
    return step, (MEASURED / f"{scenario}.{number}.{step['start']['name']}.txt").read_text(encoding="utf-8")


def share_bytes(step: dict[str, Any]) -> int:
    total = step["before"]["total"] - step["before"]["reserved"]
    return units_bytes(to_units(step["start"]["flags"]["gpu-memory-utilization"]), total)


def demanded(step: dict[str, Any], measured: Measured | None = None) -> Demand:
    flags, geometry = step["start"]["flags"], GEOMETRIES[step["start"]["model"]]
    keys = {"kv_cache_dtype": flags["kv-cache-dtype"]} if "kv-cache-dtype" in flags else {}
    (asked,) = parsed([service("model", geometry, gpus=[0], **keys)])
    return demand(asked, checkpoint_from_geometry(geometry), "cuda", measured)


def test_the_recorded_topology_reads_back_as_it_was_written() -> None:
    recorded = load(GPU / "topologies" / "h100-80gb.json")
    assert Topology.from_dict(recorded).to_dict() == recorded


def test_cuda_sees_what_nvml_counts_without_the_reserved_bytes() -> None:
    for step in load(MEASURED / "cuda-context.json")["steps"][1:]:
        nvml = step["nvml"]
        assert step["cuda_total"] == nvml["total"] - nvml["reserved"]
        assert step["cuda_free"] == nvml["free"]


@pytest.mark.parametrize(("step", "log"), starts())
def test_the_kept_lines_of_a_log_hold_every_number(step: dict[str, Any], log: str) -> None:
    assert engine_log.numbers(log) == step["log"]


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
    assert 0 <= step["log"]["weights_gib"] * GIB + ROUNDING - weights < 0.09 * GIB


@pytest.mark.parametrize(("step", "log"), with_outcome("ready"))
def test_no_component_exceeds_its_estimate(step: dict[str, Any], log: str) -> None:
    told, estimates = step["log"], ESTIMATES["cuda"]
    if step["exact"]["free_at_start"] + GIB > step["before"]["free"]:  # nobody else was starting
        assert step["before"]["free"] - step["exact"]["free_at_start"] <= estimates.context
        assert told["not_torch_gib"] * GIB <= estimates.persistent
        assert told["graphs_gib"] * GIB <= estimates.graphs
    assert told["transient_gib"] * GIB <= estimates.transient


@pytest.mark.parametrize(
    ("known", "planned"),
    [(("pair", 1), ("fitted-length", 0)), (("pair", 0), ("share-0.98", 0))],
    ids=["1.7B from 0.30 to 0.12", "8B from 0.50 to 0.98"],
)
def test_one_start_foretells_the_cache_at_another_share_within_a_percent(
    known: tuple[str, int], planned: tuple[str, int]
) -> None:
    step, log = step_of(*known)
    blocks = int(step["metrics"]["num_gpu_blocks"])
    start = usage(share_bytes(step), demanded(step).kv.block_bytes, read_startup_log(log.splitlines()), blocks)
    step, _rest = step_of(*planned)
    needed = demanded(step, worst([start]))
    cache = share_bytes(step) - needed.fixed_bytes
    foretold = needed.kv.tokens(cache, step["metrics"]["max_model_len"])
    assert foretold == pytest.approx(step["log"]["kv_tokens"], rel=0.01)


@pytest.mark.parametrize(("step", "log"), with_outcome("gate2-length"))
def test_a_length_that_the_engine_refused_is_refused_on_paper(step: dict[str, Any], log: str) -> None:
    available = step["log"]["available_kv_gib"] * GIB
    assert demanded(step).kv.request_bytes(step["start"]["flags"]["max-model-len"]) > available


@pytest.mark.parametrize(("step", "log"), with_outcome(*INCIDENTS))
def test_the_cause_of_a_refused_start_is_found_in_its_log(step: dict[str, Any], log: str) -> None:
    assert engine_log.refusal(log) == (step["outcome"], step["message"])
    assert cause(log.splitlines()).kind == INCIDENTS[step["outcome"]]
