# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration: from what an engine wrote to what the next plan expects."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._calibration.records import (
    KEPT_STARTS,
    Usage,
    from_record,
    to_record,
    usage,
    worst,
)
from ansible_collections.llmops.inference.plugins.module_utils._calibration.store import CalibrationStore
from ansible_collections.llmops.inference.plugins.module_utils._engine.startup_log import StartupLog
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._plan.memory import MARGIN_INSIDE, MARGIN_OUTSIDE
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import (
    Measured,
    Plan,
    PlannedService,
    Settings,
)
from ansible_collections.llmops.inference.plugins.module_utils._plan.planner import inputs_digest, plan
from ansible_collections.llmops.inference.plugins.module_utils._plan.shares import to_units, units_bytes
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_8B,
    QWEN3_32B,
    TINY,
    YARN,
    box,
    gpus,
    models,
    node,
    parsed,
    service,
)

MIB = 1 << 20


def planned(
    *layout: Mapping[str, Any],
    on: Topology | None = None,
    records: Mapping[str, Measured] | None = None,
    **settings: Any,
) -> Plan:
    """Plan services whose models are on the host."""
    chosen = Settings(**{"engine_version": "0.32.0", **settings})
    services = parsed(layout, chosen.accelerator)
    known = {name: replace(model, fingerprint=f"files of {name}") for name, model in models(services).items()}
    return plan(services, on or box(80), known, chosen, records=records)


def only(made: Plan) -> PlannedService:
    assert made.fits, made.refusals
    return made.services[0]


def key(*layout: Mapping[str, Any], **keys: Any) -> str | None:
    return only(planned(*layout, **keys)).calibration_key


# What a start used


def test_the_number_of_blocks_tells_the_cache_to_the_byte() -> None:
    start = usage(10 * GIB, 2 * MIB, StartupLog(kv_cache_bytes=round(7.35 * GIB)), blocks=3763)
    assert start.kv_cache_bytes == 3763 * 2 * MIB
    assert start.overhead_bytes == 10 * GIB - 3763 * 2 * MIB


def test_blocks_that_are_not_what_the_log_says_do_not_count() -> None:
    start = usage(10 * GIB, 4 * MIB, StartupLog(kv_cache_bytes=7 * GIB), blocks=3584)
    assert start.kv_cache_bytes == pytest.approx(7 * GIB, abs=6 * MIB)
    assert start.kv_cache_bytes is not None
    assert start.kv_cache_bytes < 7 * GIB  # the log rounds; the plan must not count on what may not be there


def test_a_cache_of_stated_size_says_nothing_about_the_share() -> None:
    start = usage(10 * GIB, MIB, StartupLog(kv_cache_tokens=1000), blocks=3072)
    assert (start.kv_cache_bytes, start.follows_share, start.overhead_bytes) == (3 * GIB, False, None)
    assert worst([start]) is None


def test_a_start_with_another_share_than_planned_is_not_taken_for_one_with_it() -> None:
    log = StartupLog(kv_cache_bytes=7 * GIB, share_bytes=9 * GIB)
    assert not usage(10 * GIB, MIB, log, blocks=7168).follows_share


def test_estimated_graphs_are_told_apart_from_the_transient_they_are_printed_in() -> None:
    log = StartupLog(kv_cache_bytes=GIB, transient_bytes=3 * GIB, graphs_bytes=GIB)
    start = usage(10 * GIB, MIB, log, blocks=1024)
    assert (start.transient_bytes, start.graphs_bytes) == (2 * GIB, GIB)


def test_the_worst_of_several_starts_is_what_the_plan_takes() -> None:
    starts = [
        Usage(10 * GIB, 8 * GIB, None, True, outside_bytes=400 * MIB),
        Usage(10 * GIB, 7 * GIB, None, True, transient_bytes=GIB, outside_bytes=300 * MIB),
        Usage(20 * GIB, 1 * GIB, None, False),
    ]
    assert worst(starts) == Measured(overhead=3 * GIB, transient=GIB, graphs=0, outside=400 * MIB)


# What a plan makes of it

