# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory of the devices that is neither free nor our services': what the plan must leave alone.

A plan must not follow from free memory while our own services run, or a second run would plan around the
first. Own processes are those whose control group is that of a ``vllm@NAME.service`` unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

OWN_UNIT = re.compile(r"/vllm@[^/]+\.service(/|$)", re.MULTILINE)


def own_pids(proc: str = "/proc") -> frozenset[int]:
    """Return the process ids that belong to our units; processes that end meanwhile are left out."""
    return _pids_in(OWN_UNIT, proc)


def unit_pids(service: str, proc: str = "/proc") -> frozenset[int]:
    """Return the process ids of one service of ours."""
    unit = re.compile(rf"/vllm@{re.escape(service)}\.service(/|$)", re.MULTILINE)
    return _pids_in(unit, proc)


def numbered(pids: Iterable[int], inside: Iterable[int], proc: str = "/proc") -> frozenset[int]:
    """Return those of the processes that have one of the numbers ``inside`` where they themselves are.

    In a container that is another number than on the host, and the one that its log reports.
    """
    wanted = frozenset(inside)
    return frozenset(pid for pid in pids if _own_number(pid, proc) in wanted)


def _own_number(pid: int, proc: str) -> int:
    found = re.search(r"^NSpid:.*?(\d+)$", _read(Path(proc) / str(pid) / "status"), re.MULTILINE)
    return int(found.group(1)) if found else pid


def resident_bytes(pids: Iterable[int], proc: str = "/proc") -> int:
    """Return the memory that the processes hold together, in bytes.

    Pages of files do not count: the kernel drops them when memory is needed, and the nodes have them as free.
    ``smaps_rollup`` divides shared pages among their users; where it may not be read, every process counts
    with its whole share of them.
    """
    total = 0
    for pid in pids:
        directory = Path(proc) / str(pid)
        sizes = {**_sizes(_read(directory / "status")), **_sizes(_read(directory / "smaps_rollup"))}
        for name in ("Anon", "Shmem"):
            total += sizes.get(f"Pss_{name}", sizes.get(f"Rss{name}", 0))
    return total


def _pids_in(unit: re.Pattern[str], proc: str) -> frozenset[int]:
    directories = Path(proc).glob("[0-9]*")
    return frozenset(int(directory.name) for directory in directories if unit.search(_read(directory / "cgroup")))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _sizes(text: str) -> Mapping[str, int]:
    """Read lines such as ``VmRSS:   912 kB`` into bytes."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)
    return {name: int(size) * 1024 for name, size in found}
