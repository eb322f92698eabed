# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub of this process that answers as it is told to, well or badly."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """A server of this machine. ``files`` are a model's; ``odd`` answers instead where a path contains its key."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.odd: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.ranges = True
        self.asked: list[tuple[str, str | None]] = []
        self.sent = 0
        self.over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers["Authorization"]))
                for part, answer in server.odd.items():
                    if part in self.path:
                        answer(self)
                        return
                server.answer(self)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_arguments: None  # type: ignore[method-assign]  # a client may hang up
        self._server.block_on_close = False
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer as a hub does."""
        name = request.path.split("?")[0].rsplit("/", 1)[-1]
        if request.path.startswith("/api/"):
            siblings = [{"rfilename": name} for name in self.files]
            self.send(request, 200, json.dumps({"sha": "a" * 40, "siblings": siblings}).encode())
        elif name not in self.files:
            self.send(request, 404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            body, wanted = self.files[name], re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"] or "")
            if wanted and self.ranges:
                first, last = int(wanted[1]), min(int(wanted[2]), len(body) - 1)
                headers = {"Content-Range": f"bytes {first}-{last}/{len(body)}"}
                self.send(request, 206, body[first : last + 1], headers)
            else:
                self.send(request, 200, body)

    def send(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        request.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(body)
        self.sent += len(body)

    def status(self, status: int, code: str = "", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
        """Return what answers with that status."""
        return lambda request: self.send(request, status, b"", {"X-Error-Code": code, **headers})

    def says(self, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
        """Return what answers with that body."""
        return lambda request: self.send(request, 200, body, headers)

    def dribbles(self, start: bytes, more: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
        """Return what sends a start, and more of it for ever, a little at a time."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.close_connection = True
            try:
                request.wfile.write(start)
                while not self.over.wait(0.01):
                    request.wfile.write(more)
            except OSError:
                pass

        return answer
