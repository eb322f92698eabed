# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs that share the host's memory, virtual ones, and links that are said once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._plan.devices import find_devices
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_1_7B,
    QWEN3_8B,
    QWEN3_32B,
    gpus,
    only_refusal,
    planned,
    service,
)

TOTAL, FREE = 130663165952, 121856000000  # a DGX Spark, as its kernel tells
GB10 = {"index": 0, "uuid": "GPU-0", "name": "NVIDIA GB10", "compute_capability": "12.1", "minor_number": 0}
SPARK = {
    "driver_version": "580.95.05",
    "gpus": [GB10],
    "numa_nodes": [{"index": 0, "memory_total_bytes": TOTAL, "memory_free_bytes": FREE, "cpus": list(range(20))}],
}


def spark(**keys: Any) -> Topology:
    return Topology.from_dict({**SPARK, "gpus": [{**GB10, **keys}]})


def test_the_memory_of_a_gpu_without_its_own_is_the_hosts_less_what_the_host_keeps() -> None:
    plan = planned([service("a", QWEN3_32B, gpus=[0])], spark(), engine_version="0.32.0")
    assert plan.fits
    (device,) = plan.devices
    assert device.total_bytes == TOTAL
    assert TOTAL - FREE + 8 * GIB <= device.used_by_others_bytes < TOTAL - FREE + 8.3 * GIB
    assert device.slack_bytes >= 0
    (note,) = [text for text in plan.notes if "no memory of its own" in text]
    assert "its 121.7 GiB are the host's, which keeps 8.0 GiB of them" in note
    assert plan.service("a").gpu_memory_utilization < 0.88


def test_a_total_that_somebody_stated_for_it_changes_nothing() -> None:
    layout = [service("a", QWEN3_8B, gpus=[0])]
    told, stated = (planned(layout, box) for box in (spark(), spark(memory_total_bytes=TOTAL)))
    assert told.services == stated.services


def test_memory_that_ours_use_there_is_not_taken_twice() -> None:
    others = {"GPU-0": 6 * GIB}  # as the host's processes were told apart
    plan = planned([service("a", QWEN3_8B, gpus=[0])], spark(), others)
    assert plan.devices[0].used_by_others_bytes == 14 * GIB


def test_a_small_board_keeps_an_eighth() -> None:
    board = {**SPARK, "gpus": [{"index": 0, "uuid": "GPU-0", "name": "Orin (nvgpu)", "compute_capability": "8.7"}]}
    board["numa_nodes"] = [{"index": 0, "memory_total_bytes": 16 * GIB, "memory_free_bytes": 14 * GIB}]
    plan = planned([service("a", QWEN3_1_7B, gpus=[0])], Topology.from_dict(board), engine_version="0.32.0")
    assert plan.fits
    assert plan.devices[0].used_by_others_bytes == 4 * GIB


def test_a_card_of_its_own_memory_that_does_not_tell_it_takes_none_of_the_hosts() -> None:
    lost = Topology.from_dict({**SPARK, "gpus": [{"index": 0, "name": "NVIDIA H100", "compute_capability": "9.0"}]})
    assert "does not tell the memory" in only_refusal(planned([service("a", gpus=[0])], lost)).reason


@pytest.mark.parametrize(("name", "works"), [("NVIDIA A40-48Q", True), ("NVIDIA A40-8C", True), ("GRID T4-2B", False)])
def test_a_virtual_gpu_is_told_from_one_without_cuda(name: str, works: bool) -> None:
    virtual = Topology.from_dict({"gpus": [{**gpus(48)[0], "name": name, "memory_used_bytes": 4 * GIB}]})
    plan = planned([service("a", QWEN3_1_7B, gpus=[0])], virtual)
    assert plan.fits == works
    assert plan.devices[0].used_by_others_bytes == 4 * GIB
    told = plan.notes if works else [refusal.reason for refusal in plan.refusals]
    assert any("virtual" in text for text in told)


def test_names_of_real_cards_are_not_taken_for_virtual_ones() -> None:
    for name in ("NVIDIA A100-SXM4-40GB", "Tesla V100-SXM2-16GB", "NVIDIA A100-PCIE-40GB", "NVIDIA H100 80GB HBM3"):
        (device,) = find_devices(Topology.from_dict({"gpus": [{**gpus(40)[0], "name": name}]}), "cuda")
        assert (device.problem, device.note) == (None, None)


def test_pairs_without_access_to_each_other_are_said_in_one_line() -> None:
    links = [
        {"a": a, "b": b, "level": "SYS" if b - a > 3 else "PHB", "p2p_read": "chipset_not_supported"}
        for a in range(8)
        for b in range(a + 1, 8)
    ]
    box = Topology.from_dict({"gpus": gpus(*[24] * 8), "links": links})
    layout = [service("a", QWEN3_32B, gpus=list(range(8))), service("b", QWEN3_1_7B, gpus=[0, 1], max_model_len=4096)]
    plan = planned(layout, box)
    apart = [text for text in plan.warnings if "cannot read each other's memory" in text]
    far = [text for text in plan.warnings if "(SYS)" in text]
    assert len(apart) == len(far) == 1
    assert apart[0].startswith("a, b: 28 pairs of GPUs (0-1, 0-2, 0-3, 0-4, 0-5, 0-6 and 22 more) cannot")
    assert "10 pairs of GPUs" in far[0]
