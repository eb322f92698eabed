# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks of plays share: what a command costs, on which machine, and where figures are kept."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "tests" / "bench" / "figures"
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds by the clock, seconds of CPU and the most memory of a process, in bytes.

    CPU and memory are those of the command and of all that it started here and waited for: the controller.
    """

    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    cost: Cost
    status: int
    output: str


def run(command: Sequence[str], variables: Mapping[str, str] | None = None) -> Ran:
    """Run a command in the checkout; what it says is kept."""
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", **(variables or {})}
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout
        output = process.stdout.read()
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    cost = Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
    return Ran(cost, process.returncode, output)


def succeed(command: Sequence[str], variables: Mapping[str, str] | None = None) -> Ran:
    """Run a command that has to succeed; what it said is shown where it does not."""
    ran = run(command, variables)
    if ran.status:
        raise SystemExit(f"{' '.join(command)} failed ({ran.status}):\n{ran.output}")
    return ran


def play(inventory: str, playbook: str, *options: str) -> Ran:
    """Run a playbook that has to succeed."""
    return succeed(["ansible-playbook", "--inventory", inventory, playbook, *options])


def median(costs: Sequence[Cost]) -> Cost:
    """Return the medians of each."""
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        max(cost.peak for cost in costs),
    )


def machine() -> str:
    """Return what was measured on, in words."""
    named = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    processor = named[0] if named else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores of {processor}, {memory:.0f} GiB, Linux {platform.release().partition('-')[0]}; "
        f"ansible-core {version('ansible-core')} on Python {platform.python_version()}"
    )


def keep(name: str, command: str, data: Mapping[str, Any], versions: str = "") -> None:
    """Keep the figures of a benchmark, with what they were measured on and the command that measures them."""
    FIGURES.mkdir(exist_ok=True)
    kept = {"command": command, "date": time.strftime("%Y-%m-%d"), "machine": machine(), "versions": versions, **data}
    (FIGURES / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
