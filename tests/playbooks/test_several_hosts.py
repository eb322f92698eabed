# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks over hosts that run a service together: what each plans, what is refused, and which are in one batch."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.tests.playbooks.command import ansible
from ansible_collections.llmops.inference.tests.tools.environments import ROOT
from ansible_collections.llmops.inference.tests.unit.scene import QWEN3_8B, QWEN3_32B

BOX = ROOT / "tests" / "gpu" / "topologies" / "h100-80gb.json"
LARGE: dict[str, Any] = {
    "name": "large",
    "hosts": ["b", "d"],
    "model": "/models/Qwen3-32B",
    "port": 8001,
    "pipeline_parallel_size": 2,
    "max_model_len": 8192,
}
MINI: dict[str, Any] = {"name": "mini", "hosts": ["a"], "model": "/models/Qwen3-8B", "port": 8002}


def inventory(tmp_path: Path, large: dict[str, Any] | None = None) -> str:
    """Five hosts in a row, of which b and d run one service and a another."""
    hosts = {
        host: {"vllm_services_interconnect_address": f"10.0.0.{number}"} for number, host in enumerate("abcde", start=1)
    }
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "vllm_services_layout": [large or LARGE, MINI],
    }
    file = tmp_path / "hosts.json"
    file.write_text(json.dumps({"vllm": {"hosts": hosts, "vars": variables}}), encoding="utf-8")
    return str(file)


def plan(tmp_path: Path, status: int = 0, **large: Any) -> str:
    files = {"large": tmp_path / "32b.json", "mini": tmp_path / "8b.json"}
    files["large"].write_text(json.dumps({**QWEN3_32B, "architectures": [QWEN3_32B["architecture"]]}))
    files["mini"].write_text(json.dumps({**QWEN3_8B, "architectures": [QWEN3_8B["architecture"]]}))
    variables = {"topology_file": str(BOX), "vllm_plan_html": "", "geometry_files": files}
    options = ["-e", json.dumps(variables, default=str)]
    said = ansible(
        "ansible-playbook",
        "-i",
        inventory(tmp_path, {**LARGE, **large}),
        "playbooks/plan.yml",
        *options,
        environment={"ANSIBLE_CALLBACK_FORMAT_PRETTY": "0"},
        status=status,
    )
    return " ".join(said.split())


def test_each_host_plans_its_part_and_no_other(tmp_path: Path) -> None:
    said = plan(tmp_path)
    for host in "bd":
        assert re.search(rf"ok: \[{host}\] => msg: .*? large 0 [\d.]+ 8192 \d+ 30\.5[12] GiB", said), (
            "half of 61.03 GiB"
        )
    assert len(re.findall(r"- large ", said)) == 2
    assert len(re.findall(r"- mini ", said)) == 1


def test_a_host_that_the_inventory_does_not_have_is_refused_before_anything_is_asked_of_any(tmp_path: Path) -> None:
    assert "hosts names gpu9, and the inventory has no such host." in plan(tmp_path, 2, hosts=["b", "gpu9"])


@pytest.mark.parametrize(
    ("playbook", "play", "options", "batches"),
    [
        ("site.yml", "Serve the layout of every host", ["-e", "vllm_serial=1"], 3),
        ("site.yml", "Serve the layout of every host", ["-e", "vllm_serial=1", "--limit", "b,c,d"], 1),
        ("site.yml", "Serve the layout of every host", ["-e", "vllm_serial=4"], 2),
        ("site.yml", "Serve the layout of every host", [], 1),
        ("playbooks/rollback.yml", "Return every host to a generation that it keeps", [], 3),
    ],
)
def test_hosts_of_one_service_are_in_one_batch(
    tmp_path: Path, playbook: str, play: str, options: list[str], batches: int
) -> None:
    said = ansible("ansible-playbook", "-i", inventory(tmp_path), playbook, "--tags", "no-such-tag", *options)
    assert said.count(f"PLAY [{play}]") == batches
