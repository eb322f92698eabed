# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transaction that outlives the connection that started it.

Loading engines takes minutes. The module therefore leaves the transaction to a process of its own on the host, and
returns; the action plugin follows its progress. A lost connection or a killed play changes nothing for the host: the
transaction ends by itself, in the new generation or in the old one.

Even of that process nothing is expected: its parent waits for it and, where it was killed, rolls back.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

from .. import _files
from .._errors import InferenceError
from .lock import RUN_DIRECTORY, Lock

# What a job may take until it has its processes.
_START_SECONDS = 30.0

_MODE = 0o600

OnStep = Callable[[str, str], None]
JobResult = Mapping[str, Any]


def detach(
    lock: Lock,
    work: Callable[[OnStep], JobResult],
    recover: Callable[[OnStep], JobResult],
    killed: Callable[[str, JobResult], str] | None = None,
) -> dict[str, Any]:
    """Run ``work`` in a process of its own and return at once what a follower needs to know.

    The job's directory holds ``progress`` (a line per step: ``SERVICE<TAB>TEXT``) and in the end ``result``, the JSON
    that the module would have returned. ``work`` gets a function that writes progress. ``recover`` rolls back
    of a transaction that was left open, and tells how that went; nothing where there is none. ``killed`` says what it
    means that the work was killed, of how it was and of what the rollback told. The lock passes to the job.
    """
    for old in RUN_DIRECTORY.glob("job-*"):
        shutil.rmtree(old, ignore_errors=True)  # the lock says that none of them is alive
    directory = RUN_DIRECTORY / f"job-{os.getpid()}-{time.time_ns()}"
    directory.mkdir(mode=0o700)
    (directory / "progress").touch()
    pid = os.fork()
    if pid == 0:
        try:
            _become_daemon()
            _supervise(lock, directory, work, recover, killed or _killed)
        finally:
            os._exit(0)  # whatever happens, never into what the parent still must do
    os.waitpid(pid, 0)
    deadline = time.monotonic() + _START_SECONDS
    while not (directory / "pids").exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # a follower takes a job without processes for one that has ended
    return {"directory": str(directory)}


def _become_daemon() -> None:
    """Leave the session and the pipes of the connection, which would otherwise wait for this process."""
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def _supervise(
    lock: Lock,
    directory: Path,
    work: Callable[[OnStep], JobResult],
    recover: Callable[[OnStep], JobResult],
    killed: Callable[[str, JobResult], str],
) -> None:
    """Do ``work`` in a child, and after its death whatever it has left undone."""

    def begin(report: OnStep) -> JobResult:
        # From here on a request to end is an exception, which _run makes a result of.
        signal.signal(signal.SIGTERM, _end)
        lock.sign(directory)
        _write_pids(directory, os.getppid(), os.getpid())
        return work(report)

    pid = os.fork()
    if pid == 0:
        try:
            _write_result(directory, _run(directory, begin))
        finally:
            os._exit(0)
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(pid, signal.SIGTERM))
    status = os.waitpid(pid, 0)[1]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # there is no other way than the rollback
    lock.sign(directory)
    outcome = _run(directory, recover)
    if not (directory / "result").exists():
        how = f"was killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended without a result"
        _write_result(directory, {**outcome, "failed": True, "msg": killed(how, outcome)})


def _killed(how: str, outcome: JobResult) -> str:
    if outcome.get("failed"):
        return f"the transaction {how}, and the rollback failed ({outcome['msg']}); run again to converge"
    if "rolled_back_to" not in outcome:
        return f"the transaction {how} when it had changed all or nothing; run again to converge"
    number = outcome["rolled_back_to"]
    served = "nothing is deployed, as before" if number is None else f"generation {number} serves again"
    return f"the transaction {how}; {served}: run again to converge"


def _end(number: int, frame: object) -> None:
    """Turn a request to end into a failure, so that the transaction goes back to where it came from."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second request must not end the rollback
    raise InferenceError("the run was ended by SIGTERM")


def _run(directory: Path, work: Callable[[OnStep], JobResult]) -> dict[str, Any]:
    started = time.monotonic()
    with (directory / "progress").open("a", buffering=1) as stream:

        def report(service: str, text: str) -> None:
            # A full /run costs the follower a line, and never the transaction.
            with contextlib.suppress(OSError):
                stream.write(f"{service}\t{text}\t{time.monotonic() - started:.0f}\n")

        try:
            return dict(work(report))
        except InferenceError as error:
            return {"failed": True, "msg": str(error), **error.details}
        except BaseException as error:
            return {"failed": True, "msg": f"{type(error).__name__}: {error}", "exception": traceback.format_exc()}


def _write_pids(directory: Path, supervisor: int, job: int) -> None:
    """As long as one of them lives, there will be a result."""
    _files.replace(directory / "pids", f"{supervisor} {job}\n", _MODE)


def _write_result(directory: Path, result: JobResult) -> None:
    _files.replace(directory / "result", json.dumps(result), _MODE)
