# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay against servers that are no engines; real ones are scraped through it in the scenario monitoring."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._monitoring import relay as metrics_relay
from ansible_collections.llmops.inference.plugins.module_utils._monitoring.relay import Relay, RelaySettings
from ansible_collections.llmops.inference.plugins.module_utils._places import Paths
from ansible_collections.llmops.inference.plugins.module_utils._service.ticket import Ticket

METRICS = 'vllm:generation_tokens_total{engine="0"} 42.0\n'


class Engine(BaseHTTPRequestHandler):
    """Answers every path, as an engine would complete anything; it remembers which."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        self.send_response(200)
        self.send_header("Content-Length", str(len(METRICS)))
        self.end_headers()
        self.wfile.write(METRICS.encode())

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def running(server: object) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, daemon=True).start()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        server.shutdown()  # type: ignore[attr-defined]
        server.server_close()  # type: ignore[attr-defined]


@pytest.fixture
def engine() -> Iterator[HTTPServer]:
    Engine.asked = []
    server = HTTPServer(("127.0.0.1", 0), Engine)
    with running(server):
        yield server


def generation(root: Path, number: int, **ports: int) -> None:
    """Activate a generation with these services."""
    for name, port in ports.items():
        directory = root / "generations" / str(number) / "services" / name
        directory.mkdir(parents=True)
        ticket = Ticket(name, f"Qwen/{name}", "127.0.0.1", port, {}, 60, 0, "digest")
        (directory / "guard.json").write_text(ticket.to_json())
    link = root / "current"
    link.unlink(missing_ok=True)
    link.symlink_to(root / "generations" / str(number))


def relay(root: Path, allow_from: tuple[str, ...] = (), gpu_exporter_port: int | None = None) -> Relay:
    values = {"address": "127.0.0.1", "port": 0, "allow_from": allow_from, "gpu_exporter_port": gpu_exporter_port}
    return Relay(RelaySettings.from_dict(values), Paths(config_root=str(root)), root / "host.prom")


def test_an_engines_metrics_are_passed_on_as_they_are(tmp_path: Path, engine: HTTPServer) -> None:
    generation(tmp_path, 1, mini=engine.server_port)
    answer = relay(tmp_path).answer("/engines/mini")
    assert (answer.status, answer.body) == (200, METRICS)
    assert Engine.asked == ["GET /metrics"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/invocations",
        "/engines/",
        "/engines/mini/../../invocations",
        "/engines/mini/invocations",
        "/engines/other",
        "/gpus",
        "/targets/",
        "//metrics",
        "/engines/..%2f..%2finvocations",
        "/v1/models",
    ],
)
def test_nothing_but_metrics_is_asked_of_an_engine(tmp_path: Path, engine: HTTPServer, path: str) -> None:
    generation(tmp_path, 1, mini=engine.server_port)
    assert relay(tmp_path).answer(path).status == 404
    assert Engine.asked == []


def test_what_does_not_answer_is_a_failed_scrape(tmp_path: Path) -> None:
    generation(tmp_path, 1, mini=9)
    assert relay(tmp_path).answer("/engines/mini").status == 502
    assert relay(tmp_path, gpu_exporter_port=9).answer("/gpus").status == 502
    assert relay(tmp_path).answer("/metrics").status == 503


def test_targets_follow_the_generation_in_force(tmp_path: Path) -> None:
    found = relay(tmp_path)
    assert json.loads(found.answer("/targets").body) == [], "nothing is deployed"
    generation(tmp_path, 1, mini=8002, micro=8003)
    generation(tmp_path, 2, mini=8002)
    assert [target["labels"]["service"] for target in json.loads(found.answer("/targets?host=a").body)] == ["mini"]
    generation(tmp_path, 3, large=8001)
    (target,) = json.loads(found.answer("/targets").body)
    assert target["labels"] == {"__metrics_path__": "/engines/large", "service": "large", "model": "Qwen/large"}


def test_an_exporter_of_gpus_is_a_target_where_there_is_one(tmp_path: Path, engine: HTTPServer) -> None:
    found = relay(tmp_path, gpu_exporter_port=engine.server_port)
    assert [target["labels"] for target in json.loads(found.answer("/targets").body)] == [{"__metrics_path__": "/gpus"}]
    assert found.answer("/gpus").body == METRICS


def test_the_hosts_own_are_what_the_look_wrote(tmp_path: Path) -> None:
    (tmp_path / "host.prom").write_text("llmops_generation 7.0\n")
    answer = relay(tmp_path).answer("/metrics")
    assert (answer.status, answer.body) == (200, "llmops_generation 7.0\n")


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.0.0.5", True),
        ("::ffff:10.0.0.5", True),
        ("10.1.2.3", True),
        ("10.0.0.6", False),
        ("fe80::1%eth0", False),
    ],
)
def test_only_those_who_are_allowed_are_answered(tmp_path: Path, peer: str, allowed: bool) -> None:
    assert relay(tmp_path, allow_from=("10.0.0.5", "10.1.0.0/16")).settings.allows(peer) is allowed


def test_it_serves_get_and_nothing_else(tmp_path: Path, engine: HTTPServer) -> None:
    generation(tmp_path, 1, mini=engine.server_port)
    server = metrics_relay.RelayServer(relay(tmp_path))
    with running(server):
        address = f"http://127.0.0.1:{server.server_address[1]}/engines/mini"
        with urllib.request.urlopen(address, timeout=5) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert answer.headers["Server"] == "vllm-metrics"
            assert answer.read().decode() == METRICS
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(address, data=b"{}"), timeout=5)
        assert refused.value.code == 501
    assert Engine.asked == ["GET /metrics"]


def test_a_peer_that_is_not_allowed_gets_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RelaySettings, "allows", lambda self, address: False)
    server = metrics_relay.RelayServer(relay(tmp_path))
    with running(server), socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=5) as connection:
        connection.sendall(b"GET /targets HTTP/1.0\r\n\r\n")
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
