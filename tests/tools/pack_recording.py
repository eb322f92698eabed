# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the runs that molecule/validation/record.yml made, for tests/unit/recorded.

Arguments: the directory of the runs, and the file to write. Times are rounded to the microsecond, as the statistics
do not need more; the memory's samples are left off, as no verdict reads them. Nothing else is changed.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any


def rounded(value: Any) -> Any:
    """Return a document with its fractions rounded to six digits."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value


def main() -> None:
    """Pack them, the oldest first."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(source.glob("*.json"))]
    kept = [rounded({**run, "memory": []}) for run in runs]
    # Without a time and a name in its header, the same runs give the same file.
    target.write_bytes(gzip.compress(json.dumps(kept, separators=(",", ":")).encode(), mtime=0))
    print(f"{target}: {len(kept)} runs, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
