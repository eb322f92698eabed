# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration on disk: a small JSON file per key, which the services' group may read and only root writes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._plan.plan import Measured
from .._values import MIB
from .records import Usage, from_record, to_record, worst

CALIBRATION_DIRECTORY = "/var/lib/vllm/calibration"
_DIRECTORY_MODE = 0o750
_MODE = 0o640
_MAX_BYTES = MIB


class CalibrationStore:
    """The records below ``directory``; ``group_id`` may read what is written, None leaves the group alone."""

    def __init__(self, directory: str = CALIBRATION_DIRECTORY, group_id: int | None = None) -> None:
        self._directory = Path(directory)
        self._group_id = -1 if group_id is None else group_id

    def measured(self) -> dict[str, Measured]:
        """Return what to plan with, by key; records that cannot be read count as none."""
        try:
            keys = [path.stem for path in sorted(self._directory.glob("*.json"))]
        except OSError:
            return {}
        found = {key: worst(self.starts(key)) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def starts(self, key: str) -> list[Usage]:
        """Return the starts recorded under a key, oldest first."""
        try:
            with self._path(key).open("rb") as stream:
                return from_record(json.loads(stream.read(_MAX_BYTES)))
        except (OSError, ValueError, RecursionError):
            return []

    def add(self, key: str, of: Mapping[str, Any], start: Usage) -> None:
        """Record one more start; OSError where it cannot be written, and then the record is as it was."""
        self._directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        if self._directory.is_symlink():
            # The directory above may belong to the services' user, who shall not choose where root writes.
            raise OSError(f"{self._directory} is a link, not a directory")
        self._directory.chmod(_DIRECTORY_MODE)
        os.chown(self._directory, -1, self._group_id)
        aside = self._path(key).with_suffix(".incomplete")
        aside.unlink(missing_ok=True)
        text = json.dumps(to_record(of, [*self.starts(key), start]), indent=1) + "\n"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            os.fchown(stream.fileno(), -1, self._group_id)
            os.fchmod(stream.fileno(), _MODE)
        os.replace(aside, self._path(key))

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.json"
