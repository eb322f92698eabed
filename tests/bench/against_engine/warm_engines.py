# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts many engines in seconds each: ``vllm serve`` in forks of processes that have imported it once.

Run by the engine's own interpreter on a test host, as ``python -c "from ...warm_engines import main; main()"``. Each
engine is the real command with its real three processes. What the forks save is the imports, 10 s for each of the
three: the API server is forked from this process, the engine core and the worker, which the engine would spawn, from a
second one with the modules of a spawned process. So that memory is as if each had imported everything itself, a fork
at once makes a copy of every page that it shares and maps the files that its parent had mapped.

Reads a JSON object per line and answers each with one: ``{"start": [arguments of vllm], "log": path, "environment":
{...}, "cgroup": directory}`` -> ``{"pid": n}``; ``{"reap": n}`` -> ``{"reaped": n}`` once that process has ended.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
from array import array
from multiprocessing import context, forkserver, popen_forkserver
from pathlib import Path
from typing import Any, Optional

# What a spawned process of the engine has imported by the time it runs, the engine's command line included.
SPAWNED = (
    "vllm.entrypoints.cli.main",
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.worker.cpu_worker",
    "vllm.model_executor.models.qwen3",
)
SERVER = ("vllm.entrypoints.cli.main", "vllm.entrypoints.cli.serve", "vllm.entrypoints.openai.api_server")
LOG = "WARM_ENGINE_LOG"
PAGE = os.sysconf("SC_PAGE_SIZE")
MADV_POPULATE_READ, MADV_POPULATE_WRITE = 22, 23
PRESENT, OF_FILE = 1 << 63, 1 << 61  # bits of /proc/PID/pagemap


class OwnMemory:
    """Gives a fork pages of its own for all that its parent had in memory."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int, int]] = []  # address, bytes, advice
        self._madvise = ctypes.CDLL(None, use_errno=True).madvise
        self._madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        os.register_at_fork(before=self.note, after_in_child=self.take)

    def note(self) -> None:
        """Note what this process has in memory, before it forks."""
        self._ranges = []
        with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            for line in Path("/proc/self/maps").read_text().splitlines():
                span, permissions = line.split()[:2]
                start, end = (int(number, 16) for number in span.split("-"))
                if permissions.startswith("---") or start >= 1 << 47 or line.endswith(("[vvar]", "[vsyscall]")):
                    continue
                pages = array("Q", os.pread(pagemap.fileno(), (end - start) // PAGE * 8, start // PAGE * 8))
                self._add(start, pages, writes=permissions.startswith("rw-p"))

    def _add(self, start: int, pages: array[int], writes: bool) -> None:
        previous, first = 0, 0
        for number, page in enumerate([*pages, 0]):
            advice = 0
            if page & PRESENT:
                advice = MADV_POPULATE_WRITE if writes and not page & OF_FILE else MADV_POPULATE_READ
            if advice != previous:
                if previous:
                    self._ranges.append((start + first * PAGE, (number - first) * PAGE, previous))
                previous, first = advice, number

    def take(self) -> None:
        """Make it all this process's own; a page that is gone meanwhile is none to take."""
        for address, size, advice in self._ranges:
            self._madvise(address, size, advice)


class WarmPopen(popen_forkserver.Popen):
    """Forks the template where the engine would spawn."""

    def _launch(self, process_obj: Any) -> None:
        process_obj.environment = dict(os.environ)
        super()._launch(process_obj)  # type: ignore[misc]
        Path(own_cgroup(), "cgroup.procs").write_text(str(self.pid))


class WarmProcess(context.ForkServerProcess):
    """A process with the environment and the output that a spawned one would have inherited."""

    environment: dict[str, str]

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        return WarmPopen(process_obj)

    def _bootstrap(self, parent_sentinel: Optional[int] = None) -> int:
        os.environ.clear()
        os.environ.update(self.environment)
        write_to(self.environment[LOG])
        return int(super()._bootstrap(parent_sentinel))  # type: ignore[misc]


class WarmContext(context.ForkServerContext):
    Process = WarmProcess


def own_cgroup() -> str:
    """Return the directory of this process's control group."""
    return "/sys/fs/cgroup" + Path("/proc/self/cgroup").read_text().splitlines()[-1].split(":", 2)[2]


def write_to(log: str) -> None:
    """Let this process read nothing and write to the end of a file."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _is_running() -> None:
    """Say of the template that it runs; anyone who is forked from it is not its parent and cannot ask."""


def stay_with_the_template() -> None:
    """Fork what is spawned, in this process and those that come of it, from the one template there is."""
    context._concrete_contexts["spawn"] = WarmContext()  # type: ignore[attr-defined]
    forkserver._forkserver.ensure_running = _is_running  # type: ignore[method-assign]
    OwnMemory()


def start(request: dict[str, Any]) -> int:
    """Fork an engine into a session and a control group of its own and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    Path(request["cgroup"], "cgroup.procs").write_text("0")
    os.environ.update({**request["environment"], LOG: request["log"]})
    write_to(request["log"])
    sys.argv = ["vllm", *request["start"]]
    try:
        importlib.import_module("vllm.entrypoints.cli.main").main()
    finally:
        os._exit(0)


def main() -> None:
    """Import, then answer until the input ends."""
    forkserver.set_forkserver_preload([*SPAWNED, f"{__name__}_template"])
    forkserver.ensure_running()
    for name in SERVER:
        importlib.import_module(name)
    stay_with_the_template()
    os.environ[LOG] = os.devnull
    first = WarmContext().Process(target=os.getpid)
    first.start()  # answers when the template has imported all
    first.join()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            print(json.dumps({"pid": start(request)}), flush=True)
        else:
            os.waitpid(request["reap"], 0)
            print(json.dumps({"reaped": request["reap"]}), flush=True)