NODE = node(24, 20)
CPU: dict[str, Any] = {"accelerator": "cpu", "on": NODE}


def test_the_cache_is_the_share_less_what_was_measured() -> None:
    tiny = service("tiny", TINY, gpu_memory_utilization=0.1, max_model_len=4096)
    records = {str(key(tiny, **CPU)): Measured(overhead=900 * MIB + 12345, outside=700 * MIB)}
    for share in (0.06, 0.1, 0.25):
        made = only(planned(tiny | {"gpu_memory_utilization": share}, records=records, **CPU))
        total = NODE.numa_nodes[0].memory_total_bytes
        assert made.memory["kv_cache"] == units_bytes(to_units(share), total) - 900 * MIB - 12345
        assert made.memory_source["kv_cache"] == made.memory_source["persistent"] == "measured"
        assert made.memory["context"] == 700 * MIB + MARGIN_OUTSIDE["cpu"]


def test_a_component_that_nothing_told_stays_an_estimate() -> None:
    mini = service("mini", QWEN3_8B)
    before = only(planned(mini))
    records = {str(before.calibration_key): Measured(overhead=20 * GIB, transient=2 * GIB, graphs=GIB)}
    after = only(planned(mini, records=records))
    assert after.memory["context"] == before.memory["context"]
    assert after.memory_source["context"] == "estimated"
    assert after.memory_source["weights"] == before.memory_source["weights"]
    assert (after.memory["transient"], after.memory["graphs"]) == (2 * GIB, GIB)
    assert sum(after.memory[name] for name in ("weights", "persistent", "transient", "graphs")) == 20 * GIB


def test_ranks_share_what_was_measured_outside_between_context_and_buffers() -> None:
    medium = service("medium", QWEN3_32B, gpus=[0, 1])
    pair = box(80, 80)
    records = {str(key(medium, on=pair)): Measured(overhead=40 * GIB, outside=2 * GIB)}
    memory = only(planned(medium, on=pair, records=records)).memory
    assert memory["context"] + memory["nccl"] == 2 * GIB + MARGIN_OUTSIDE["cuda"]
    assert memory["nccl"] > 0


