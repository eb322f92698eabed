# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts many engines in seconds each: ``vllm serve`` in forks of one process that has imported it once.

Run by the engine's own interpreter on a test host. Each engine is the real command with its real processes; what the
forks save is the half minute of imports. Reads a JSON object per line and answers each with one:
``{"start": [arguments of vllm serve], "log": path}`` -> ``{"pid": n}``, ``{"stop": pid}`` -> ``{"stopped": pid}``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

# Every process of an engine is forked from one that has its libraries loaded.
os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "fork")

import vllm.entrypoints.cli.main
import vllm.entrypoints.cli.serve
import vllm.model_executor.models.qwen3
import vllm.v1.engine.async_llm
import vllm.v1.engine.core
import vllm.v1.worker.cpu_worker


def start(arguments: list[str], log: str) -> int:
    """Fork an engine into a session of its own and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["vllm", "serve", *arguments]
    try:
        vllm.entrypoints.cli.main.main()
    finally:
        os._exit(0)


def stop(pid: int) -> None:
    """Kill an engine with everything that it started."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(pid):  # the session
            os.kill(int(entry.parent.name), signal.SIGKILL)
    os.waitpid(pid, 0)


def main() -> None:
    """Answer until the input ends."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            print(json.dumps({"pid": start(request["start"], request["log"])}), flush=True)
        else:
            stop(request["stop"])
            print(json.dumps({"stopped": request["stop"]}), flush=True)


if __name__ == "__main__":
    main()
