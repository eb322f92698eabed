# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of large files: hashed side by side, and not again while a file is what it was.

A digest is kept with the file's device, inode, size, times of its content and of its inode. The latter no program can
set back, so what writes to a file, replaces it or restores its times has it hashed again. What no record can see is a
disk that returns other bytes than it was given: ``recheck`` hashes everything.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from .. import _files

_CHUNK_BYTES = 1 << 22
_THREADS = 8
# A file written less than this before it was read may be written again without its times showing it: local file systems
# count them in ticks of at most 10 ms.
_TICKS_NANOSECONDS = 50_000_000


class Digests:
    """The digests of files, and how many bytes had to be read for them (``read_bytes``)."""

    def __init__(self, record: Path, recheck: bool = False) -> None:
        self.read_bytes = 0
        self._record = record
        self._known: dict[str, Any] = {} if recheck else _load(record)

    @classmethod
    @contextmanager
    def locked(cls, record: Path, recheck: bool = False) -> Iterator[Digests]:
        """The digests that others who ask at the same time wait for, so that each file is hashed once."""
        record.parent.mkdir(parents=True, exist_ok=True)
        with open(record.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            digests = cls(record, recheck)
            try:
                yield digests
            finally:
                digests.save()

    def of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """The SHA-256 of each file, in hexadecimal; OSError for one that cannot be read."""
        found, unknown = {}, []
        for path in paths:
            key, stamp = _stamp(path.lstat())
            known = self._known.get(key)
            if known and known["stamp"] == stamp:
                known["path"] = str(path)
                found[path] = str(known["sha256"])
            else:
                unknown.append(path)
        # hashlib lets go of the interpreter while it works.
        with ThreadPoolExecutor(_THREADS) as threads:
            for path, (digest, size) in zip(unknown, threads.map(self._hash, unknown)):
                found[path] = digest
                self.read_bytes += size
        return found

    def save(self) -> None:
        """Keep what is known of files that still exist."""
        kept = {key: known for key, known in self._known.items() if os.path.lexists(known["path"])}
        self._record.parent.mkdir(parents=True, exist_ok=True)
        _files.replace(self._record, json.dumps(kept), 0o600)

    def _hash(self, path: Path) -> tuple[str, int]:
        digest, buffer = hashlib.sha256(), bytearray(_CHUNK_BYTES)
        view = memoryview(buffer)
        with open(path, "rb", buffering=0) as stream:
            key, before = _stamp(os.fstat(stream.fileno()))
            began = time.time_ns()
            while count := stream.readinto(buffer):
                digest.update(view[:count])
            after = _stamp(os.fstat(stream.fileno()))[1]
        settled = began - max(before[1:]) > _TICKS_NANOSECONDS
        if before == after and settled:
            self._known[key] = {"path": str(path), "stamp": before, "sha256": digest.hexdigest()}
        else:
            self._known.pop(key, None)
        return digest.hexdigest(), before[0]


def _stamp(status: os.stat_result) -> tuple[str, list[int]]:
    """What a digest is kept under, and what must be the same for it to hold: size in bytes, then the two times."""
    return f"{status.st_dev}:{status.st_ino}", [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _load(record: Path) -> dict[str, Any]:
    """What was kept; nothing where the record is not whole, or not ours alone to write."""
    status = _lstat(record)
    if status is None or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        return {}
    try:
        known: dict[str, Any] = json.loads(record.read_text())
        return {key: entry for key, entry in known.items() if {"path", "stamp", "sha256"} <= entry.keys()}
    except (OSError, ValueError, AttributeError):
        return {}


def _lstat(path: Path) -> Optional[os.stat_result]:
    try:
        return path.lstat()
    except OSError:
        return None
