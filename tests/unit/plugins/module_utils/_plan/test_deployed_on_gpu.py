# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of two services that the collection deployed on one GPU, against what their engines then had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._calibration.records import usage, worst
from ansible_collections.llmops.inference.plugins.module_utils._engine.startup_log import read_startup_log
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._model.model import checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.module_utils._plan.memory import Demand, demand
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Measured
from ansible_collections.llmops.inference.plugins.module_utils._plan.shares import to_units, units_bytes
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_1_7B,
    QWEN3_8B,
    YARN,
    parsed,
    planned,
    service,
)

GPU = Path(__file__).parents[4] / "gpu"
RUN: dict[str, Any] = json.loads((GPU / "measured" / "h200-vllm-0.32.0" / "pair.deployed.json").read_text("utf-8"))
TOPOLOGY = Topology.from_dict(json.loads((GPU / "topologies" / "2-h200.json").read_text("utf-8")))
GEOMETRIES = {"mini": QWEN3_8B, "micro": QWEN3_1_7B}
LENGTH = 131072


def needed(name: str, measured: Measured | None = None) -> Demand:
    (asked,) = parsed([service(name, GEOMETRIES[name], gpus=[0], rope=YARN)])
    return demand(asked, checkpoint_from_geometry(GEOMETRIES[name]), "cuda", measured)


def share_bytes(name: str) -> int:
    card = TOPOLOGY.gpus[0]
    assert card.memory_total_bytes is not None
    assert card.memory_reserved_bytes is not None
    total = card.memory_total_bytes - card.memory_reserved_bytes
    return units_bytes(to_units(RUN["services"][name]["share"]), total)


def cached(name: str, tokens: int) -> int:
    """Return the blocks that hold so many tokens."""
    kv = needed(name).kv
    return round(tokens / LENGTH * kv.request_blocks(LENGTH))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_plan_of_today_promises_no_more_than_the_engines_had(name: str) -> None:
    """At the share of that run, whatever share today's plan would give."""
    demanded, told = needed(name), RUN["services"][name]
    promised = demanded.kv.tokens(share_bytes(name) - demanded.fixed_bytes - demanded.margin, LENGTH)
    assert 0.85 * told["first_tokens"] < promised <= told["first_tokens"]


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("known", ["first", "later"])
def test_one_recorded_start_foretells_the_cache_of_the_next_within_a_percent(name: str, known: str) -> None:
    told = RUN["services"][name]
    blocks = cached(name, told[f"{known}_tokens"])
    recorded = usage(share_bytes(name), needed(name).kv.block_bytes, read_startup_log(told[known]), blocks)
    demanded = needed(name, worst([recorded]))
    foretold = demanded.kv.tokens(share_bytes(name) - demanded.fixed_bytes, LENGTH)
    assert foretold == pytest.approx(told[f"{known}_tokens"], abs=16)
    assert foretold == pytest.approx(told["later_tokens"], rel=0.01)


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("known", ["first", "later"])
def test_the_log_of_a_unit_tells_weights_cache_and_graphs(name: str, known: str) -> None:
    log = read_startup_log(RUN["services"][name][known])
    weights = needed(name).fixed["weights"]
    assert log.kv_cache_tokens == RUN["services"][name][f"{known}_tokens"]
    assert log.weights_bytes is not None
    assert 0 <= log.weights_bytes + 0.005 * GIB - weights < 0.12 * GIB
    assert log.graphs_bytes
    assert log.transient_bytes
    assert log.transient_bytes > log.graphs_bytes


def test_both_services_fit_one_h200_at_their_whole_length() -> None:
    layout = [service(name, GEOMETRIES[name], gpus=[0], rope=YARN) for name in GEOMETRIES]
    plan = planned(layout, TOPOLOGY, gpu_memory_budget=RUN["budget"])
    assert plan.fits
    assert [one.max_model_len for one in plan.services] == [LENGTH, LENGTH]
