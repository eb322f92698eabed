# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start vLLM services on a real GPU as ``scenarios.json`` says, and write down the memory they used.

It plans nothing: shares and lengths are those of the scenarios. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.tests.gpu import engine_log
from ansible_collections.llmops.inference.tests.gpu.gpu_memory import Follower, GpuMemory, why_no_gpu
from ansible_collections.llmops.inference.tests.gpu.model_files import write_model
from ansible_collections.llmops.inference.tests.gpu.service import Running, Service

START_LIMIT = 240  # seconds; a start that takes longer counts as failed
HERE = Path(__file__).parent


class Bench:
    """One scenario under way: the services that run, and the records of its steps."""

    def __init__(self, arguments: argparse.Namespace, name: str) -> None:
        self.memory = GpuMemory(0)
        self.arguments = arguments
        self.name = name
        self.running: dict[str, Running] = {}
        self.steps: list[dict[str, Any]] = []

    def run(self, steps: list[dict[str, Any]]) -> None:
        try:
            for step in steps:
                ((verb, what),) = step.items()
                if time.monotonic() > self.arguments.deadline:
                    self.steps.append({verb: what, "skipped": "no time left"})
                    continue
                getattr(self, f"do_{verb}")(what)
                self.save()
        finally:
            for name in list(self.running):
                self.do_stop(name)
            self.save()

    def save(self) -> None:
        path = self.arguments.out / f"{self.name}.json"
        path.write_text(json.dumps({"scenario": self.name, "steps": self.steps}, indent=1) + "\n")

    def do_start(self, what: dict[str, Any]) -> None:
        self.do_start_together([what])

    def do_start_together(self, many: list[dict[str, Any]]) -> None:
        """Start services at once, wait until each is ready or has ended, and record what each used."""
        before = self.memory.settle()
        waiting: list[tuple[Running, dict[str, Any]]] = []
        with Follower(self.memory) as follower:
            for what in map(self._with_flags, many):
                running = self._start(what)
                record: dict[str, Any] = {"start": what, "command": running.command, "before": before}
                waiting.append((running, record))
                self.steps.append(record)
            while any("outcome" not in record for _process, record in waiting):
                time.sleep(0.25)
                for running, record in waiting:
                    if "outcome" not in record:
                        self._look(running, record)
            after = self.memory.settle()
        by_pid = self.memory.processes()
        for running, record in waiting:
            record["nvml"] = {
                "after": after,
                "process_bytes": sum(by_pid.get(pid) or 0 for pid in running.pids()),
                "peak_used_bytes": follower.peak_used,
                "changes": follower.changes,
            }
            share = record["start"]["flags"]["gpu-memory-utilization"]
            record["exact"] = engine_log.exact_bytes(record["log"], share, total=before["total"] - before["reserved"])
            lines = engine_log.telling_lines(running.text())
            running.log.with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            self._report(record)

    def _with_flags(self, what: dict[str, Any]) -> dict[str, Any]:
        """Return the description of a service with every flag it gets, also those of all and of a named set."""
        content = self.arguments.content
        flags = {**content["defaults"], **content["sets"].get(what.get("set"), {}), **what["flags"]}
        return {**{key: value for key, value in what.items() if key != "set"}, "flags": flags}

    def _start(self, what: dict[str, Any]) -> Running:
        arguments = self.arguments
        service = Service(what["name"], what["model"], what["port"], what["flags"], what.get("environment", {}))
        log = arguments.out / f"{self.name}.{len(self.steps)}.{service.name}.log"
        running = Running(service, arguments.vllm, write_model(arguments.models, what["model"]), log)
        self.running[service.name] = running
        return running

    def _look(self, running: Running, record: dict[str, Any]) -> None:
        """Write the outcome into the record once there is one."""
        seconds = round(time.monotonic() - running.started, 1)
        if running.exited():
            told = engine_log.refusal(running.text())
            record["outcome"], record["message"] = told or ("other", running.text()[-2000:])
            record["exit_status"] = running.process.returncode
            self._end(running)
        elif running.healthy():
            record["outcome"] = "ready"
        elif seconds > START_LIMIT:
            record["outcome"] = "too slow"
            self._end(running)
        else:
            return
        record["seconds"] = seconds
        record["log"] = engine_log.numbers(running.text())
        if record["outcome"] == "ready":
            record["metrics"] = _metrics(running)
            record["first_completion"] = running.complete("The quick brown fox", 16, temperature=0) is not None

    def _end(self, running: Running) -> float:
        """End a service's processes; return the seconds that took."""
        self.running.pop(running.service.name, None)
        return running.stop()

    def do_stop(self, name: str) -> None:
        if name not in self.running:
            self.steps.append({"stop": name, "skipped": "it did not run"})
            return
        seconds = self._end(self.running[name])
        self.steps.append({"stop": name, "seconds": round(seconds, 1), "after": self.memory.settle()})

    def do_load(self, what: dict[str, Any]) -> None:
        """Load a service and record what its processes hold afterwards: torch keeps what it took."""
        running = self.running.get(what["name"])
        if running is None:
            self.steps.append({"load": what, "skipped": "it did not start"})
            return
        before = self.memory.processes()
        result = running.load(what["requests"], what["prompt_tokens"], what["tokens"])
        after = self.memory.processes()
        pids = running.pids()
        record = {
            "load": what,
            "result": result,
            "process_bytes_before": sum(before.get(pid) or 0 for pid in pids),
            "process_bytes_after": sum(after.get(pid) or 0 for pid in pids),
            "after": self.memory.now(),
            "alive": not running.exited(),
        }
        self.steps.append(record)
        print(json.dumps({**record, "after": None}), flush=True)

    def _report(self, record: dict[str, Any]) -> None:
        expected = record["start"].get("expect", "ready")
        verdict = "as expected" if record["outcome"] == expected else f"EXPECTED {expected}"
        used = record["nvml"]["after"]["used"] - record["before"]["used"]
        print(
            f"{self.name}: {record['start']['name']}: {record['outcome']} ({verdict}) in {record['seconds']} s; "
            f"{used / 2**30:.3f} GiB more in use; {json.dumps(record['log'])} "
            f"{record.get('message', '')[-600:]}",
            flush=True,
        )


