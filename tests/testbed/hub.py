# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub of one directory: the few paths of the hub's HTTP interface that its downloader asks for.

Arguments: the directory of the models, the owner of their repositories, the token that every request must carry, and
a port of loopback, 8080 where none is given.  A request without the token is answered as the hub answers for a private
repository.  A file is sent whole, or the range of its bytes that is asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
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
        if parts[:3] == ["api", "models", owner] and len(parts) > 4:
            self.answer_list(models / parts[3], tree=parts[4] == "tree")
        elif len(parts) == 5 and parts[0] == owner and parts[2] == "resolve":
            self.answer_file(models / parts[1] / parts[4])
        else:
            self.refuse("RepoNotFound")

    def answer_list(self, directory: Path, tree: bool) -> None:
        """Send the names and sizes of a model's files."""
        if not directory.is_dir():
            self.refuse("RepoNotFound")
            return
        files = sorted(path for path in directory.iterdir() if path.is_file())
        if tree:
            entries = [{"type": "file", "path": path.name, "oid": path.name} for path in files]
        else:
            entries = [{"rfilename": path.name} for path in files]
        sized = [{**entry, "size": path.stat().st_size} for entry, path in zip(entries, files)]
        answer = sized if tree else {"id": f"{owner}/{directory.name}", "sha": COMMIT, "siblings": sized}
        self.answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def answer_file(self, path: Path) -> None:
        """Send a file, or the range of it that is asked for."""
        if not path.is_file():
            self.refuse("EntryNotFound")
            return
        body = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        if wanted is None:
            self.answer(200, body, headers)
            return
        first, last = int(wanted[1]), min(int(wanted[2] or len(body)), len(body) - 1)
        if first > last:
            self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        else:
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            self.answer(206, body[first : last + 1], headers)

    def refuse(self, code: str) -> None:
        """Say that there is no such model or no such file."""
        self.answer(404, b"", {"X-Error-Code": code, "X-Error-Message": code})

    do_HEAD = do_GET


ThreadingHTTPServer(("127.0.0.1", int((sys.argv[4:] or ["8080"])[0])), Hub).serve_forever()
