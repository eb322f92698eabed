# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner on a NUMA node, as the engine's CPU build divides it."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._plan.memory import demand
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Measured
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    TINY,
    models,
    node,
    only_refusal,
    parsed,
    planned,
    reference_layout,
    service,
)


def test_on_the_cpu_three_services_share_the_node() -> None:
    layout = [{**item, "geometry": TINY, "rope": None} for item in reference_layout()]
    plan = planned(layout, node(24, 20), accelerator="cpu")
    assert plan.fits
    assert {item.devices for item in plan.services} == {("numa:0",)}
    assert [item.tensor_parallel_size for item in plan.services] == [1, 1, 1]
    assert plan.devices[0].used_by_others_bytes == 4 * GIB
    assert plan.devices[0].slack_bytes >= 0
    assert [item.start_after for item in plan.services] == [(), ("medium",), ("micro",)]


def test_on_the_cpu_a_node_can_be_named() -> None:
    plan = planned([service("a", gpus=["numa:1"])], node(24, 20), accelerator="cpu")
    assert "no device numa:1" in only_refusal(plan).reason


def test_on_the_cpu_memory_for_a_start_is_kept_once_and_not_for_every_service() -> None:
    layout = [service(name, gpu_memory_utilization=0.2, max_model_len=4096) for name in ("a", "b", "c")]
    plan = planned(layout, node(24, 24), accelerator="cpu", on_overcommit="refuse")
    outside = sum(item.memory["context"] for item in plan.services)
    starting = max(item.memory["persistent"] for item in plan.services)
    room = (24 * GIB - outside - starting) / (24 * GIB)
    assert plan.devices[0].highest_share == pytest.approx(room, abs=0.0001)


def test_on_the_cpu_every_service_restarts_while_the_others_hold_all_of_theirs() -> None:
    layout = [service(name, max_model_len=4096) for name in ("a", "b", "c")]
    plan = planned(layout, node(24, 22), accelerator="cpu")
    device = plan.devices[0]
    for item in plan.services:
        others = [other for other in plan.services if other is not item]
        held = sum(other.required_free_bytes[device.id] - other.memory["persistent"] for other in others)
        free = device.total_bytes - device.used_by_others_bytes - held
        assert item.required_free_bytes[device.id] <= free
        assert free - item.required_free_bytes[device.id] < 0.001 * device.total_bytes, "and nothing is given away"


def test_a_refusal_on_the_cpu_names_what_a_start_needs() -> None:
    layout = [service("a", gpu_memory_utilization=0.97, max_model_len=4096)]
    refusal = only_refusal(planned(layout, node(24, 24), accelerator="cpu", on_overcommit="refuse"))
    assert "0.70 GiB while one of them starts" in refusal.arithmetic
    assert refusal.gate == 1


def test_a_start_that_was_charged_with_little_does_not_make_the_next_one_fail() -> None:
    (item,) = parsed([service("a", max_model_len=4096)], "cpu")
    model = models([item])["a"]
    estimated = demand(item, model, "cpu")
    usual, little = (
        demand(item, model, "cpu", Measured(estimated.fixed_bytes - less)) for less in (0, int(0.15 * GIB))
    )
    assert little.fixed_bytes < usual.fixed_bytes, "the cache is expected to be as it was"
    assert little.share_bytes(4096) > usual.share_bytes(4096) - usual.margin, "but a usual start passes, too"
