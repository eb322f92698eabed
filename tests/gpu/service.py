# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One vLLM service for measuring: its command line, its process session, its HTTP interface."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

ENVIRONMENT = {
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_COLOR": "0",
    "VLLM_LOGGING_LEVEL": "DEBUG",  # the components of the profiling pass are told at this level only
}


@dataclass(frozen=True)
class Service:
    """What to start: ``flags`` are the engine's own, a dict is passed as JSON, True as a bare flag."""

    name: str
    model: str
    port: int
    flags: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, vllm: str, model: Path) -> list[str]:
        words = [vllm, "serve", str(model), "--port", str(self.port), "--served-model-name", self.name]
        for flag, value in self.flags.items():
            words.append(f"--{flag}")
            if value is not True:
                words.append(json.dumps(value) if isinstance(value, dict) else str(value))
        return words


class Running:
    """A started service; its processes form a session of their own, so that all of them can be ended."""

    def __init__(self, service: Service, vllm: str, model: Path, log: Path) -> None:
        self.service = service
        self.log = log
        self.command = service.command(vllm, model)
        self.started = time.monotonic()
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                self.command,
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT, **service.environment},
                start_new_session=True,
            )

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def exited(self) -> bool:
        return self.process.poll() is not None

    def healthy(self) -> bool:
        return self.get("/health") is not None

    def pids(self) -> list[int]:
        """Return the processes of this service that are still there, the session's number being the first's."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                words = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                state, session = words[0], words[3]
            except (OSError, ValueError):
                continue
            if int(session) == self.process.pid and state != "Z":
                found.append(int(stat.parent.name))
        return sorted(found)

    def stop(self, grace: float = 20) -> float:
        """Ask the main process to end, then end the session; return the seconds it took."""
        began = time.monotonic()
        if not self.exited():
            self.process.send_signal(signal.SIGTERM)
        while self.pids() and time.monotonic() - began < grace:
            self.process.poll()
            time.sleep(0.1)
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return time.monotonic() - began

    def get(self, path: str) -> Optional[str]:
        return self._ask("GET", path, None, timeout=5)

    def complete(self, prompt: Any, tokens: int, **options: Any) -> Optional[dict[str, Any]]:
        """Generate exactly ``tokens`` tokens; None where the service does not answer with 200."""
        body = {
            "model": self.service.name,
            "prompt": prompt,
            "max_tokens": tokens,
            "ignore_eos": True,
            **options,
        }
        answer = self._ask("POST", "/v1/completions", json.dumps(body), timeout=120)
        return None if answer is None else dict(json.loads(answer))

    def load(self, requests: int, prompt_tokens: int, tokens: int) -> dict[str, Any]:
        """Send that many requests at once, sampling with top-k and top-p, and return how they ended."""
        began = time.monotonic()

        def one(number: int) -> bool:
            prompt = [(number + i) % 256 for i in range(prompt_tokens)]
            return self.complete(prompt, tokens, temperature=1.0, top_k=50, top_p=0.9) is not None

        with concurrent.futures.ThreadPoolExecutor(requests) as pool:
            good = sum(pool.map(one, range(requests)))
        seconds = time.monotonic() - began
        return {"requests": requests, "answered": good, "seconds": round(seconds, 2)}

    def _ask(self, method: str, path: str, body: Optional[str], timeout: float) -> Optional[str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=timeout)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            return text if response.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
