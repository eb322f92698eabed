# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the host's files an engine in a container must see, to read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .._plan.layout import Service


def read_only(service: Service) -> tuple[str, ...]:
    """The model, every path that a flag of the engine names, and where links in these lead; paths of the host."""
    stated = [service.model, *(path for path in _absolute(service.engine_args) if os.path.exists(path))]
    mounts: list[str] = []
    targets = [target for path in stated for target in _link_targets(Path(path))]
    for path in [*stated, *targets]:
        if not any(_is_below(path, mount) for mount in mounts):
            mounts.append(path)
    return tuple(mounts)


def _absolute(value: object) -> Iterator[str]:
    """Absolute paths among the values of flags, which may be nested."""
    if isinstance(value, str) and value.startswith("/"):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _absolute(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _absolute(inner)


def _link_targets(directory: Path) -> list[str]:
    """The directories that hold what the files of a directory are links to, as in a cache of the Hugging Face hub."""
    if not directory.is_dir():
        return []
    return sorted({str(entry.resolve().parent) for entry in directory.iterdir() if entry.is_symlink()})


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