def test_an_engine_that_takes_a_little_more_than_measured_still_starts() -> None:
    mini = service("mini", QWEN3_8B, rope=YARN)
    overhead = 25 * GIB
    records = {str(key(mini, on=box(40))): Measured(overhead=overhead)}
    made = only(planned(mini, on=box(40), records=records))
    assert made.max_model_len < 131072
    needed = (made.max_model_len // 16 + 1) * made.kv_block_bytes
    assert overhead + MARGIN_INSIDE["cuda"] + needed <= to_units(made.gpu_memory_utilization) * 40 * GIB // 10000


def test_weights_that_the_engine_did_not_need_are_as_measured() -> None:
    mini = service("mini", QWEN3_8B)
    records = {str(key(mini)): Measured(overhead=10 * GIB)}
    made = only(planned(mini, records=records))
    assert (made.memory["weights"], made.memory["persistent"]) == (10 * GIB, 0)
    assert made.memory_source["weights"] == "measured"


def test_calibration_can_be_ignored() -> None:
    mini = service("mini", QWEN3_8B)
    records = {str(key(mini)): Measured(overhead=20 * GIB)}
    assert "measured" not in only(planned(mini, records=records, calibration="ignore")).memory_source.values()


def test_a_record_does_not_change_what_a_plan_in_force_is_compared_by() -> None:
    services = parsed([service("mini", QWEN3_8B)])
    settings = Settings(engine_version="0.32.0")
    records = {"any": Measured(overhead=GIB)}
    made = plan(services, box(80), models(services), settings, records=records)
    assert made.inputs_digest == inputs_digest(services, box(80), models(services), settings)


# Whose a record is


@pytest.mark.parametrize(
    "changed",
    [
        {"max_num_seqs": 8},
        {"max_num_batched_tokens": 4096},
        {"kv_cache_dtype": "fp8"},
        {"rope": YARN},
        {"engine_args": {"enforce-eager": True}},
        {"environment": {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}},
        {"geometry": {**QWEN3_8B, "num_hidden_layers": 30}},
    ],
)
def test_a_setting_that_moves_memory_makes_another_record(changed: dict[str, Any]) -> None:
    mini = service("mini", QWEN3_8B)
    assert key(mini | changed) != key(mini)


@pytest.mark.parametrize(
    "changed",
    [
        {"max_model_len": 8192},
        {"gpu_memory_utilization": 0.5},
        {"port": 9000},
        {"engine_args": {"reasoning-parser": "qwen3", "tool-call-parser": "hermes"}},
        {"secret_environment": {"VLLM_API_KEY": "a"}},
    ],
)
def test_a_setting_that_does_not_move_memory_keeps_the_record(changed: dict[str, Any]) -> None:
    mini = service("mini", QWEN3_8B)
    assert key(mini | changed) == key(mini)


def test_another_engine_card_or_driver_makes_another_record() -> None:
    mini = service("mini", QWEN3_8B)
    other = Topology.from_dict({"gpus": gpus(80, name="NVIDIA L40S")})
    driver = Topology.from_dict({"gpus": gpus(80), "driver_version": "580.1"})
    found = {key(mini), key(mini, engine_version="0.33.0"), key(mini, on=other), key(mini, on=driver)}
    assert len(found) == 4


def test_among_cards_of_several_kinds_only_a_service_that_names_its_own_has_a_record() -> None:
    kinds = gpus(80, 80)
    kinds[1]["name"] = "NVIDIA L40S"
    mixed = Topology.from_dict({"gpus": kinds})
    assert key(service("mini", QWEN3_8B), on=mixed) is None
    assert key(service("mini", QWEN3_8B, gpus=[1]), on=mixed) is not None


def test_without_files_or_a_version_there_is_no_record() -> None:
    services = parsed([service("mini", QWEN3_8B)])
    made = plan(services, box(80), models(services), Settings(engine_version="0.32.0"))
    assert made.services[0].calibration_key is None
    assert key(service("mini", QWEN3_8B), engine_version=None) is None


# Records on disk

START = Usage(10 * GIB, 8 * GIB, 1000, True)


def test_a_record_is_read_as_it_was_written() -> None:
    assert from_record(json.loads(json.dumps(to_record({}, [START])))) == [START]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"schema": 2, "starts": [vars(START)]},
        {"schema": 1, "starts": 7},
        {"schema": 1, "starts": [{"share_bytes": 1}]},
        {"schema": 1, "starts": [{**vars(START), "kv_cache_bytes": -1}]},
        {"schema": 1, "starts": [{**vars(START), "kv_cache_bytes": float("nan")}]},
        {"schema": 1, "starts": [{**vars(START), "share_bytes": True}]},
    ],
)
def test_what_is_no_record_has_no_starts(data: Any) -> None:
    assert from_record(data) == []


def test_the_last_starts_are_kept_and_all_is_readable_by_the_group_only(tmp_path: Path) -> None:
    store = CalibrationStore(str(tmp_path / "calibration"), os.getgid())
    for number in range(KEPT_STARTS + 2):
        store.add("k", {"service": "mini"}, replace(START, kv_cache_tokens=number))
    assert [start.kv_cache_tokens for start in store.starts("k")] == list(range(2, KEPT_STARTS + 2))
    (file,) = (tmp_path / "calibration").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o750
    assert store.measured() == {"k": Measured(overhead=2 * GIB)}


def test_a_damaged_record_counts_as_none_and_is_replaced(tmp_path: Path) -> None:
    store = CalibrationStore(str(tmp_path))
    (tmp_path / "k.json").write_text("{")
    assert store.measured() == {}
    store.add("k", {}, START)
    assert store.starts("k") == [START]


def test_a_host_without_records_has_none(tmp_path: Path) -> None:
    assert CalibrationStore(str(tmp_path / "absent")).measured() == {}


def test_nothing_is_written_through_a_link_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "calibration").symlink_to("elsewhere")
    with pytest.raises(NotADirectoryError):
        CalibrationStore(str(tmp_path / "calibration")).add("k", {}, START)
    assert not list((tmp_path / "elsewhere").iterdir())
