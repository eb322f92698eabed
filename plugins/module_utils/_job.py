# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transaction that outlives the connection that started it.

Loading engines takes minutes. The module therefore leaves the transaction to a process of its own on the host, and
returns; the action plugin follows its progress. A lost connection or a killed play changes nothing for the host: the
transaction ends by itself, in the new generation or in the old one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable, TextIO

from ._errors import InferenceError

_DIRECTORY = Path("/run/llmops-inference")
_LOCK = _DIRECTORY / "lock"

Report = Callable[[str, str], None]


class Lock:
    """One deployment at a time on a host; the kernel drops the lock with the last process that holds it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    def take(cls) -> Lock:
        """Take the lock, or raise InferenceError naming who holds it and since when."""
        _DIRECTORY.mkdir(mode=0o700, exist_ok=True)
        file = _LOCK.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another run"
            file.close()
            raise InferenceError(
                f"this host is being deployed by {holder}; wait until it has finished, or end that process with "
                "SIGTERM, upon which the generation before serves again; then run again"
            ) from None
        lock = cls(file)
        lock.sign(os.getpid())
        return lock

    def sign(self, pid: int) -> None:
        """Write down who holds it."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"process {pid}, since {time.strftime('%Y-%m-%d %H:%M:%S %Z')}")
        self._file.flush()

    def release(self) -> None:
        """Let the next one in."""
        self._file.close()


@contextlib.contextmanager
def locked() -> Iterator[Lock]:
    """Hold the lock for a block."""
    lock = Lock.take()
    try:
        yield lock
    finally:
        lock.release()


def detach(lock: Lock, work: Callable[[Report], Mapping[str, Any]]) -> dict[str, Any]:
    """Run ``work`` in a process of its own and return at once what a follower needs to know.

    The job's directory holds ``progress`` (a line per step: ``SERVICE<TAB>TEXT``) and in the end ``result``, the JSON
    that the module would have returned. ``work`` gets a function that writes progress. The lock passes to the job.
    """
    for old in _DIRECTORY.glob("job-*"):
        shutil.rmtree(old, ignore_errors=True)  # the lock says that none of them is alive
    directory = _DIRECTORY / f"job-{os.getpid()}-{time.time_ns()}"
    directory.mkdir(mode=0o700)
    progress = directory / "progress"
    progress.touch()
    pid = os.fork()
    if pid == 0:
        _become_daemon()
        lock.sign(os.getpid())
        _write_result(directory, _run(progress, work))
        os._exit(0)  # the parent's atexit and buffers are not ours to run twice
    os.waitpid(pid, 0)
    return {"directory": str(directory)}


def _become_daemon() -> None:
    """Leave the session and the pipes of the connection, which would otherwise wait for this process."""
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGTERM, _end)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def _end(number: int, frame: object) -> None:
    """Turn a request to end into a failure, so that the transaction goes back to where it came from."""
    raise InferenceError("the transaction was ended by SIGTERM")


def _run(progress: Path, work: Callable[[Report], Mapping[str, Any]]) -> dict[str, Any]:
    started = time.monotonic()
    with progress.open("a", buffering=1) as stream:

        def report(service: str, text: str) -> None:
            stream.write(f"{service}\t{text}\t{time.monotonic() - started:.0f}\n")

        (progress.parent / "pid").write_text(str(os.getpid()))
        try:
            return dict(work(report))
        except InferenceError as error:
            return {"failed": True, "msg": str(error), **error.details}
        except BaseException as error:
            return {"failed": True, "msg": f"{type(error).__name__}: {error}", "exception": traceback.format_exc()}


def _write_result(directory: Path, result: Mapping[str, Any]) -> None:
    """Whole or not at all: a follower may look at any moment."""
    aside = directory / "result.incomplete"
    aside.write_text(json.dumps(result))
    aside.rename(directory / "result")
