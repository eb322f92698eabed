# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes requirements.txt beside wheels: each by its version and its SHA-256, for ``pip install --require-hashes``.

Argument: the directory.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

directory = Path(sys.argv[1])
lines = []
for wheel in sorted(directory.glob("*.whl")):
    name, version = wheel.name.split("-")[:2]
    lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
(directory / "requirements.txt").write_text("".join(lines), encoding="utf-8")
