# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration on disk: a small JSON file per key, which the services' group may read and only root writes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import _files
from .._plan.plan import Measured
from .records import Usage, from_record, to_record, worst

CALIBRATION_DIRECTORY = "/var/lib/vllm/calibration"
_DIRECTORY_MODE = 0o750
_MODE = 0o640


class CalibrationStore:
    """The records below ``directory``; ``group_id`` may read what is written, None leaves the group alone.

    The directory above may belong to the services' user, who must not choose where root writes: only the one above that
    is trusted.
    """

    def __init__(self, directory: str = CALIBRATION_DIRECTORY, group_id: int | None = None) -> None:
        place = Path(directory)
        self._base, self._names = place.parents[1], (place.parent.name, place.name)
        self._group_id = -1 if group_id is None else group_id

    def measured(self) -> dict[str, Measured]:
        """Return what to plan with, by key; records that cannot be read count as none."""
        try:
            with _files.directory_below(self._base, *self._names) as directory:
                keys = [name[: -len(".json")] for name in sorted(os.listdir(directory)) if name.endswith(".json")]
        except OSError:
            return {}
        found = {key: worst(self.starts(key)) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def starts(self, key: str) -> list[Usage]:
        """Return the starts recorded under a key, oldest first."""
        try:
            return from_record(_files.read_object_below(self._base, *self._names, f"{key}.json"))
        except (OSError, ValueError):
            return []

    def add(self, key: str, of: Mapping[str, Any], start: Usage) -> None:
        """Record one more start; OSError where it cannot be written, and then the record is as it was."""
        parent, name = self._names
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._base / parent, _DIRECTORY_MODE)
        with _files.directory_below(self._base, parent) as directory, contextlib.suppress(FileExistsError):
            os.mkdir(name, _DIRECTORY_MODE, dir_fd=directory)
        with _files.directory_below(self._base, *self._names) as directory:
            os.fchmod(directory, _DIRECTORY_MODE)
            os.fchown(directory, -1, self._group_id)
        text = json.dumps(to_record(of, [*self.starts(key), start]), indent=1) + "\n"
        _files.replace_below(self._base, *self._names, f"{key}.json", text=text, mode=_MODE, group_id=self._group_id)
