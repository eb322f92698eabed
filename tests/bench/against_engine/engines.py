# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines on a test host, each in the control group that its unit would have, and what each start came to.

Two ways to start them: the command as a unit runs it, half a minute each, or in forks of ``warm_engines``, seconds.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._engine.api import generate, listening
from ansible_collections.llmops.inference.plugins.module_utils._engine.endpoint import Endpoint
from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import Engine
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._gpu.numa import read_numa_nodes
from ansible_collections.llmops.inference.plugins.module_utils._incidents.cause import cause

TIMEOUT_SECONDS = 240.0
_POLL_SECONDS = 0.02
_SAID_CHARACTERS = 300
_SETTLE_SECONDS = 0.5
_SETTLED_BYTES = 16 << 20
_QUIET_SECONDS = 20.0
_LISTED_BYTES = 160 << 20
_PASSED, _FAILED = "KV cache size: ", "ValueError: "
# What the deployment takes for the cause of a failed start, and the gate that it is.
GATES = {"memory_share_too_large": "gate 1", "no_room_for_kv_cache": "gate 2"}
STARTS = "starts"
CGROUPS = Path("/sys/fs/cgroup/system.slice")


@dataclass(frozen=True)
class Outcome:
    """What a start came to: ``starts`` or a gate, the engine's own words for it, its log, and the seconds it took."""

    verdict: str
    said: str
    log: list[str]
    seconds: float


class Running:
    """An engine that was started and what it writes."""

    def __init__(self, name: str, pid: int, log: Path, endpoint: Endpoint) -> None:
        self.name = name
        self.pid = pid
        self.endpoint = endpoint
        self._log = log
        self._started = time.monotonic()

    def wait(self, to_the_gates: bool = False) -> Outcome:
        """Wait until it has generated a token, or only until it has passed both gates, or has failed.

        Raises InferenceError for a start that did neither, or for another reason.
        """
        while time.monotonic() - self._started < TIMEOUT_SECONDS:
            ended = has_ended(self.pid)
            text = self._log.read_text(errors="replace") if self._log.exists() else ""
            if _PASSED in text:
                if to_the_gates:
                    return self._outcome(STARTS, "", text)
                if listening(self.endpoint):
                    generate(self.endpoint, tokens=1, deadline=60.0)
                    return self._outcome(STARTS, "", text)
            elif _FAILED in text or ended:
                incident = cause(text.splitlines())
                if incident.kind in GATES:
                    return self._outcome(GATES[incident.kind], incident.line, text)
            if ended:
                raise InferenceError(f"{self.name} died of something else: {cause(text.splitlines())}")
            time.sleep(_POLL_SECONDS if to_the_gates else 5 * _POLL_SECONDS)
        raise InferenceError(f"{self.name} was not ready within {TIMEOUT_SECONDS:.0f} s; see {self._log}")

    def _outcome(self, verdict: str, said: str, text: str) -> Outcome:
        return Outcome(verdict, said[:_SAID_CHARACTERS], text.splitlines(), time.monotonic() - self._started)


class Engines:
    """Starts and stops engines; ``warm``: in forks."""

    def __init__(self, engine: Engine, directory: Path, warm: bool) -> None:
        self._engine = engine
        self._directory = directory
        self._running: dict[str, Running] = {}
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._read_libraries()
        self._warm = self._start_warm() if warm else None

    def _read_libraries(self) -> None:
        """Have the engine's libraries in memory, as they are on a host where it has run.

        Pages of them that are not are not mapped either, and the share is charged with fewer.
        """
        for path in Path(self._engine.directory).rglob("*.so*"):
            path.read_bytes()

    def _start_warm(self) -> subprocess.Popen[str]:
        python = str(Path(self._engine.executable).parent / "python")
        warm_engines = f"{__name__.rpartition('.')[0]}.warm_engines"
        warm = subprocess.Popen(
            [python, "-c", f"from {warm_engines} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self._directory / "warm_engines.log").open("w"),
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        _answer(warm)
        return warm

    def start(self, name: str, config: Path, environment: Mapping[str, str], endpoint: Endpoint) -> Running:
        """Start an engine as its unit would; it is not ready then."""
        log = self._directory / f"{name}.log"
        log.unlink(missing_ok=True)
        cgroup = CGROUPS / f"vllm@{name}.service"
        cgroup.mkdir(exist_ok=True)
        for variable in ("HOME", "VLLM_CACHE_ROOT"):
            Path(environment[variable]).mkdir(parents=True, exist_ok=True)
        arguments = ["serve", "--config", str(config)]
        if self._warm is not None:
            request = {"start": arguments, "log": str(log), "environment": dict(environment), "cgroup": str(cgroup)}
            pid = int(_ask(self._warm, request)["pid"])
        else:
            into = f'echo $$ > {cgroup}/cgroup.procs && exec "$@"'
            with log.open("wb") as output:
                child = subprocess.Popen(
                    ["/bin/sh", "-c", into, "sh", self._engine.executable, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment},
                    start_new_session=True,
                )
            pid = child.pid
            self._children[pid] = child
        self._running[name] = Running(name, pid, log, endpoint)
        return self._running[name]

    def stop(self, name: str) -> None:
        """Kill an engine with everything that it started, and wait until all of it is gone."""
        running = self._running.pop(name)
        cgroup = CGROUPS / f"vllm@{name}.service"
        (cgroup / "cgroup.kill").write_text("1")
        if self._warm is not None:
            _ask(self._warm, {"reap": running.pid})
        else:
            self._children.pop(running.pid).wait()
        while (cgroup / "cgroup.procs").read_text():
            time.sleep(_POLL_SECONDS)
        _settle()

    def stop_all(self) -> None:
        """Stop every engine that runs."""
        for name in list(self._running):
            self.stop(name)

    def close(self) -> None:
        """Stop every engine and the processes that they are forked from."""
        self.stop_all()
        if self._warm is not None and self._warm.stdin is not None:
            self._warm.stdin.close()
            self._warm.wait()


def free_bytes() -> int:
    """Return what the engine and the planner take for free on the first NUMA node."""
    return read_numa_nodes()[0].memory_free_bytes


def _settle() -> None:
    """Wait until the memory of processes that have ended is free: the kernel takes its time."""
    before, now = 0, free_bytes()
    while now - before > _SETTLED_BYTES:
        time.sleep(_SETTLE_SECONDS)
        before, now = now, free_bytes()


def wait_until_quiet() -> None:
    """Wait until free memory stays as it is, and little of it lies in lists that the kernel does not call free.

    What a process gave back stays for seconds in lists of each CPU, which grow with it: from there it is handed out
    again, but neither the engine nor the planner finds it among what is free.
    """
    deadline = time.monotonic() + _QUIET_SECONDS
    before = free_bytes()
    while time.monotonic() < deadline:
        time.sleep(2 * _SETTLE_SECONDS)
        now = free_bytes()
        if abs(now - before) < 2 * _SETTLED_BYTES and _listed_bytes() < _LISTED_BYTES:
            return
        before = now


def _listed_bytes() -> int:
    """Return the bytes in the kernel's lists of free pages of each CPU."""
    counts = re.findall(r"^\s+count:\s+(\d+)$", Path("/proc/zoneinfo").read_text(), re.MULTILINE)
    return sum(int(count) for count in counts) * mmap.PAGESIZE


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits for somebody to ask what became of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _ask(process: subprocess.Popen[str], request: Mapping[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    return _answer(process)


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise InferenceError("the process that engines are forked from has ended; see warm_engines.log")
    return dict(json.loads(line))
