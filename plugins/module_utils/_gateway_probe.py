# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engines behind a gateway generate: found out here, asked for by HAProxy's agent checks.

An engine that generates for its clients is healthy, and is not bothered. One that does not is asked for a token of its
own. A token that does not come in time counts against it only when the engine has not moved meanwhile: one that works
through long prompts is busy, and taking a busy engine out would only bury the others.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import socketserver
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._errors import InferenceError
from ._health import Endpoint, generate

_METRICS_SECONDS = 2.0
_METRIC = re.compile(r"vllm:(generation_tokens_total|prompt_tokens_total|kv_cache_usage_perc)(?:\{.*\})? (\S+)$")
# The first file descriptor that systemd hands over.
_LISTENING_SOCKET = 3


@dataclass(frozen=True)
class Progress:
    """How far an engine has come: tokens counted since it started, and the fraction of its KV cache in use."""

    tokens: float
    kv_cache_usage: float

    def beyond(self, before: Progress | None) -> bool:
        """Whether the engine worked since ``before``; while it reads a long prompt, only its cache fills."""
        if before is None:
            return False
        filling = self.kv_cache_usage > 0 and self.kv_cache_usage != before.kv_cache_usage
        return self.tokens > before.tokens or (filling and self.tokens == before.tokens)


def parse_progress(text: str) -> Progress | None:
    """Read an engine's ``/metrics``; None where they are no engine's."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        metric = _METRIC.match(line)
        if metric:
            found[metric[1]] = found.get(metric[1], 0.0) + float(metric[2])
    if "generation_tokens_total" not in found:
        return None
    tokens = found["generation_tokens_total"] + found.get("prompt_tokens_total", 0.0)
    return Progress(tokens, found.get("kv_cache_usage_perc", 0.0))


@dataclass
class Verdict:
    """What is known of one engine; ``up`` is None until it is known."""

    most_misses: int
    up: bool | None = None
    misses: int = 0
    why: str = ""

    def take(self, problem: str | None) -> None:
        """Count one round; ``problem`` None: the engine generated."""
        self.misses = 0 if problem is None else self.misses + 1
        if problem is None:
            self.up, self.why = True, ""
        elif self.misses >= self.most_misses:
            self.up, self.why = False, problem

    def word(self) -> str:
        """The answer to an agent check; nothing leaves the server as it is."""
        if self.up is None:
            return "\n"
        return "up\n" if self.up else f"down#{self.why}\n"


@dataclass
class Watch:
    """Looks after one engine. Times are in seconds."""

    endpoint: Endpoint
    deadline: float
    verdict: Verdict
    last: Progress | None = field(default=None)

    def look(self) -> None:
        """Do one round, which takes at most about ``deadline``."""
        before = read_progress(self.endpoint)
        problem = None
        if before is None or not before.beyond(self.last):
            try:
                generate(self.endpoint, tokens=1, deadline=self.deadline)
            except InferenceError as error:
                after = read_progress(self.endpoint)
                problem = None if after is not None and after.beyond(before) else str(error)
                before = after
        self.last = before
        self.verdict.take(problem)


def read_progress(endpoint: Endpoint) -> Progress | None:
    """Ask an engine how far it is; None where it does not say."""
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=_METRICS_SECONDS)
    try:
        connection.request("GET", "/metrics")
        return parse_progress(connection.getresponse().read().decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _watch_forever(name: str, watch: Watch, interval: float) -> None:
    while True:
        known = watch.verdict.up
        try:
            watch.look()
        except Exception as error:  # one engine's strange answer must not end the watch over it
            watch.verdict.take(f"{type(error).__name__}: {error}")
        if watch.verdict.up != known:
            sys.stdout.write(f"{name} is {'up' if watch.verdict.up else f'down: {watch.verdict.why}'}\n")
            sys.stdout.flush()
        time.sleep(interval)


class _Answers(socketserver.StreamRequestHandler):
    """Answers agent checks, which send the name of a server on one line."""

    timeout = 5

    def handle(self) -> None:
        try:
            name = self.rfile.readline(1024).decode("utf-8", "replace").strip()
            watch = self.server.watches.get(name)  # type: ignore[attr-defined]
            self.wfile.write((watch.verdict.word() if watch else "\n").encode("ascii", "replace"))
        except OSError:
            return


class _Server(socketserver.ThreadingTCPServer):
    """Serves on the socket that systemd holds, so that nobody else of the host can while this is restarted."""

    daemon_threads = True

    def __init__(self, watches: dict[str, Watch]) -> None:
        super().__init__(("", 0), _Answers, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=_LISTENING_SOCKET)
        self.watches = watches


def watches_of(settings: dict[str, Any]) -> dict[str, Watch]:
    """One watch per server of the settings that the role writes, by its name."""
    return {
        target["server"]: Watch(
            Endpoint(target["host"], target["port"], target["model"], target["api_key"] or None),
            float(settings["deadline"]),
            Verdict(int(settings["misses"])),
        )
        for target in settings["targets"]
    }


def serve(path: str) -> None:
    """Watch the engines of a settings file and answer HAProxy, for ever."""
    settings = json.loads(Path(path).read_text(encoding="utf-8"))
    watches = watches_of(settings)
    for name, watch in watches.items():
        threading.Thread(target=_watch_forever, args=(name, watch, settings["interval"]), daemon=True).start()
    _Server(watches).serve_forever()
