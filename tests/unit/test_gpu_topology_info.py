# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module, run by Ansible as on a host, over the stand-in library."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.inference.plugins.module_utils._topology import Topology
from ansible_collections.llmops.inference.tests.unit.nvml_box import BOXES, build_standin, environment

MODULE = "ansible_collections.llmops.inference.plugins.modules.gpu_topology_info"


@pytest.fixture(scope="session", autouse=True)
def _standin() -> None:
    build_standin()


def run_module(box: Path | None, *options: str) -> dict[str, Any]:
    """Run the module ad hoc on localhost and return its result."""
    collections = [path for path in sys.path if (Path(path) / "ansible_collections").is_dir()]
    env = environment(box) | {
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(collections),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    command = [str(Path(sys.executable).with_name("ansible")), "localhost", "-i", "localhost,", "-c", "local"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    command += ["-m", "llmops.inference.gpu_topology_info", *options]
    answer = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    result: dict[str, Any] = json.loads(answer.stdout[answer.stdout.index("{") :])
    return result


def test_the_module_returns_the_box_and_changes_nothing() -> None:
    result = run_module(BOXES / "reference.box")
    topology = Topology.from_dict(result["topology"])
    assert result["changed"] is False
    assert [gpu.pci_bus_id for gpu in topology.gpus] == ["0000:17:00.0", "0000:18:00.0", "0000:65:00.0"]
    assert topology.link(0, 1).level == "PIX"
    assert topology.numa_nodes, "the kernel of this machine tells its NUMA nodes"
    assert "ansible_facts" not in result


def test_check_mode_reads_the_same() -> None:
    result = run_module(BOXES / "mig.box", "--check")
    assert [gpu["mig_enabled"] for gpu in result["topology"]["gpus"]] == [False, True]


def test_a_host_without_a_driver_is_no_failure() -> None:
    topology = run_module(None)["topology"]
    assert (topology["driver_loaded"], topology["gpus"]) == (False, [])
    assert "kernel driver is not loaded" in topology["problem"]


def documented(contains: dict[str, Any]) -> dict[str, Any]:
    return {key: documented(entry["contains"]) if "contains" in entry else None for key, entry in contains.items()}


def keys(value: Any) -> Any:
    if isinstance(value, list):
        return keys(value[0]) if value and isinstance(value[0], dict) else None
    return {key: keys(item) for key, item in value.items()} if isinstance(value, dict) else None


def test_every_returned_key_is_documented_and_every_documented_key_is_returned() -> None:
    returned = run_module(BOXES / "mig.box")["topology"]
    returned["gpus"] = returned["gpus"][1:]  # the one with a process
    module = importlib.import_module(MODULE)
    assert keys(returned) == documented(yaml.safe_load(module.RETURN)["topology"]["contains"])
