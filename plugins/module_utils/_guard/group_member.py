# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host of a group: tells the others how its part of the service is, asks them, and ends its engine where it must.

``vllm-group@NAME.service`` runs ``watch_group`` as the service's own user, out of the active generation. It takes no
orders: anyone who connects is told the state and nothing else, and its unit lets only the hosts of the group connect.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

from .._errors import InferenceError
from .._service.group import ADMITTING, FAILED, SERVING, STARTING, STOPPED, Group, Judge, Member, obstacle
from .._service.ticket import RUNTIME_DIRECTORY, Ticket
from .watchdog import kill, shown_unit

_POLL_SECONDS = 2.0
_TIMEOUT_SECONDS = 10.0
_LONGEST_ANSWER = 4096
_NOTICE = "<5>"


def watch_group(ticket: Ticket) -> None:
    """Tell and ask until the unit stops; each look is one exchange with every host that matters to this one."""
    group = _group(ticket)
    judge = Judge(group.leads)
    with _Teller((group.address, group.port), ticket) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        while True:
            own = server.member = own_member(ticket)
            why = judge.verdict(time.monotonic(), own, {address: ask(group, address) for address in group.asked})
            if why:
                _end(ticket.service, own, why)
            time.sleep(_POLL_SECONDS)


def own_member(ticket: Ticket) -> Member:
    """How this host's part is now."""
    group, unit = _group(ticket), shown_unit(ticket.service)
    state = _state(unit.get("ActiveState", ""), unit.get("SubState", ""))
    if group.leads:
        return Member(group.digest, state, unit.get("InvocationID") if state in (STARTING, SERVING) else None)
    joined = _remembered(ticket.service)
    incarnation = joined.get("incarnation")
    return Member(group.digest, state, *((None, incarnation) if joined.get("left") else (incarnation, None)))


def _state(active: str, sub: str) -> str:
    if active == "activating":
        return {"start-pre": ADMITTING, "start": STARTING, "start-post": STARTING}.get(sub, STOPPED)
    return {"active": SERVING, "failed": FAILED}.get(active, STOPPED)


def ask(group: Group, address: str) -> Member | None:
    """What a host of the group tells; None where it does not, or nothing that makes sense."""
    try:
        with socket.create_connection((address, group.port), timeout=_TIMEOUT_SECONDS) as connection:
            text = connection.makefile("rb").read(_LONGEST_ANSWER)
        return Member.from_json(text.decode())
    except (OSError, UnicodeDecodeError, InferenceError):
        return None


def join(ticket: Ticket) -> str | None:
    """Join the leader's present start, where it is one to join; else what is in the way."""
    group, left = _group(ticket), own_member(ticket).left
    leader = ask(group, group.addresses[0])
    problem = obstacle(leader, group.digest, left)
    if problem is None and leader is not None:
        _remember(ticket.service, {"incarnation": leader.incarnation, "left": False})
    return problem


def leave(ticket: Ticket) -> None:
    """Say that the engine of this host is gone; the leader's start that it was in is over."""
    joined = _remembered(ticket.service)
    if joined:
        _remember(ticket.service, {**joined, "left": True})


def is_formed(ticket: Ticket) -> bool:
    """Whether the leader serves with this host's engine; InferenceError where it never will."""
    group, own = _group(ticket), own_member(ticket)
    leader = ask(group, group.addresses[0])
    if leader is None or leader.incarnation == own.incarnation:
        return leader is not None and leader.state == SERVING
    raise InferenceError(
        f"the leader {group.addresses[0]} of service '{ticket.service}' has given up the start that this host is in "
        f"(it is {leader.state}); its journal says why"
    )


def _group(ticket: Ticket) -> Group:
    if ticket.group is None:
        raise InferenceError(f"service '{ticket.service}' runs on this host alone")
    return ticket.group


def _end(service: str, own: Member, why: str) -> None:
    unit = shown_unit(service)
    process = int(unit.get("MainPID", "0") or 0)

    def is_meant() -> bool:
        """Between the look and now the engine may have ended by itself, and a later start have begun."""
        return shown_unit(service) == unit and _state(unit["ActiveState"], unit["SubState"]) == own.state

    if process:
        kill([process], is_meant, lambda: _say(f"{why}; killing process {process} for a restart"))


class _Teller(socketserver.ThreadingTCPServer):
    """Answers every connection with this host's member and closes it."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], ticket: Ticket) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        # As of the last look: on a busy host it takes a while to ask systemd, and the others wait for their answer.
        self.member = own_member(ticket)
        super().__init__(address, _Answer)


class _Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        teller = cast(_Teller, self.server)
        self.request.settimeout(_TIMEOUT_SECONDS)
        with contextlib.suppress(OSError):
            self.request.sendall(teller.member.to_json().encode())


def _path(service: str) -> Path:
    return RUNTIME_DIRECTORY / service / "group.json"


def _remembered(service: str) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(_path(service).read_text()))
    return {}


def _remember(service: str, values: dict[str, Any]) -> None:
    _path(service).write_text(json.dumps(values))


def _say(text: str) -> None:
    sys.stdout.write(f"{_NOTICE}vllm-group: {text}\n")
    sys.stdout.flush()
