# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or absent, and are still so after the power has failed.

What is renamed into place was synchronised before, and the directory that names it after. All of it raises OSError.
"""

from __future__ import annotations

import os
from pathlib import Path


def create(path: Path, text: str, mode: int, group_id: int) -> None:
    """Write a file that does not exist yet; it belongs to root and ``group_id``, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fchown(stream.fileno(), 0, group_id)
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())


def replace(path: Path, text: str, mode: int, group_id: int) -> None:
    """Put a file in the place of one that may exist; every reader sees the one or the other."""
    aside = _aside(path)
    aside.unlink(missing_ok=True)
    create(aside, text, mode, group_id)
    os.replace(aside, path)
    synchronise(path.parent)


def stage_link(path: Path, to: str) -> Path:
    """Create, beside ``path``, the link that is to take its place, and return where it is."""
    aside = _aside(path)
    aside.unlink(missing_ok=True)
    aside.symlink_to(to)
    return aside


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
    return path.with_name(f".{path.name}.next")
