# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds to engine.json the version of Ray that is installed beside the engine.

Argument: the file. Run by the interpreter of the engine's virtual environment.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Replace the file in one step."""
    path = Path(sys.argv[1])
    description = {**json.loads(path.read_text(encoding="utf-8")), "ray": importlib.metadata.version("ray")}
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    temporary.chmod(0o644)
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
