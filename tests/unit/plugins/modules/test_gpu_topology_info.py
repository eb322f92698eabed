# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module, run by Ansible as on a host, over the stand-in library."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.tests.unit.ad_hoc import run_module
from ansible_collections.llmops.inference.tests.unit.nvml_box import BOXES, build_standin

MODULE = "ansible_collections.llmops.inference.plugins.modules.gpu_topology_info"


@pytest.fixture(scope="session", autouse=True)
def _standin() -> None:
    build_standin()


def read(box: Path | None, *options: str) -> dict[str, Any]:
    return run_module("gpu_topology_info", box, *options)


def test_the_module_returns_the_box_and_changes_nothing() -> None:
    result = read(BOXES / "reference.box")
    topology = Topology.from_dict(result["topology"])
    assert result["changed"] is False
    assert [gpu.pci_bus_id for gpu in topology.gpus] == ["0000:17:00.0", "0000:18:00.0", "0000:65:00.0"]
    assert topology.link(0, 1).level == "PIX"
    assert topology.numa_nodes, "the kernel of this machine tells its NUMA nodes"
    assert "ansible_facts" not in result


def test_check_mode_reads_the_same() -> None:
    result = read(BOXES / "mig.box", "--check")
    assert [gpu["mig_enabled"] for gpu in result["topology"]["gpus"]] == [False, True]


def test_a_host_without_a_driver_is_no_failure() -> None:
    topology = read(None)["topology"]
    assert (topology["driver_loaded"], topology["gpus"]) == (False, [])
    assert "kernel driver is not loaded" in topology["problem"]


def documented(contains: dict[str, Any]) -> dict[str, Any]:
    return {key: documented(entry["contains"]) if "contains" in entry else None for key, entry in contains.items()}


def keys(value: Any) -> Any:
    if isinstance(value, list):
        return keys(value[0]) if value and isinstance(value[0], dict) else None
    return {key: keys(item) for key, item in value.items()} if isinstance(value, dict) else None


def test_every_returned_key_is_documented_and_every_documented_key_is_returned() -> None:
    returned = read(BOXES / "mig.box")["topology"]
    returned["gpus"] = returned["gpus"][1:]  # the one with a process
    module = importlib.import_module(MODULE)
    assert keys(returned) == documented(yaml.safe_load(module.RETURN)["topology"]["contains"])
