# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a host: one deployment or measurement at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from .._errors import InferenceError

# Lock and jobs of this host; gone after a boot, as are the processes they speak of.
RUN_DIRECTORY = Path("/run/llmops-inference")


# A lock goes with its process, which is a moment after the result that a follower acts upon.
_PATIENCE_SECONDS = 2.0


class Lock:
    """One deployment at a time on a host; the kernel drops the lock with the last process that holds it."""

    def __init__(self, file: TextIO, by: str) -> None:
        self._file = file
        self._by = by

    @classmethod
    def take(cls, by: str = "") -> Lock:
        """Take the lock for ``by``, or raise InferenceError naming who holds it, and since when."""
        RUN_DIRECTORY.mkdir(mode=0o700, exist_ok=True)
        file = (RUN_DIRECTORY / "lock").open("a+")
        if not _lock(file, _PATIENCE_SECONDS):
            file.seek(0)
            holder = file.read().strip() or "another run"
            file.close()
            raise InferenceError(
                f"this host is being deployed or measured by {holder}; wait until it has finished, or end that process "
                "with SIGTERM, upon which the generation before serves again; then run again",
                holder=holder,
            )
        lock = cls(file, by)
        lock.sign()
        return lock

    def sign(self, job: Path | None = None) -> None:
        """Write down that this process holds it, as the ``job`` of that directory."""
        who = [self._by] if self._by else []
        who += [f"process {os.getpid()}", f"since {time.strftime('%Y-%m-%d %H:%M:%S %Z')}"]
        who += [f"its progress in {job}"] if job else []
        self._file.seek(0)
        self._file.truncate()
        self._file.write(", ".join(who))
        self._file.flush()

    def release(self) -> None:
        """Let the next one in."""
        self._file.close()


def _lock(file: TextIO, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)


def holder() -> str | None:
    """Who deploys on this host now; None where nobody does."""
    try:
        with (RUN_DIRECTORY / "lock").open("r") as file:
            return None if _lock(file, 0) else file.read().strip() or "another run"
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def locked(by: str = "") -> Iterator[Lock]:
    """Hold the lock for a block."""
    lock = Lock.take(by)
    try:
        yield lock
    finally:
        lock.release()
