# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NUMA nodes as the kernel shows them in sysfs, with the memory that the engine's CPU backend would count."""

from __future__ import annotations

import os
from pathlib import Path

from .topology import NumaNode

#: What the engine adds up to "available" on a node (vllm/utils/cpu_resource_utils.py,
#: ``get_memory_node_info``): pages that are free, and caches that the kernel drops when somebody needs the
#: memory.
AVAILABLE = ("MemFree", "Active(file)", "Inactive(file)", "SReclaimable")


def read_numa_nodes(
    root: str = "/sys/devices/system/node", cgroup: str = "/sys/fs/cgroup", proc: str = "/proc"
) -> tuple[NumaNode, ...]:
    """Return the NUMA nodes that have memory, by number; memory in bytes.

    A kernel without NUMA shows none: then the whole machine is node 0. Inside a container with a memory limit
    the limit takes the place of the node's memory, as it does in the engine.
    """
    nodes = sorted(Path(root).glob("node[0-9]*"), key=lambda path: int(path.name[4:]))
    found = [node for node in (_node(path, cgroup) for path in nodes) if node is not None]
    return tuple(found) or _whole_machine(Path(proc), cgroup)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Read the kernel's list format, ``0-3,8``, into ``(0, 1, 2, 3, 8)``; an empty text is an empty tuple."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        if part:
            first, _dash, last = part.partition("-")
            cpus.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(cpus))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None


def _meminfo(text: str) -> dict[str, int]:
    """Read lines like ``Node 0 MemFree: 6300692 kB`` or ``MemFree: 6300692 kB`` into bytes by name."""
    sizes = {}
    for line in text.splitlines():
        label, _colon, size = line.partition(":")
        words = size.split()
        if words and words[0].isdigit():
            sizes[label.split()[-1]] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return sizes


def _node(path: Path, cgroup: str) -> NumaNode | None:
    memory = _meminfo(_read(path / "meminfo") or "")
    if not memory.get("MemTotal"):
        return None
    available = sum(memory.get(name, 0) for name in AVAILABLE)
    total, free = _within_limit(memory["MemTotal"], available, Path(cgroup))
    return NumaNode(int(path.name[4:]), total, free, parse_cpu_list(_read(path / "cpulist") or ""))


def _whole_machine(proc: Path, cgroup: str) -> tuple[NumaNode, ...]:
    memory = _meminfo(_read(proc / "meminfo") or "")
    if not memory.get("MemTotal"):
        return ()
    available = memory.get("MemAvailable", memory.get("MemFree", 0))
    total, free = _within_limit(memory["MemTotal"], available, Path(cgroup))
    return (NumaNode(0, total, free, tuple(range(os.cpu_count() or 0))),)


def _within_limit(total: int, available: int, cgroup: Path) -> tuple[int, int]:
    """Lower both to the container's memory limit, if it has one; the outermost cgroup has no such file."""
    for limit_file, usage_file in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit, usage = (_read(cgroup / name) or "" for name in (limit_file, usage_file))
        if limit.strip().isdigit() and int(limit) < total:
            used = int(usage) if usage.strip().isdigit() else 0
            return int(limit), max(0, min(available, int(limit) - used))
    return total, available
