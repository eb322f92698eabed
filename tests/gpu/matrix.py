# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure many starts of the engine on one GPU: shares, lengths, sequences, batches, cache types.

``matrix.json`` lists the starts. Each is kept in the form of ``measure.py``, one file per start, as soon as it ends.
Engines run one at a time in forks of one process that has imported the engine (``engine_nursery.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.tests.gpu import engine_log
from ansible_collections.llmops.inference.tests.gpu.gpu_memory import Follower, GpuMemory, why_no_gpu
from ansible_collections.llmops.inference.tests.gpu.model_files import write_model
from ansible_collections.llmops.inference.tests.gpu.service import ENVIRONMENT

HERE = Path(__file__).parent
START_LIMIT, LOAD_LIMIT = 300, 120  # seconds
LOAD = {"requests": 256, "prompt_tokens": 200, "tokens": 64}


class Nursery:
    """The process that forks engines; a new one where an engine took it along."""

    def __init__(self, python: str, gpu: int) -> None:
        environment = {**os.environ, **ENVIRONMENT, "CUDA_VISIBLE_DEVICES": str(gpu)}
        self._process = subprocess.Popen(
            [python, str(HERE / "engine_nursery.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            start_new_session=True,
        )
        self._expect("ready")

    def _expect(self, word: str = "") -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = line.strip()
            if told == word or (not word and told.isdecimal()):
                return told
        raise ChildProcessError("the process that imports the engine has ended; its messages are above")

    def start(self, request: Path) -> int:
        """Start what a request describes; return its process, which is also its process session."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{request}\n")
        self._process.stdin.flush()
        return int(self._expect())

    def close(self) -> None:
        """End the process; its engine has ended before."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


class Matrix:
    """The starts of a list on one GPU, each kept in a file of its own."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._out: Path = arguments.out
        self._models: Path = arguments.models
        self._memory = GpuMemory(arguments.gpu)
        self._nursery = Nursery(arguments.python, arguments.gpu)

    def run(self, name: str, what: dict[str, Any]) -> None:
        """Start one engine, load it, end it, and keep what it used."""
        request = self._out / f"{name}.request"
        for old in self._out.glob(f"{name}.*"):  # answers of an earlier run
            old.unlink()
        request.write_text(
            json.dumps({"model": str(write_model(self._models, what["model"])), "flags": what["flags"]}),
            encoding="utf-8",
        )
        record: dict[str, Any] = {"start": {"name": what["model"], **what}, "before": self._memory.settle()}
        steps = [record]
        with Follower(self._memory) as follower:
            began = time.monotonic()
            pid = self._nursery.start(request)
            outcome = self._wait(request, ".ready", START_LIMIT)
            record["outcome"], record["seconds"] = outcome, round(time.monotonic() - began, 1)
            after = self._memory.settle()
        text = request.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
        if outcome == "ready":
            record["metrics"] = json.loads(request.with_suffix(".ready").read_text(encoding="utf-8"))
        else:
            record["outcome"], record["message"] = engine_log.refusal(text) or ("other", text[-1500:])
        record["log"] = engine_log.numbers(text)
        held = self._memory.held_by([pid])
        record["nvml"] = {"after": after, "process_bytes": held, "peak_used_bytes": follower.peak_used}
        total = record["before"]["total"] - record["before"]["reserved"]
        record["exact"] = engine_log.exact_bytes(record["log"], what["flags"]["gpu-memory-utilization"], total)
        if outcome == "ready" and what.get("load", True):
            steps.append(self._load(request, pid, what["model"], held))
        self._stop(request, pid)
        lines = engine_log.telling_lines(request.with_suffix(".log").read_text(encoding="utf-8", errors="replace"))
        (self._out / f"{name}.0.{what['model']}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        content = {"scenario": name, "steps": steps}
        (self._out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {record['outcome']} in {record['seconds']} s; {json.dumps(record['log'])}", flush=True)

    def _load(self, request: Path, pid: int, name: str, held: int) -> dict[str, Any]:
        request.with_suffix(".load").write_text(json.dumps(LOAD), encoding="utf-8")
        outcome = self._wait(request, ".loaded", LOAD_LIMIT)
        result = {"requests": LOAD["requests"], "answered": 0}
        if outcome == "ready":
            result = json.loads(request.with_suffix(".loaded").read_text(encoding="utf-8"))
        return {
            "load": {"name": name, **LOAD},
            "result": result,
            "process_bytes_before": held,
            "process_bytes_after": self._memory.held_by([pid]),
            "after": self._memory.now(),
            "alive": not request.with_suffix(".ended").exists(),
        }

    def _wait(self, request: Path, suffix: str, limit: float) -> str:
        """Wait for an answer: "ready", "ended", or "too slow"."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            if request.with_suffix(suffix).exists():
                return "ready"
            if request.with_suffix(".ended").exists():
                return "ended"
            time.sleep(0.05)
        return "too slow"

    def _stop(self, request: Path, pid: int) -> None:
        request.with_suffix(".stop").touch()
        if self._wait(request, ".ended", 20) == "too slow":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self._wait(request, ".ended", 10)
        self._memory.settle(5)

    def close(self) -> None:
        """End the process that forks."""
        self._nursery.close()


def main(arguments: list[str]) -> int:
    """Measure the starts of the list, or those named, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=Path("/tmp/measured-models"))
    parser.add_argument("--gpu", type=int, default=0, help="by PCI address")
    parser.add_argument("--python", default=sys.executable, help="of an environment with the engine")
    parser.add_argument("--limit", type=float, default=3600, help="seconds; no start begins after that")
    parser.add_argument("name", nargs="*", help="starts of matrix.json; without any, all of them")
    asked = parser.parse_args(arguments)
    content = json.loads((HERE / "matrix.json").read_text(encoding="utf-8"))
    starts: dict[str, Any] = content["starts"]
    unknown = sorted(set(asked.name) - set(starts))
    if unknown:
        parser.error(f"matrix.json has no start {', '.join(unknown)}; it has {', '.join(starts)}")
    reason = why_no_gpu()
    if reason:
        print(f"skipped: {reason}")
        return 0
    asked.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + asked.limit
    matrix = Matrix(asked)
    for name in asked.name or starts:
        if time.monotonic() > deadline:
            print(f"{name}: skipped: the {asked.limit:.0f} seconds of --limit are over")
            continue
        what = starts[name]
        flags = {**content["defaults"], **content["sets"].get(what.get("set"), {}), **what.get("flags", {})}
        matrix.run(name, {"model": what["model"], "port": 0, "flags": flags, "load": what.get("load", True)})
    matrix.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
