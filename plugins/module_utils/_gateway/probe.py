# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engines behind a gateway generate: found out here, asked for by HAProxy's agent checks.

An engine that generates for its clients is healthy, and is not bothered. One that does not is asked for a token of its
own. A token that does not come in time counts against it only when the engine has not moved meanwhile: one that works
through long prompts is busy, and taking a busy engine out would only bury the others.
"""

from __future__ import annotations

import json
import socket
import socketserver
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .._engine.api import generate, read_metrics
from .._engine.endpoint import Endpoint
from .._engine.metrics import Metrics, parse_metrics
from .._errors import InferenceError

_METRICS_SECONDS = 2.0
# The first file descriptor that systemd hands over.
_LISTENING_SOCKET = 3


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
        # HAProxy reads words: without the space the whole would be one that it does not know, and ignores.
        return "up\n" if self.up else f"down #{self.why}\n"


@dataclass
class Watch:
    """Looks after one engine. Times are in seconds."""

    endpoint: Endpoint
    deadline: float
    verdict: Verdict
    last: Metrics | None = None

    def look(self) -> None:
        """Do one round, which takes at most about ``deadline``."""
        before = self._read()
        problem = None
        if before is None or not before.worked_since(self.last):
            try:
                generate(self.endpoint, tokens=1, deadline=self.deadline)
            except InferenceError as error:
                after = self._read()
                problem = None if after is not None and after.worked_since(before) else str(error)
                before = after
        self.last = before
        self.verdict.take(problem)

    def _read(self) -> Metrics | None:
        return parse_metrics(read_metrics(self.endpoint, _METRICS_SECONDS))


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
            watch = cast(_Server, self.server).watches.get(name)
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


def serve_probe(path: str) -> None:
    """Watch the engines of a settings file and answer HAProxy, for ever."""
    settings = json.loads(Path(path).read_text(encoding="utf-8"))
    watches = watches_of(settings)
    for name, watch in watches.items():
        threading.Thread(target=_watch_forever, args=(name, watch, settings["interval"]), daemon=True).start()
    _Server(watches).serve_forever()
