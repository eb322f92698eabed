# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._gpu.numa import parse_cpu_list, read_numa_nodes
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import NumaNode

KIB = 1024


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add_node(root: Path, number: int, total_kib: int, cpus: str, free_kib: int = 100) -> None:
    sizes = {
        "MemTotal": total_kib,
        "MemFree": free_kib,
        "MemUsed": total_kib - free_kib,
        "Active(file)": 20,
        "Inactive(file)": 3,
        "SReclaimable": 4,
        "AnonPages": 5000,
    }
    text = "".join(f"Node {number} {name}:  {size} kB\n" for name, size in sizes.items())
    write(root / f"node{number}" / "meminfo", text + f"Node {number} HugePages_Total:     0\n")
    write(root / f"node{number}" / "cpulist", cpus + "\n")


def read(host: Path) -> tuple[NumaNode, ...]:
    return read_numa_nodes(str(host / "nodes"), str(host / "cgroup"), str(host / "proc"))


def test_nodes_come_by_number_with_their_memory_in_bytes_and_their_cpus(tmp_path: Path) -> None:
    for number, cpus in ((10, "8"), (2, "4-7"), (0, "0-1,3")):
        add_node(tmp_path / "nodes", number, total_kib=8000, cpus=cpus)
    nodes = read(tmp_path)
    assert [(node.index, node.cpus) for node in nodes] == [(0, (0, 1, 3)), (2, (4, 5, 6, 7)), (10, (8,))]
    assert nodes[0].memory_total_bytes == 8000 * KIB


def test_caches_that_the_kernel_drops_count_as_free_as_they_do_in_the_engine(tmp_path: Path) -> None:
    add_node(tmp_path / "nodes", 0, total_kib=8000, cpus="0", free_kib=100)
    assert read(tmp_path)[0].memory_free_bytes == (100 + 20 + 3 + 4) * KIB


def test_a_node_without_cpus_is_a_node(tmp_path: Path) -> None:
    add_node(tmp_path / "nodes", 1, total_kib=8000, cpus="")
    assert read(tmp_path)[0].cpus == ()


def test_a_node_without_memory_is_left_out(tmp_path: Path) -> None:
    add_node(tmp_path / "nodes", 0, total_kib=8000, cpus="0")
    add_node(tmp_path / "nodes", 1, total_kib=0, cpus="1", free_kib=0)
    assert [node.index for node in read(tmp_path)] == [0]


def test_a_kernel_without_numa_is_one_node(tmp_path: Path) -> None:
    write(tmp_path / "proc/meminfo", "MemTotal: 4000 kB\nMemFree: 10 kB\nMemAvailable: 3000 kB\n")
    assert read(tmp_path) == (NumaNode(0, 4000 * KIB, 3000 * KIB, tuple(range(os.cpu_count() or 0))),)


def test_a_host_that_shows_nothing_has_no_node(tmp_path: Path) -> None:
    assert read(tmp_path) == ()


@pytest.mark.parametrize(
    ("limit_file", "usage_file"),
    [
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ],
)
def test_a_containers_memory_limit_takes_the_place_of_the_nodes_memory(
    tmp_path: Path, limit_file: str, usage_file: str
) -> None:
    add_node(tmp_path / "nodes", 0, total_kib=8000, cpus="0", free_kib=7000)
    write(tmp_path / "cgroup" / limit_file, f"{2000 * KIB}\n")
    write(tmp_path / "cgroup" / usage_file, f"{500 * KIB}\n")
    assert (read(tmp_path)[0].memory_total_bytes, read(tmp_path)[0].memory_free_bytes) == (
        2000 * KIB,
        1500 * KIB,
    )


@pytest.mark.parametrize("limit", ["max", str(9223372036854771712)])
def test_no_limit_is_no_limit(tmp_path: Path, limit: str) -> None:
    add_node(tmp_path / "nodes", 0, total_kib=8000, cpus="0")
    write(tmp_path / "cgroup/memory.max", limit)
    assert read(tmp_path)[0].memory_total_bytes == 8000 * KIB


def test_this_machine_has_a_node_with_cpus_and_memory() -> None:
    nodes = read_numa_nodes()
    assert sum(len(node.cpus) for node in nodes) >= 1
    assert all(0 < node.memory_free_bytes <= node.memory_total_bytes for node in nodes)


def test_a_cpu_list_may_be_empty_or_have_gaps() -> None:
    assert parse_cpu_list("\n") == ()
    assert parse_cpu_list("0-2,8,10-11\n") == (0, 1, 2, 8, 10, 11)
