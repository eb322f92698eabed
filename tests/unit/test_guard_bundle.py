# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard's code as it lies in a generation: an ordinary program that needs nothing of this collection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ansible_collections.llmops.inference.plugins.module_utils._guard_bundle import sources


def test_the_bundle_runs_by_itself(tmp_path: Path) -> None:
    for name, text in sources().items():
        path = tmp_path / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    # A service that is in no generation has nothing to release; getting there imports every module of the bundle.
    for action in ("release", "look"):
        command = [sys.executable, "-B", str(tmp_path / "lib/vllm_guard"), action, "nobody"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env={}, cwd=tmp_path)
        assert (ran.returncode, ran.stderr) == (0, "")
