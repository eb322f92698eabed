# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start vLLM services on a real GPU as ``scenarios.json`` says, and write down the memory they used.

It plans nothing: shares and lengths are those of the scenarios. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.tests.gpu import engine_log
from ansible_collections.llmops.inference.tests.gpu.gpu_memory import Follower, GpuMemory, count_gpus, why_no_gpu
from ansible_collections.llmops.inference.tests.gpu.model_files import write_model
from ansible_collections.llmops.inference.tests.gpu.service import Running, Service

START_LIMIT = 420  # seconds; a start that takes longer counts as failed
HERE = Path(__file__).parent


class Bench:
    """One scenario under way: the services that run, and the records of its steps."""

    def __init__(self, arguments: argparse.Namespace, name: str, gpus: int) -> None:
        self.memories = [GpuMemory(index) for index in range(gpus)]
        self.memory = self.memories[0]
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
        before = [memory.settle() for memory in self.memories]
        waiting: list[tuple[Running, dict[str, Any]]] = []
        with contextlib.ExitStack() as stack:
            followers = [stack.enter_context(Follower(memory)) for memory in self.memories]
            for what in map(self._with_flags, many):
                running = self._start(what)
                record: dict[str, Any] = {"start": what, "command": running.command, "before": before[0]}
                waiting.append((running, record))
                self.steps.append(record)
            while any("outcome" not in record for _process, record in waiting):
                time.sleep(0.25)
                for running, record in waiting:
                    if "outcome" not in record:
                        self._look(running, record)
            after = [memory.settle() for memory in self.memories]
        for running, record in waiting:
            seen = [
                {
                    "after": after[index],
                    "process_bytes": memory.held_by(running.pids()),
                    "peak_used_bytes": followers[index].peak_used,
                    "changes": followers[index].changes,
                }
                for index, memory in enumerate(self.memories)
            ]
            record["nvml"] = seen[0]
            if len(seen) > 1:
                record["nvml_per_gpu"] = [
                    {"before": old, **{key: value for key, value in new.items() if key != "changes"}}
                    for old, new in zip(before, seen)
                ]
            share = record["start"]["flags"]["gpu-memory-utilization"]
            total = before[0]["total"] - before[0]["reserved"]
            record["exact"] = engine_log.exact_bytes(record["log"], share, total)
            for told in record.get("log_per_rank", {}).values():
                told["exact"] = engine_log.exact_bytes(told, share, total)
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
        ranks = engine_log.per_rank(running.text())
        if ranks:
            record["log_per_rank"] = ranks
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
        with contextlib.ExitStack() as stack:
            followers = [stack.enter_context(Follower(memory, 0.02)) for memory in self.memories]
            seconds = self._end(self.running[name])
            after = [memory.settle() for memory in self.memories]
        record: dict[str, Any] = {"stop": name, "seconds": round(seconds, 1), "after": after[0]}
        record["free_after_seconds"] = max(follower.changes[-1][0] for follower in followers if follower.changes)
        if len(after) > 1:
            record["after_per_gpu"] = after
        self.steps.append(record)
        print(json.dumps({"scenario": self.name, **record}), flush=True)

    def do_load(self, what: dict[str, Any]) -> None:
        self.do_load_together([what])

    def do_load_together(self, many: list[dict[str, Any]]) -> None:
        """Load services at once and record what their processes hold afterwards: torch keeps what it took."""
        missing = [what["name"] for what in many if what["name"] not in self.running]
        if missing:
            self.steps += [{"load": what, "skipped": f"did not start: {', '.join(missing)}"} for what in many]
            return
        held = [self._held(what["name"]) for what in many]
        with contextlib.ExitStack() as stack:
            followers = [stack.enter_context(Follower(memory)) for memory in self.memories]
            with concurrent.futures.ThreadPoolExecutor(len(many)) as pool:
                results = list(pool.map(self._load, many))
        for what, before, result in zip(many, held, results):
            after, now = self._held(what["name"]), [memory.now() for memory in self.memories]
            record: dict[str, Any] = {
                "load": what,
                "result": result,
                "process_bytes_before": before[0],
                "process_bytes_after": after[0],
                "after": now[0],
                "alive": not self.running[what["name"]].exited(),
            }
            if len(self.memories) > 1:
                record["process_bytes_per_gpu"] = {"before": before, "after": after}
                record["after_per_gpu"] = now
                record["peak_used_bytes_per_gpu"] = [follower.peak_used for follower in followers]
            self.steps.append(record)
            print(json.dumps(record), flush=True)

    def _load(self, what: dict[str, Any]) -> dict[str, Any]:
        return self.running[what["name"]].load(what["requests"], what["prompt_tokens"], what["tokens"])

    def _held(self, name: str) -> list[int]:
        """Return the bytes that a service's processes hold on each GPU."""
        pids = self.running[name].pids()
        return [memory.held_by(pids) for memory in self.memories]

    def _report(self, record: dict[str, Any]) -> None:
        expected = record["start"].get("expect", "ready")
        verdict = "as expected" if record["outcome"] == expected else f"EXPECTED {expected}"
        used = record["nvml"]["after"]["used"] - record["before"]["used"]
        others = [gpu["after"]["used"] - gpu["before"]["used"] for gpu in record.get("nvml_per_gpu", [])[1:]]
        print(
            f"{self.name}: {record['start']['name']}: {record['outcome']} ({verdict}) in {record['seconds']} s; "
            f"{', '.join(f'{size / 2**30:.3f}' for size in (used, *others))} GiB more in use; "
            f"{json.dumps(record['log'])} {record.get('message', '')[-600:]}",
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
    found = count_gpus()
    arguments.out.mkdir(parents=True, exist_ok=True)
    arguments.deadline = time.monotonic() + arguments.limit
    arguments.content = json.loads(arguments.scenarios.read_text(encoding="utf-8"))
    for name in arguments.scenario or arguments.content["scenarios"]:
        scenario = arguments.content["scenarios"][name]
        gpus = scenario.get("gpus", 1)
        if gpus > found:
            print(f"{name}: skipped: it needs {gpus} GPUs, and there are {found}")
            continue
        Bench(arguments, name, gpus).run(scenario["steps"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
