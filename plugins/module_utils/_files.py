# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or absent, and files that others may write, read without trusting them.

A file is written beside its place, synchronised, and renamed into it; the directory that names it is synchronised
after. A file that a service can write is hostile to root: it may be a link, a pipe, an endless device, or nonsense.
``read_below`` follows no link, waits for nothing, and reads a bounded number of bytes. All of it raises OSError.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._values import MIB

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def create(path: Path, text: str, mode: int, group_id: int = -1) -> None:
    """Write a file that does not exist yet; it belongs to this user and to ``group_id`` from its first byte on.

    A ``group_id`` of -1 is this user's own group.
    """
    with directory_below(path.parent) as directory:
        _create(directory, path.name, text, mode, group_id)


def replace(path: Path, text: str, mode: int, group_id: int = -1) -> None:
    """Put a file in the place of one that may exist; every reader sees either of them whole."""
    replace_below(path.parent, path.name, text=text, mode=mode, group_id=group_id)


def replace_below(base: Path, *names: str, text: str, mode: int, group_id: int = -1) -> None:
    """Replace the file ``base/NAMES``; no link below ``base`` is followed on the way to it."""
    with directory_below(base, *names[:-1]) as directory:
        aside = _aside_name(names[-1])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside, dir_fd=directory)
        _create(directory, aside, text, mode, group_id)
        os.replace(aside, names[-1], src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)


def _create(directory: int, name: str, text: str, mode: int, group_id: int) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        if group_id != -1:  # units may not call it at all
            os.fchown(descriptor, -1, group_id)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


@contextlib.contextmanager
def directory_below(base: Path, *names: str) -> Iterator[int]:
    """Open the directory ``base/NAMES`` for a block; ``base`` is trusted, and no link below it is followed."""
    descriptor = os.open(base, _DIRECTORY)
    try:
        for name in names:
            inner = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def read_below(base: Path, *names: str, limit: int = MIB) -> bytes:
    """Return the content of the regular file ``base/NAMES``, of at most ``limit`` bytes; no link is followed."""
    path = str(base.joinpath(*names))
    with directory_below(base, *names[:-1]) as directory:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(names[-1], flags, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"has more than {limit} bytes", path)
    return content


def read_object_below(base: Path, *names: str, limit: int = MIB) -> dict[str, Any]:
    """Return the JSON object in ``base/NAMES``; ValueError where the file holds anything else."""
    try:
        value = json.loads(read_below(base, *names, limit=limit))
    except RecursionError:
        raise ValueError(f"{names[-1]} is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"{names[-1]} holds a {type(value).__name__} instead of an object")
    return value


def stage_link(path: Path, to: str) -> Path:
    """Create, beside ``path``, the link that is to take its place, and return where it is."""
    aside = _aside(path)
    aside.unlink(missing_ok=True)
    aside.symlink_to(to)
    return aside


def drop_staged(path: Path) -> None:
    """Remove the link that was staged to take the place of ``path``, where it can be removed."""
    with contextlib.suppress(OSError):
        _aside(path).unlink()


def replace_link(path: Path, to: str) -> None:
    """Point a link elsewhere; there is no moment without it."""
    os.replace(stage_link(path, to), path)
    synchronise(path.parent)


def unlink(path: Path) -> None:
    """Remove a file or link that may be gone already."""
    if path.is_symlink() or path.exists():
        path.unlink()
        synchronise(path.parent)


def synchronise(directory: Path) -> None:
    """Have the names in a directory reach the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aside(path: Path) -> Path:
    return path.with_name(_aside_name(path.name))


def _aside_name(name: str) -> str:
    return f".{name}.next"
