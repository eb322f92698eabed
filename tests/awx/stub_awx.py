# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of AWX's API as the modules of awx.awx need: objects in memory, made, found, changed and linked.

It is no AWX: it validates nothing, runs nothing, and its answers have the fields that the modules read. It shows what
our playbook asks of an AWX, and whether a second run asks for anything.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ROOT = "/api/v2/"
ENCRYPTED = "$encrypted$"
SECRET_INPUTS = ("ssh_key_data", "api_key", "token")
# Where an object says by an id what it belongs to: the collection of that, for filters such as organization__name.
PARENTS = {
    "organization": "organizations",
    "inventory": "inventories",
    "workflow_job_template": "workflow_job_templates",
    "credential_type": "credential_types",
}
TYPES = {
    "job_templates": "job_template",
    "workflow_job_templates": "workflow_job_template",
    "workflow_job_template_nodes": "workflow_job_template_node",
    "workflow_approval_templates": "workflow_approval_template",
}


class StubAwx:
    """The objects by collection and id, and every request that changed something."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[int, dict[str, Any]]] = {}
        self.links: dict[tuple[str, int, str], list[int]] = {}
        self.surveys: dict[tuple[str, int], dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, Any]] = {}  # of credentials, by name
        self.sync_fails = False
        self.writes: list[str] = []
        self._count = 0
        self.make("credential_types", {"name": "Machine"})
        self.make("credentials", {"name": "Ansible Galaxy"})
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

            def answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                data = json.loads(self.rfile.read(size) or b"{}")
                status, body = stub.respond(self.command, self.path, data)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content) if status != 204 else 0))
                self.end_headers()
                if status != 204:
                    self.wfile.write(content)

            do_GET = do_POST = do_PATCH = answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._lock = threading.Lock()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def make(self, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        """Make an object, as a request does."""
        self._count += 1
        made = {**values, "id": self._count, "url": f"{ROOT}{kind}/{self._count}/", "type": TYPES.get(kind, kind)}
        made["related"] = {"survey_spec": f"{made['url']}survey_spec/", "update": f"{made['url']}update/"}
        made["summary_fields"] = {}
        self.objects.setdefault(kind, {})[self._count] = made
        if kind == "projects":
            made.update(scm_revision="", status="never updated")
            self._sync(made)
        if kind == "inventory_sources":
            made["status"] = "never updated"
        self._keep_secrets(kind, made)
        return made

    def named(self, kind: str, name: str, field: str = "name") -> dict[str, Any]:
        """Return the one object of that name."""
        (found,) = [item for item in self.objects[kind].values() if item.get(field) == name]
        return found

    def survey_of(self, kind: str, name: str) -> dict[str, Any]:
        return self.surveys[kind, self.named(kind, name)["id"]]

    def followers(self, identifier: str, link: str) -> list[str]:
        """Return the identifiers of the nodes that follow on one."""
        kind = "workflow_job_template_nodes"
        node = self.named(kind, identifier, "identifier")
        return [self.objects[kind][number]["identifier"] for number in self.links.get((kind, node["id"], link), [])]

    def _sync(self, made: dict[str, Any]) -> dict[str, Any]:
        made["status"] = "failed" if self.sync_fails else "successful"
        update = {"status": made["status"], "scm_revision": "1"}
        self._count += 1
        update.update(
            id=self._count, url=f"{ROOT}project_updates/{self._count}/", finished="now", failed=self.sync_fails
        )
        self.objects.setdefault("project_updates", {})[self._count] = update
        made["summary_fields"] = {"current_update": {"id": self._count}}
        return update

    def _keep_secrets(self, kind: str, made: dict[str, Any]) -> None:
        if kind != "credentials":
            return
        for name in SECRET_INPUTS:
            if made.get("inputs", {}).get(name, ENCRYPTED) != ENCRYPTED:
                self.secrets[made["name"]] = dict(made["inputs"])
        made["inputs"] = {
            name: ENCRYPTED if name in SECRET_INPUTS else value for name, value in made.get("inputs", {}).items()
        }

    def respond(self, method: str, target: str, data: dict[str, Any]) -> tuple[int, Any]:
        with self._lock:
            address = urlsplit(target)
            kind, *rest = address.path.removeprefix(ROOT).strip("/").split("/")
            if method != "GET":
                self.writes.append(f"{method} {address.path}")
            if not rest:
                if method == "POST":
                    return 201, self.make(kind, data)
                found = self._found(kind, dict(parse_qsl(address.query)))
                return 200, {"count": len(found), "results": found, "next": None}
            item = self.objects.get(kind, {}).get(int(rest[0]))
            if item is None:
                return 404, {"detail": "Not found."}
            return self._of_object(method, kind, item, rest[1] if rest[1:] else None, data)

    def _found(self, kind: str, query: dict[str, str]) -> list[dict[str, Any]]:
        kinds = ["job_templates", "workflow_job_templates"] if kind == "unified_job_templates" else [kind]
        items = [item for one in kinds for item in self.objects.get(one, {}).values()]
        return [item for item in items if all(self._fits(item, key, value) for key, value in query.items())]

    def _fits(self, item: dict[str, Any], key: str, value: str) -> bool:
        if key in ("page_size", "type"):
            return True
        field, _separator, of_parent = key.partition("__")
        if not of_parent:
            return str(item.get(field)) == value
        parent = self.objects.get(PARENTS[field], {}).get(int(item.get(field, 0)), {})
        return str(parent.get(of_parent)) == value

    def _of_object(
        self, method: str, kind: str, item: dict[str, Any], part: str | None, data: dict[str, Any]
    ) -> tuple[int, Any]:
        if part is None:
            if method == "PATCH":
                item.update(data)
                self._keep_secrets(kind, item)
            return 200, item
        if part == "survey_spec":
            if method == "POST":
                self.surveys[kind, item["id"]] = data
            return 200, self.surveys.get((kind, item["id"]), {})
        if part == "create_approval_template":
            made = self.make("workflow_approval_templates", data)
            item["related"]["unified_job_template"] = made["url"]
            return 201, made
        if part == "update":
            return 202, self._read(item) if kind == "inventory_sources" else self._sync(item)
        return self._of_links(method, (kind, item["id"], part), data)

    @staticmethod
    def _read(source: dict[str, Any]) -> dict[str, Any]:
        source.update(status="successful", finished="now", failed=False)
        return {"status": "successful", "id": 1, "url": source["url"], "finished": "now", "failed": False}

    def _of_links(self, method: str, place: tuple[str, int, str], data: dict[str, Any]) -> tuple[int, Any]:
        linked = self.links.setdefault(place, [])
        if method == "GET":
            return 200, {"count": len(linked), "results": [{"id": number} for number in linked], "next": None}
        (linked.remove if data.get("disassociate") else linked.append)(data["id"])
        return 204, {}
