# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit does around the engine: admit it to its devices, wait for its first token, let the next one in.

These functions run on the host as ExecStartPre=, ExecStartPost= and ExecStopPost= of ``vllm@NAME.service``, as the
service's user, out of the copy of this code that lies in the generation; the watchdog's units enter here, too. Two
engines that load on one device at once charge each other's memory to themselves, so a device admits one start at a
time, at boot and on automatic restarts just as in a deployment. A lock is a file per device that names its holder;
it is freed by the holder's first token or by its stop, whichever comes first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable

from .. import _files
from .._engine.api import generate, listening
from .._errors import InferenceError
from .._gpu.health import policy_health
from .._gpu.nvml import read_topology
from .._host.network import clear_socket, listen_problem
from .._host.systemd import run_command
from .._service.ticket import RUNTIME_DIRECTORY, Ticket, started_path
from .._values import GIB, MIB
from .group_member import is_formed, join, leave, watch_group
from .watchdog import probe_service

_POLL_SECONDS = 1.0
_REPORT_SECONDS = 15.0
_REGISTRY_SECONDS = 30.0
_LONGEST_NAME = 256
# What an engine takes of /dev/shm; with less it fails after it has loaded the model.
_SHARED_MEMORY_BYTES = 160 * MIB
_SHARED_MEMORY = "/dev/shm"
# The services' group may connect, which is how a gateway gets at a unix socket.
_SOCKET_MODE = 0o660


def admit(ticket: Ticket) -> None:
    """Hold all devices of the service, with enough memory free on each, or fail with what stands in the way.

    Waits for neighbours that are starting (their start timeouts added up), and then for memory (its own start
    timeout); on several hosts the others then wait for the leader (the same again). Raises InferenceError naming
    holder, bytes and way out.
    """
    problem = _address_problem(ticket)
    if problem:
        # The engine itself would find out only after it has loaded the model.
        raise InferenceError(f"service '{ticket.service}' {problem}")
    _check_gpus(ticket)
    _wait(ticket, lambda: _take_devices(ticket), ticket.start_timeout * (ticket.neighbours + 1))
    try:
        _wait(ticket, lambda: _missing_memory(ticket) or _missing_shared_memory(ticket), ticket.start_timeout)
        if not ticket.answers:
            _wait(ticket, lambda: join(ticket), ticket.start_timeout * (ticket.neighbours + 1))
    except BaseException:
        release(ticket)
        raise
    path = started_path(ticket.service)
    path.write_text(json.dumps({"digest": ticket.digest, "since": time.time()}))


def ready(ticket: Ticket) -> None:
    """Return once the service has generated a token; the devices are then free for the next start.

    There is no deadline here: TimeoutStartSec= of the unit is the one limit. InferenceError where the engine ends
    before it listens: systemd does no more about that than to wait for this process.
    """
    endpoint = ticket.endpoint
    if not ticket.answers:
        _await_engine(ticket, lambda: is_formed(ticket), "the leader served")
        _say("the leader has generated a token")
    else:
        _await_engine(ticket, lambda: listening(endpoint), "it listened")
        if endpoint.socket:
            os.chmod(endpoint.socket, _SOCKET_MODE)
        measured = generate(endpoint, tokens=1, deadline=ticket.start_timeout)
        _say(f"generated its first token in {measured.first_token_seconds:.2f} s")
    _check_gpus(ticket)
    _free_devices(ticket)


def _await_engine(ticket: Ticket, is_so: Callable[[], bool], what: str) -> None:
    engine = int(os.environ["MAINPID"])
    while not is_so():
        if not _exists(engine):
            raise InferenceError(f"the engine of service '{ticket.service}' ended before {what}")
        time.sleep(_POLL_SECONDS)


def hold(ticket: Ticket) -> None:
    """Stand for the ranks that Ray has on this host, until the unit stops or the group ends it."""
    _say(f"Ray has the ranks of service '{ticket.service}' on this host")
    threading.Event().wait()


def release(ticket: Ticket) -> None:
    """Free whatever this service holds, also devices of an earlier generation, and leave its group."""
    _free_devices(ticket)
    if not ticket.answers:
        leave(ticket)


def _free_devices(ticket: Ticket) -> None:
    """The locks of others stay as they are."""
    with _registry():
        for path in (RUNTIME_DIRECTORY / "locks").iterdir():
            if _holder(path) == ticket.service:
                path.unlink(missing_ok=True)


def _address_problem(ticket: Ticket) -> str | None:
    """Why the engine will not be able to listen where it has to."""
    if not ticket.answers:
        return None
    socket, group = ticket.endpoint.socket, ticket.group
    problem = clear_socket(socket) if socket else listen_problem(ticket.host, ticket.port)
    return problem or (listen_problem(group.address, group.master_port) if group else None)


def _wait(ticket: Ticket, obstacle: Callable[[], str | None], limit: float) -> None:
    """Poll until ``obstacle()`` is None; it otherwise says what is in the way."""
    started = reported = time.monotonic()
    while True:
        problem = obstacle()
        if problem is None:
            return
        now = time.monotonic()
        if now - started > limit:
            raise InferenceError(f"service '{ticket.service}' was not admitted within {limit:.0f} s: {problem}")
        if now - reported > _REPORT_SECONDS or reported == started:
            _say(f"waiting: {problem}")
            reported = now
        time.sleep(_POLL_SECONDS)


