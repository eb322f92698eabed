# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that were kept, one file per run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import read_result
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError


def read_runs(directories: Iterable[str], newest: int = 0) -> list[dict[str, Any]]:
    """Return the runs in every ``*.json`` of some directories, the oldest first; ``newest`` 0 returns all.

    A directory that does not exist has none. InferenceError names a file that is no run.
    """
    found = [_read(file) for name in directories for file in Path(name).expanduser().glob("*.json")]
    found.sort(key=lambda run: str(run["started"]))
    return found[-newest:] if newest else found


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_result(json.loads(file.read_text(encoding="utf-8")), str(file)).to_dict()
    except (OSError, ValueError) as error:
        raise InferenceError(f"{file} is no run of a benchmark ({error}); move it elsewhere.") from error
    except InferenceError as error:
        raise InferenceError(f"{error} Correct the file, or move it elsewhere.") from error
