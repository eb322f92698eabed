# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub of one directory: the few paths of the hub's HTTP interface that its downloader asks for.

Arguments: the directory of the models, the owner of their repositories, and the token that every request must carry.
A request without it is answered as the hub answers for a private repository.
"""

from __future__ import annotations

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
models, owner, token = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


class Hub(BaseHTTPRequestHandler):
    """Knows OWNER/NAME for every directory NAME, at one commit."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Bearer {token}":
            self.answer(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:3] == ["api", "models", owner]:
            files = sorted(path for path in (models / parts[3]).iterdir() if path.is_file())
            if parts[4] == "tree":
                entries = [{"type": "file", "path": path.name, "oid": path.name} for path in files]
            else:
                entries = [{"rfilename": path.name} for path in files]
            sized = [{**entry, "size": path.stat().st_size} for entry, path in zip(entries, files)]
            answer = sized if parts[4] == "tree" else {"id": f"{owner}/{parts[3]}", "sha": COMMIT, "siblings": sized}
            self.answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
        else:
            body = (models / parts[1] / parts[4]).read_bytes()
            self.answer(200, body, {"ETag": f'"{hashlib.sha1(body).hexdigest()}"'})

    do_HEAD = do_GET


ThreadingHTTPServer(("127.0.0.1", 8080), Hub).serve_forever()
