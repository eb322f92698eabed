# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a service really slower, until SIGTERM: of every tenth of a second, its processes stand still for a part.

It is what the kernel does to a unit with CPUQuota=, which test hosts cannot have where they get no cpu controller.
Arguments: the service, and the part of the time that it stands still. Work that took 1 second takes 1 / (1 - part).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

PERIOD_SECONDS = 0.1


def processes(service: str) -> list[int]:
    """Return the process ids of a service."""
    own = f"/vllm@{service}.service"
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (directory / "cgroup").read_text(encoding="utf-8").strip().endswith(own):
                found.append(int(directory.name))
    return found


def send(number: int, pids: list[int]) -> None:
    """Send a signal to those that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def main() -> None:
    """Slow the service down."""
    service, part = sys.argv[1], float(sys.argv[2])
    pids = processes(service)
    ending = False

    def end(number: int, frame: object) -> None:
        nonlocal ending
        ending = True

    signal.signal(signal.SIGTERM, end)
    while not ending:
        send(signal.SIGSTOP, pids)
        time.sleep(part * PERIOD_SECONDS)
        send(signal.SIGCONT, pids)
        time.sleep((1 - part) * PERIOD_SECONDS)


if __name__ == "__main__":
    main()
