# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A GPU's memory as NVML tells it, followed while something starts."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Sequence
from typing import Any, Optional

MEMORY_V2 = 0x02000028  # nvmlMemory_v2: version 2, 40 bytes


def why_no_gpu() -> Optional[str]:
    """Return why nothing can be measured on this machine, or None where there is a GPU."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return "this Python has no nvidia-ml-py"
    try:
        nvml.nvmlInit()
        return None if nvml.nvmlDeviceGetCount() else "the driver finds no GPU"
    except nvml.NVMLError as error:
        return f"NVML does not start: {error}"


def count_gpus() -> int:
    """Return how many GPUs the driver has; only where ``why_no_gpu`` names no reason."""
    nvml: Any = importlib.import_module("pynvml")
    return int(nvml.nvmlDeviceGetCount())


class GpuMemory:
    """NVML kept open on one GPU: opening it for every question would disturb what is measured."""

    def __init__(self, index: int) -> None:
        self._nvml: Any = importlib.import_module("pynvml")
        self._nvml.nvmlInit()
        self._handle = self._nvml.nvmlDeviceGetHandleByIndex(index)

    def now(self) -> dict[str, int]:
        """Return total, reserved, used and free bytes."""
        memory = self._nvml.nvmlDeviceGetMemoryInfo(self._handle, MEMORY_V2)
        return {
            "total": memory.total,
            "reserved": memory.reserved,
            "used": memory.total - memory.reserved - memory.free,
            "free": memory.free,
        }

    def processes(self) -> dict[int, Optional[int]]:
        """Return the bytes that each process holds."""
        running = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        return {process.pid: process.usedGpuMemory for process in running}

    def held_by(self, pids: Sequence[int]) -> int:
        """Return the bytes that these processes hold together."""
        held = self.processes()
        return sum(held.get(pid) or 0 for pid in pids)

    def settle(self, limit: float = 15) -> dict[str, int]:
        """Wait until used memory has stood still for a second, and return it."""
        deadline = time.monotonic() + limit
        last = self.now()
        still_since = time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - still_since < 1:
            time.sleep(0.1)
            current = self.now()
            if current != last:
                last, still_since = current, time.monotonic()
        return last


class Follower:
    """Samples a GPU from a thread: the highest use of each process, and every change of the whole."""

    def __init__(self, memory: GpuMemory, interval: float = 0.1) -> None:
        self._memory = memory
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.peak_used = 0
        self.peak_by_pid: dict[int, int] = {}
        self.changes: list[tuple[float, int]] = []  # (seconds since the start, used bytes)

    def __enter__(self) -> Follower:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._stop.wait(self._interval):
            used = self._memory.now()["used"]
            self.peak_used = max(self.peak_used, used)
            if not self.changes or self.changes[-1][1] != used:
                self.changes.append((round(time.monotonic() - self._began, 2), used))
            for pid, held in self._memory.processes().items():
                self.peak_by_pid[pid] = max(self.peak_by_pid.get(pid, 0), held or 0)
