# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the planner's benchmark: many different ones that fit, and one that asks for every nearest change."""

from __future__ import annotations

from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.tests.bench.plan_speed import complaints, host, measure
from ansible_collections.llmops.inference.tests.unit.scene import planned


def test_the_benchmarks_hosts_differ_and_fit() -> None:
    times = measure(30)
    assert times.refused == 0
    assert len({str(host(seed)) for seed in range(30)}) == 30
    assert not [line for line in complaints([times]) if "refused" in line]


def test_a_host_with_no_room_for_most_services_is_refused_with_its_nearest_changes() -> None:
    described, layout = host(0)
    for gpu in described["gpus"]:
        gpu["memory_total_bytes"] //= 4
        gpu["memory_used_bytes"] //= 4
    plan = planned(layout, Topology.from_dict(described))
    assert not plan.fits
    assert any(refusal.nearest_fit for refusal in plan.refusals)
