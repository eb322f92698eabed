# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the runs of a directory into one file for tests/unit/recorded: a JSON list, oldest first, compressed.

Arguments: the directory, and the file. Times are rounded to the microsecond, of which a test needs no more.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._history import read_history


def rounded(value: Any) -> Any:
    """The same with every number rounded to six places."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def main() -> None:
    """Pack them."""
    directory, file = sys.argv[1:]
    runs = rounded(read_history([directory]))
    text = json.dumps(runs, separators=(",", ":")).encode()
    # Without a time and a name in it, the same runs give the same file.
    Path(file).write_bytes(gzip.compress(text, mtime=0))
    print(f"{file}: {len(runs)} runs, {Path(file).stat().st_size} bytes")


if __name__ == "__main__":
    main()
