# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command of Ansible in this checkout, as its user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.llmops.inference.tests.tools.environments import ROOT


def ansible(*command: str, environment: dict[str, str] | None = None, status: int = 0) -> str:
    """Return what the command says; its exit status must be ``status``."""
    env = os.environ | {"ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"} | (environment or {})
    program = Path(sys.executable).with_name(command[0])
    ran = subprocess.run([program, *command[1:]], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr if status else ran.stdout
