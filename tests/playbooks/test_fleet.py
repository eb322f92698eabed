# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of different makes: what playbooks/topology.yml finds groups them, and one layout fits each.

The hosts are this machine, each with another box behind the stand-in for the driver's library.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.tests.playbooks.command import ansible
from ansible_collections.llmops.inference.tests.tools.environments import ROOT
from ansible_collections.llmops.inference.tests.unit.nvml_box import BOXES, LIBRARIES, build_standin, read_box
from ansible_collections.llmops.inference.tests.unit.scene import QWEN3_8B, QWEN3_32B

FLEET = ROOT / "inventories" / "fleet"
HOSTS = {"gpu-a": "two-sockets-4", "gpu-b": "nvlink-pairs-8", "gpu-c": "reference"}
MODELS = {"Qwen3-32B": QWEN3_32B, "Qwen3-8B": QWEN3_8B}


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the facts of the playbook are cached, as its head says, after it has been run."""
    build_standin()
    directory = tmp_path_factory.mktemp("facts")
    environment = {
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(directory),
        "ANSIBLE_CACHE_PLUGIN_TIMEOUT": "0",
    }
    assert not [name for name in groups(environment) if name.startswith("gpu")], "nothing is known beforehand"
    for host, box in HOSTS.items():
        standin = {"LD_LIBRARY_PATH": str(LIBRARIES), "NVML_STANDIN_BOX": str(BOXES / f"{box}.box")}
        command = ["ansible-playbook", "-i", str(FLEET), "playbooks/topology.yml", "-c", "local", "--limit", host]
        command += ["-e", f"ansible_python_interpreter={sys.executable}"]
        ansible(*command, environment=environment | standin)
    return environment


def groups(environment: dict[str, str]) -> dict[str, list[str]]:
    listed = json.loads(ansible("ansible-inventory", "-i", str(FLEET), "--list", environment=environment))
    return {name: sorted(group.get("hosts", [])) for name, group in listed.items() if name not in {"_meta", "all"}}


def test_hosts_are_grouped_by_what_was_found(facts: dict[str, str]) -> None:
    found = groups(facts)
    assert found["vllm"] == ["gpu-a", "gpu-b", "gpu-c"]
    assert found["gpu_NVIDIA_L40S"] == found["gpu_memory_45_gib"] == found["gpus_4"] == ["gpu-a"]
    assert found["gpu_NVIDIA_A100_80GB_PCIe"] == found["gpus_8"] == found["gpu_nvlink"] == ["gpu-b"]
    assert found["gpu_NVIDIA_H100_PCIe"] == found["gpus_3"] == ["gpu-c"]
    assert found["gpu_memory_80_gib"] == ["gpu-b", "gpu-c"]
    assert "gpu_unfit" not in found or not found["gpu_unfit"]


def test_one_layout_fits_every_box(facts: dict[str, str], tmp_path: Path) -> None:
    geometries = {}
    for name, geometry in MODELS.items():
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(geometry), encoding="utf-8")
        geometries[f"/var/lib/vllm/models/{name}"] = str(file)
    for host, box in HOSTS.items():
        (tmp_path / f"{host}.json").write_text(json.dumps(read_box(BOXES / f"{box}.box").to_dict()), encoding="utf-8")
    variables = {
        "topology_file": f"{tmp_path}/{{{{ inventory_hostname }}}}.json",
        "geometry_files": geometries,
        "vllm_plan_html": "",
    }
    environment = facts | {"ANSIBLE_SHOW_CUSTOM_STATS": "true", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    command = ["ansible-playbook", "-i", str(FLEET), "playbooks/plan.yml", "-e", json.dumps(variables)]
    stats = ansible(*command, environment=environment).partition("CUSTOM STATS")[2]
    plans = json.loads(stats.partition("RUN: ")[2])["vllm_plans"]
    devices = {
        host: {service["name"]: service["devices"] for service in plan["services"]} for host, plan in plans.items()
    }
    assert {host: sorted(found) for host, found in devices.items()} == {
        "gpu-a": ["medium", "mini"],
        "gpu-b": ["medium", "medium-2", "mini"],
        "gpu-c": ["medium", "mini"],
    }
    assert all(plan["fits"] for plan in plans.values())


def test_a_fleet_that_nobody_has_looked_at_is_a_valid_inventory() -> None:
    assert set(groups({"ANSIBLE_CACHE_PLUGIN": "memory"})) == {"vllm"}


def play_site(tmp_path: Path, *options: str, status: int = 0) -> str:
    """Return what site.yml says for six hosts of which each serves the model mini; no task of it is run."""
    layout = [{"name": "mini", "model": "/models/mini", "port": 8002}]
    inventory = {"vllm": {"vars": {"vllm_services_layout": layout}, "hosts": dict.fromkeys("abcdef")}}
    file = tmp_path / "hosts.json"
    file.write_text(json.dumps(inventory), encoding="utf-8")
    return ansible("ansible-playbook", "-i", str(file), "site.yml", "--tags", "no-such-tag", *options, status=status)


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ([], 1),
        (["-e", "vllm_site_floor="], 1),
        (["-e", "vllm_site_floor=4"], 3),
        (["-e", "vllm_site_floor=4", "--limit", "a,b,c"], 2),
        (["-e", "vllm_site_floor=50%"], 2),
        (["-e", '{"vllm_site_floor": {"mini": 5}}'], 6),
        (["-e", "vllm_site_floor=5", "-e", "vllm_serial=3"], 2),
    ],
)
def test_a_floor_makes_the_batches_of_a_rolling_change(tmp_path: Path, options: list[str], batches: int) -> None:
    assert play_site(tmp_path, *options).count("PLAY [Serve the layout of every host]") == batches


def test_a_floor_that_would_keep_every_host_from_being_changed_is_refused(tmp_path: Path) -> None:
    said = play_site(tmp_path, "-e", "vllm_site_floor=6", status=4)
    assert "mini: 6 replicas, of which 6 must serve" in said
    assert "Serve the layout" not in said
