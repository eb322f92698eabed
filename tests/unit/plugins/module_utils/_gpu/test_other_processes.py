# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that is neither free nor ours, from a process tree on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._deploy.inputs import read_used_by_others
from ansible_collections.llmops.inference.plugins.module_utils._gpu.other_processes import (
    numbered,
    own_pids,
    resident_bytes,
)
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import (
    Topology,
    gpu_used_by_others,
    node_used_by_others,
)
from ansible_collections.llmops.inference.tests.unit.scene import GIB, gpus, node

OURS = "0::/system.slice/system-vllm.slice/vllm@mini.service\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Three processes: ours, another unit's, and one that ends while it is read."""
    for pid, cgroup in ((10, OURS), (11, "0::/system.slice/vllm-exporter.service\n"), (12, None)):
        directory = tmp_path / str(pid)
        directory.mkdir()
        if cgroup is not None:
            (directory / "cgroup").write_text(cgroup)
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\n")
    return tmp_path


def test_our_processes_are_those_of_our_units(proc: Path) -> None:
    assert own_pids(str(proc)) == {10}


def test_a_process_in_a_container_is_known_by_the_number_that_its_log_tells(tmp_path: Path) -> None:
    for pid, status in ((1300, "Name:\tVLLM\nNSpid:\t1300\t41\n"), (41, "NSpid:\t41\n"), (7, "Name:\tgone\n")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(status)
    assert numbered({1300, 7}, {41}, str(tmp_path)) == {1300}
    assert numbered({1300, 41, 7}, {41, 7}, str(tmp_path)) == {1300, 41, 7}


@pytest.mark.parametrize(
    ("cgroup", "ours"),
    [
        ("0::/system.slice/vllm@mini.service/worker\n", True),
        ("12:memory:/x\n1:name=systemd:/system.slice/vllm@a-b_c.1.service\n", True),
        ("0::/system.slice/not-vllm@mini.service\n", False),
        ("0::/user.slice/vllm@mini.service.d\n", False),
    ],
)
def test_a_control_group_tells_whose_a_process_is(tmp_path: Path, cgroup: str, ours: bool) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(cgroup)
    assert own_pids(str(tmp_path)) == ({7} if ours else set())


def test_pages_of_files_are_not_memory_held(proc: Path) -> None:
    (proc / "10" / "status").write_text("VmRSS:\t 900 kB\nRssAnon:\t 300 kB\nRssFile:\t 500 kB\nRssShmem:\t 100 kB\n")
    assert resident_bytes([10], str(proc)) == 400 * 1024


def test_shared_pages_are_divided_where_the_kernel_tells(proc: Path) -> None:
    (proc / "10" / "status").write_text("RssAnon:\t 300 kB\nRssShmem:\t 100 kB\n")
    (proc / "10" / "smaps_rollup").write_text("Pss:  350 kB\nPss_Anon:  200 kB\nPss_File:  100 kB\nPss_Shmem:  50 kB\n")
    assert resident_bytes([10, 12], str(proc)) == 250 * 1024


def gpu_box(*processes: tuple[int, int | None], used: int) -> Topology:
    held = [{"pid": pid, "used_bytes": size} for pid, size in processes]
    return Topology.from_dict({"gpus": gpus(80, memory_used_bytes=used, processes=held)})


def test_what_our_processes_hold_is_not_others() -> None:
    assert gpu_used_by_others(gpu_box((10, 7 * GIB), (11, GIB), used=9 * GIB), {10}) == {0: 2 * GIB}


def test_without_our_processes_all_that_is_used_is_others() -> None:
    assert gpu_used_by_others(gpu_box((10, 7 * GIB), used=9 * GIB), ()) == {0: 9 * GIB}


def test_where_the_driver_does_not_tell_what_ours_hold_the_rest_is_ours() -> None:
    assert gpu_used_by_others(gpu_box((10, None), (11, GIB), used=9 * GIB), {10}) == {0: GIB}


def test_a_node_in_use_is_used_by_others_but_for_ours() -> None:
    assert node_used_by_others(node(24, 10), 6 * GIB) == {0: 8 * GIB}


def test_the_survey_names_devices_as_the_plan_does(proc: Path) -> None:
    (proc / "10" / "status").write_text(f"RssAnon:\t {2 * GIB // 1024} kB\n")
    assert read_used_by_others(node(24, 10), "cpu", str(proc)) == {"numa:0": 12 * GIB}
    topology = gpu_box((10, 7 * GIB), used=9 * GIB)
    assert read_used_by_others(topology, "cuda", str(proc)) == {"GPU-00000000": 2 * GIB}