def _metrics(running: Running) -> dict[str, Any]:
    """Return the engine's own account of its cache from its metrics."""
    text = running.get("/metrics") or ""
    line = re.search(r"^vllm:cache_config_info\{(.*)\}", text, re.M)
    labels = dict(re.findall(r'(\w+)="([^"]*)"', line.group(1))) if line else {}
    kept = ("block_size", "num_gpu_blocks", "gpu_memory_utilization", "cache_dtype")
    models = running.get("/v1/models")
    length = json.loads(models)["data"][0]["max_model_len"] if models else None
    return {**{name: labels[name] for name in kept if name in labels}, "max_model_len": length}


def main() -> int:
    """Run the scenarios that were named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*", help="names from the scenarios file; without one, all")
    parser.add_argument("--scenarios", type=Path, default=HERE / "scenarios.json")
    parser.add_argument("--vllm", default="vllm", help="the engine's program")
    parser.add_argument("--out", type=Path, required=True, help="directory for logs and numbers")
    parser.add_argument("--models", type=Path, default=Path("/var/tmp/models-without-weights"))
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which no step starts any more")
    arguments = parser.parse_args()
    reason = why_no_gpu()
    if reason:
        print(f"skipped: {reason}")
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    arguments.deadline = time.monotonic() + arguments.limit
    arguments.content = json.loads(arguments.scenarios.read_text(encoding="utf-8"))
    for name in arguments.scenario or arguments.content["scenarios"]:
        Bench(arguments, name).run(arguments.content["scenarios"][name]["steps"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