def _take_devices(ticket: Ticket) -> str | None:
    """Take every device or none; the obstacle is the first neighbour that is still starting."""
    with _registry():
        for device in ticket.required_free_bytes:
            holder = _holder(_lock_path(device))
            if holder not in (None, ticket.service) and _is_starting(str(holder)):
                return f"'{holder}' is starting on {device}"
        for device in ticket.required_free_bytes:
            path = _lock_path(device)
            _files.replace_below(path.parent, path.name, text=ticket.service, mode=0o644)
    return None


def _missing_memory(ticket: Ticket) -> str | None:
    """The first device on which less is free than the engine will ask for."""
    free = free_device_bytes()
    for device, required in ticket.required_free_bytes.items():
        if device not in free:
            return f"device {device} does not answer"
        if free[device] < required:
            return (
                f"{device} has {free[device] / GIB:.2f} GiB free, the engine will ask for {required / GIB:.2f} GiB; "
                "stop what uses it, or lower gpu_memory_budget"
            )
    return None


def _missing_shared_memory(ticket: Ticket) -> str | None:
    """Why /dev/shm has too little room for one more engine; a container has one of its own."""
    if ticket.container:
        return None
    free = os.statvfs(_SHARED_MEMORY).f_bavail * os.statvfs(_SHARED_MEMORY).f_frsize
    if free < _SHARED_MEMORY_BYTES:
        return (
            f"{_SHARED_MEMORY} has {free / MIB:.0f} MiB free, the engine will take {_SHARED_MEMORY_BYTES / MIB:.0f} "
            f"MiB; remove what fills it, or mount it larger"
        )
    return None


def _check_gpus(ticket: Ticket) -> None:
    """Refuse a GPU of this service that is not fit for it, and warn of one that is half fit, as its layout has it."""
    gpus = read_topology().gpus
    answering = {gpu.uuid for gpu in gpus}
    missing = [device for device in ticket.required_free_bytes if device.startswith("GPU-") and device not in answering]
    for gpu in gpus:
        lost = gpu.uuid is None and bool(missing)  # a GPU that is lost does not even tell which one it is
        if gpu.uuid not in ticket.required_free_bytes and not lost:
            continue
        health = gpu.health if lost else policy_health(ticket.gpu_health, gpu.health)
        name = gpu.uuid or f"one of {', '.join(missing)}"
        found = f"GPU {gpu.index} ({name}) is {gpu.health.status}: {', '.join(gpu.health.reasons)}"
        if health.status == "failed":
            raise InferenceError(
                f"service '{ticket.service}' is not fit to start: {found}; replace or reset the GPU, give the service "
                f"another one, or set gpu_health to {{{gpu.health.status}: warn}}"
            )
        if health.status == "degraded":
            _say(found)


def free_device_bytes() -> dict[str, int]:
    """Free bytes of every device of the host, by the ids that plans use."""
    topology = read_topology()
    free = {gpu.uuid: gpu.memory_free_bytes for gpu in topology.gpus if gpu.uuid and gpu.memory_free_bytes is not None}
    free.update({f"numa:{node.index}": node.memory_free_bytes for node in topology.numa_nodes})
    return free


def _exists(process: int) -> bool:
    """Whether there is a process of this number; in /proc, a unit may not see those of its own user."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_starting(service: str) -> bool:
    """Whether a holder still deserves its lock; one that was killed without a word does not."""
    _status, out, _error = run_command(["systemctl", "is-active", f"vllm@{service}.service"])
    return out.strip() == "activating"


@contextlib.contextmanager
def _registry() -> Iterator[None]:
    """Let one process at a time read and write the locks, which each does for milliseconds.

    Every service can write there. InferenceError where the registry is not a file, or stays taken.
    """
    path = RUNTIME_DIRECTORY / "locks" / "registry"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        if not stat.S_ISREG(path.lstat().st_mode):
            path.unlink()  # a service has put something else in its place
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise InferenceError(f"{path} cannot be opened ({error.strerror}); remove it, and start again") from error
    with os.fdopen(descriptor, "r+b", buffering=0):
        deadline = time.monotonic() + _REGISTRY_SECONDS
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise InferenceError(
                    f"{path} has been locked for {_REGISTRY_SECONDS:.0f} s by another process; end that process"
                )
            time.sleep(0.05)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_path(device: str) -> Path:
    return RUNTIME_DIRECTORY / "locks" / device.replace("/", "_")


def _holder(path: Path) -> str | None:
    """Return the service that a lock names; None where there is none, or nothing readable."""
    with contextlib.suppress(OSError):
        return _files.read_below(path.parent, path.name, limit=_LONGEST_NAME).decode("utf-8", "replace").strip()
    return None


def _say(text: str) -> None:
    sys.stdout.write(f"vllm-guard: {text}\n")
    sys.stdout.flush()


def main(generation: Path, arguments: Sequence[str]) -> int:
    """Run ``admit|ready|release|look|group|hold NAME`` of the unit's ``generation`` and return the exit status."""
    actions = {
        "admit": admit,
        "ready": ready,
        "release": release,
        "look": probe_service,
        "group": watch_group,
        "hold": hold,
    }
    action, service = arguments
    ticket_path = generation / "services" / service / "guard.json"
    try:
        if action in ("release", "look") and not ticket_path.exists():
            return 0  # the service left the layout while it was stopping
        actions[action](Ticket.from_json(ticket_path.read_text()))
    except InferenceError as error:
        sys.stderr.write(f"vllm-guard: {error}\n")
        return 1
    return 0
