# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One port per engine host for Prometheus: the metrics of engines that nobody else may reach, and nothing but metrics.

An engine listens on loopback, on a unix socket, or for its gateway only, because anyone who reaches it reaches
``/invocations``, too. The relay asks it for ``/metrics`` and passes the text on. Its list of targets follows the
active generation, so that Prometheus learns of a deployment or a rollback by itself.

=================  ====================================================================
``/targets``       the engines, for Prometheus' HTTP service discovery
``/engines/NAME``  the metrics of the service NAME
``/gpus``          those of the exporter of GPUs
``/metrics``       those of the host: what ``_host_look`` wrote
=================  ====================================================================
"""

from __future__ import annotations

import json
import socket
import socketserver
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

from .._engine.api import read_metrics
from .._engine.endpoint import Endpoint
from .._generation.active import read_in_force
from .._places import Paths
from .exposition import CONTENT_TYPE
from .host_metrics import METRICS_FILE

_IDLE_SECONDS = 10


@dataclass(frozen=True)
class RelaySettings:
    """Where the relay listens, whom it answers, and where the exporter of GPUs does (None: there is none)."""

    address: str
    port: int
    allow_from: tuple[IPv4Network | IPv6Network, ...]
    gpu_exporter_port: int | None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RelaySettings:
        """Return the settings that the role writes."""
        allowed = tuple(ip_network(network) for network in values["allow_from"])
        return cls(values["address"], values["port"], allowed, values["gpu_exporter_port"])

    def allows(self, address: str) -> bool:
        """Whether it answers this peer: the host itself, and whom the settings name."""
        peer = ip_address(address.partition("%")[0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return peer.is_loopback or any(peer in network for network in self.allow_from)


@dataclass(frozen=True)
class Answer:
    """What is answered to a GET."""

    status: HTTPStatus
    body: str
    content_type: str = CONTENT_TYPE


class Relay:
    """Answers Prometheus; it keeps nothing, so that what it says is of the active generation."""

    def __init__(self, settings: RelaySettings, paths: Paths, host_metrics: Path = METRICS_FILE) -> None:
        self.settings = settings
        self._paths = paths
        self._host_metrics = host_metrics

    def answer(self, path: str) -> Answer:
        """Answer a GET of a path, whose query says nothing here."""
        path = path.partition("?")[0]
        if path == "/targets":
            return self._targets()
        if path == "/metrics":
            return self._host()
        if path == "/gpus" and self.settings.gpu_exporter_port is not None:
            exporter = Endpoint("127.0.0.1", self.settings.gpu_exporter_port, model="")
            return _passed_on(exporter, "the exporter of GPUs")
        if path.startswith("/engines/"):
            return self._engine(path[len("/engines/") :])
        return Answer(HTTPStatus.NOT_FOUND, "there is /targets, /metrics, /gpus and /engines/NAME here\n")

    def _targets(self) -> Answer:
        """In Prometheus' own form; the address is the relay's, and Prometheus puts in the one that it knows."""
        labels = [
            {"__metrics_path__": f"/engines/{name}", "service": name, "model": ticket.model}
            for name, ticket in sorted(read_in_force(self._paths).tickets.items())
        ]
        if self.settings.gpu_exporter_port is not None:
            labels.append({"__metrics_path__": "/gpus"})
        address = f"{self.settings.address}:{self.settings.port}"
        listed = [{"targets": [address], "labels": one} for one in labels]
        return Answer(HTTPStatus.OK, json.dumps(listed, indent=1) + "\n", "application/json")

    def _engine(self, name: str) -> Answer:
        ticket = read_in_force(self._paths).tickets.get(name)
        if ticket is None:
            return Answer(HTTPStatus.NOT_FOUND, "the active generation has no such service\n")
        return _passed_on(ticket.endpoint_with(None), f"the engine of {name}")

    def _host(self) -> Answer:
        try:
            return Answer(HTTPStatus.OK, self._host_metrics.read_text(encoding="utf-8"))
        except OSError:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "vllm-metrics-look.timer has not looked yet\n")


def _passed_on(endpoint: Endpoint, who: str) -> Answer:
    text = read_metrics(endpoint)
    if not text:
        return Answer(HTTPStatus.BAD_GATEWAY, f"{who} does not answer\n")
    return Answer(HTTPStatus.OK, text)


class _Handler(BaseHTTPRequestHandler):
    """GET only; every other method is 501."""

    timeout = _IDLE_SECONDS
    server: RelayServer

    def do_GET(self) -> None:
        """Answer, and close."""
        answer = self.server.relay.answer(self.path)
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Say nothing of versions."""
        return "vllm-metrics"

    def log_message(self, format: str, *args: Any) -> None:
        """A line per scrape would fill the journal that is read for incidents."""


class RelayServer(socketserver.ThreadingTCPServer):
    """Refuses whom the settings do not allow before it reads a byte: the unit's filter wants a kernel with BPF."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.address_family = socket.AF_INET6 if ":" in relay.settings.address else socket.AF_INET
        super().__init__((relay.settings.address, relay.settings.port), _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether this peer is answered."""
        return self.relay.settings.allows(client_address[0])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line instead of a traceback: a peer that goes away is no news."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            sys.stderr.write(f"vllm-metrics: {type(error).__name__}: {error}\n")


def serve_relay(path: str) -> None:
    """Relay as a settings file says, for ever."""
    settings = RelaySettings.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    RelayServer(Relay(settings, Paths())).serve_forever()
