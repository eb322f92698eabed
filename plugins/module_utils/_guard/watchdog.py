# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a service: a token asked for, its requests counted, and a wedged engine killed.

``vllm-watchdog@NAME.timer`` runs this as the service's own user, out of the active generation. Killing needs no
more: the main process of the unit is that user's, and its unit starts it again after it has removed what is left of
it. What is started, drained or stopped is left alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from .._engine.api import generate, listening, read_metrics
from .._engine.endpoint import Endpoint
from .._engine.finished_requests import Ledger
from .._engine.metrics import Metrics, parse_metrics
from .._errors import InferenceError
from .._host.systemd import run_command
from .._service.ticket import RUNTIME_DIRECTORY, Ticket
from . import wedged as rules

# What the unit logs from: systemd's own lines about a look that went well are below it.
_NOTICE = "<5>"
_PROPERTIES = "ActiveState,SubState,MainPID,InvocationID,ControlGroup,Job"
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


@dataclasses.dataclass(frozen=True)
class Running:
    """A unit that serves: its main process, the id of this start, and its control group below /sys/fs/cgroup."""

    pid: int
    invocation: str
    control_group: str = ""


def probe_service(ticket: Ticket) -> None:
    """Look at a service once; kill its main process where the looks so far say that the engine is wedged."""
    running = find_running(ticket.service)
    if running is None or not ticket.watchdog.enabled:
        return
    endpoint = ticket.endpoint
    before = parse_metrics(read_metrics(endpoint))
    problem = _ask(endpoint, ticket.watchdog.deadline)
    after = parse_metrics(read_metrics(endpoint))
    with contextlib.suppress(OSError):  # a full disk must not keep it from what it is there for
        Ledger(ticket.service).record(running.invocation, before, own=problem is None)
    watched = _remembered(ticket.service, running.invocation)
    seen = rules.Probe(time.time(), problem is None, before, after)
    now, wedged = rules.judge_engine(watched, seen, ticket.watchdog)
    _remember(ticket.service, now)
    if now.misses == 0:
        return
    evidence = f"{problem}; {_described(endpoint, after)}, still for {seen.time - (now.moved or seen.time):.0f} s"
    if not wedged:
        _say(f"no token, miss {now.misses} of {ticket.watchdog.misses}: {evidence}")
    else:
        processes = _processes(ticket, running)
        wedge = f"wedged: no token in {now.misses} looks, {evidence}; "
        wedge += f"killing process {', '.join(map(str, processes))} for a restart"
        kill(processes, lambda: find_running(ticket.service) == running, lambda: _say(wedge))


def _ask(endpoint: Endpoint, deadline: float) -> str | None:
    """Return why no token came within so many seconds, None where one did.

    An answer that refuses the request itself, such as one about its key, is no sign of a wedged engine.
    """
    try:
        generate(endpoint, tokens=1, deadline=deadline)
    except InferenceError as error:
        status = error.details.get("status")
        if not isinstance(status, int) or status >= 500:
            return str(error)
        _say(f"cannot watch: {error}")
    return None


def find_running(service: str) -> Running | None:
    """Return the unit of a service, None unless it serves and nobody has asked for anything else."""
    shown = shown_unit(service)
    serves = (shown.get("ActiveState"), shown.get("SubState")) == ("active", "running")
    if not serves or shown.get("Job", "0") not in ("", "0") or shown.get("MainPID", "0") == "0":
        return None
    return Running(int(shown["MainPID"]), shown.get("InvocationID", ""), shown.get("ControlGroup", ""))


def shown_unit(service: str) -> dict[str, str]:
    """What systemd says of the unit of a service, by property."""
    command = ["systemctl", "show", f"--property={_PROPERTIES}", f"vllm@{service}.service"]
    _status, out, _error = run_command(command)
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def kill(processes: Sequence[int], is_meant: Callable[[], bool], announce: Callable[[], None]) -> None:
    """Kill the processes of a start, unless it is no longer the one that was looked at.

    It is said before: with the service systemd ends its watchdog, too, which may then have no time left to speak.
    """
    with contextlib.ExitStack() as stack:
        descriptors = []
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                descriptors.append(os.pidfd_open(process))
                stack.callback(os.close, descriptors[-1])
        if not descriptors or not is_meant():
            return
        announce()
        for descriptor in descriptors:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)


def _processes(ticket: Ticket, running: Running) -> list[int]:
    """The processes that end the unit's start with themselves, among those of its user.

    In front of a container it is podman's monitor, root's, that is the main process of the unit.
    """
    if not ticket.container:
        return [running.pid]
    lists = (_CONTROL_GROUPS / running.control_group.lstrip("/")).glob("libpod-payload-*/cgroup.procs")
    return [int(line) for path in lists for line in path.read_text().split()]


def _described(endpoint: Endpoint, metrics: Metrics | None) -> str:
    health = "/health answers 200" if listening(endpoint) else "/health does not answer 200"
    work = f"{metrics.requests:.0f} requests under way" if metrics else "/metrics does not answer"
    return f"{health}, {work}"


def _state_path(service: str) -> Path:
    return RUNTIME_DIRECTORY / service / "watchdog.json"


def _remembered(service: str, invocation: str) -> rules.Watched:
    """What the looks before have left of this start of the engine."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        values = json.loads(_state_path(service).read_text())
        if values["invocation"] == invocation:
            progress = values["progress"]
            return rules.Watched(**{**values, "progress": None if progress is None else tuple(progress)})
    return rules.Watched(invocation)


def _remember(service: str, watched: rules.Watched) -> None:
    _state_path(service).write_text(json.dumps(dataclasses.asdict(watched)))


def _say(text: str) -> None:
    sys.stdout.write(f"{_NOTICE}vllm-watchdog: {text}\n")
    sys.stdout.flush()
