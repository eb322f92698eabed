# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's master socket: which servers a gateway has, who still talks to them, and taking them out and back in.

A reload leaves the worker before it running until its last request is done, so sessions are counted over all workers.
"""

from __future__ import annotations

import csv
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

from .. import _files
from .._errors import InferenceError

MASTER_SOCKET = "/run/haproxy-master.sock"
SERVER_STATE_FILE = "/var/lib/vllm-gateway/server-state"

_POLL_SECONDS = 0.2
_ANSWER_SECONDS = 10.0
# Of srv_op_state and srv_admin_state in `show servers state`.
_RUNNING = "2"
_DRAINED = 0x08


@dataclass(frozen=True)
class Server:
    """One server of a backend, which is one service of one engine host.

    ``sessions`` are the requests that it works on for any worker of the gateway. ``up`` is what the checks say, drained
    or not.
    """

    backend: str
    name: str
    drained: bool
    up: bool
    sessions: int = 0

    @property
    def host(self) -> str:
        """The engine host, as the inventory names it."""
        return self.name.rpartition(":")[0]

    @property
    def service(self) -> str:
        """The service on it."""
        return self.name.rpartition(":")[2]


class Gateway:
    """A running HAProxy in master-worker mode."""

    def __init__(self, path: str = MASTER_SOCKET) -> None:
        self._path = path

    def running(self) -> bool:
        """Whether a master answers on the socket."""
        try:
            self._ask("show version")
        except OSError:
            return False
        return True

    def servers(self) -> list[Server]:
        """Every server of the active configuration."""
        listed = parse_servers(self._ask("@1 show servers state"))
        sessions: dict[tuple[str, str], int] = {}
        for worker in parse_workers(self._ask("show proc")):
            for server, count in parse_sessions(self._ask(f"@!{worker} show stat -1 4 -1")).items():
                sessions[server] = sessions.get(server, 0) + count
        return [replace(item, sessions=sessions.get((item.backend, item.name), 0)) for item in listed]

    def set_drained(self, server: Server, drained: bool) -> None:
        """Give a server no new requests any more, or again."""
        wanted = "drain" if drained else "ready"
        said = self._ask(f"@1 set server {server.backend}/{server.name} state {wanted}").strip()
        if said:
            raise InferenceError(f"the gateway did not set {server.backend}/{server.name} to {wanted}: {said}")

    def save(self, path: str = SERVER_STATE_FILE) -> None:
        """Write what a reload or a restart is to take over, readable by root only."""
        text = self._ask("@1 show servers state")
        parse_servers(text)
        # The socket ends its answer with an empty line, which is no line of such a file.
        _files.replace(Path(path), text.strip() + "\n", 0o600)

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(self._path)
            connection.sendall(f"{command}\n".encode())
            # The master goes on listening for commands until it hears that there are no more.
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as answer:
                return answer.read().decode("utf-8", "replace")


def of_host(servers: Sequence[Server], host: str, services: Sequence[str]) -> list[Server]:
    """Those of a host, or of some services of it; InferenceError for a service that is none of them."""
    here = [server for server in servers if server.host == host]
    strange = sorted(set(services) - {server.service for server in here})
    if here and strange:
        known = ", ".join(sorted({server.service for server in here}))
        raise InferenceError(f"the gateway has no service {', '.join(strange)} on {host}; it has {known}")
    return [server for server in here if not services or server.service in services]


def last_ones(servers: Sequence[Server], leaving: Sequence[Server]) -> list[Server]:
    """Those of ``leaving`` without which a model that several servers are configured for would have none.

    A model with one server has no other to turn to: it is none of them.
    """
    names = {(server.backend, server.name) for server in leaving}
    stays: dict[str, list[Server]] = {}
    for server in servers:
        if (server.backend, server.name) not in names:
            stays.setdefault(server.backend, []).append(server)
    return [
        server
        for server in leaving
        if server.up
        and not server.drained
        and server.backend in stays
        and not any(other.up and not other.drained for other in stays[server.backend])
    ]


def wait(
    look: Callable[[], list[Server]], done: Callable[[Server], bool], timeout: float
) -> tuple[list[Server], list[Server]]:
    """Look until every server is done, at most ``timeout`` seconds; returns all of them, and those that are not."""
    deadline = time.monotonic() + timeout
    while True:
        # First of all a moment for requests that were being handed over.
        time.sleep(_POLL_SECONDS)
        servers = look()
        late = [server for server in servers if not done(server)]
        if not late or time.monotonic() > deadline:
            return servers, late


def parse_servers(text: str) -> list[Server]:
    """Read the answer to ``show servers state``, format 1."""
    lines = text.strip().splitlines()
    if len(lines) < 2 or lines[0] != "1" or not lines[1].startswith("# "):
        raise InferenceError(f"the gateway answered {text[:200]!r} where a list of servers was expected")
    heading = lines[1][2:].split()
    rows = [dict(zip(heading, line.split())) for line in lines[2:]]
    return [
        Server(
            backend=row["be_name"],
            name=row["srv_name"],
            drained=bool(int(row["srv_admin_state"]) & _DRAINED),
            up=row["srv_op_state"] == _RUNNING,
        )
        for row in rows
    ]


def parse_workers(text: str) -> list[int]:
    """Read the answer to ``show proc``: the process ids of the active worker and of those that finish."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [int(row[0]) for row in rows if row[1] == "worker"]


def parse_sessions(text: str) -> dict[tuple[str, str], int]:
    """Read the answer to ``show stat``: current sessions by backend and server."""
    rows = csv.DictReader(text.strip().lstrip("# ").splitlines())
    return {(row["pxname"], row["svname"]): int(row["scur"] or 0) for row in rows}


def save_state() -> None:
    """Keep the servers' state for the reload that follows; run by the gateway's unit."""
    Gateway().save()
