# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard's code as it lies in a generation: an ordinary program that needs nothing of this collection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._deploy.programs import sources


@pytest.fixture
def lib(tmp_path: Path) -> Path:
    """The bundle, written as in a generation."""
    for name, text in sources().items():
        path = tmp_path / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "lib"


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={}, cwd=program.parent)


def test_the_guard_runs_by_itself(lib: Path) -> None:
    # A service that is in no generation has nothing to release; getting there imports all that the guard needs.
    for action in ("release", "look"):
        ran = run(lib / "vllm_guard", action, "nobody")
        assert (ran.returncode, ran.stderr) == (0, "")


def test_the_way_back_runs_by_itself(lib: Path) -> None:
    # A group that does not exist is the first thing that it finds, after it has imported all that it needs.
    ran = run(lib / "vllm_recover", str(lib / "etc"), str(lib / "units"), "no-such-group")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "name not found: 'no-such-group'" in ran.stderr
