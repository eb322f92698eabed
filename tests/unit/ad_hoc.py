# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module on this machine the way Ansible runs it on a host: sent by a controller, run by the host's Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.tests.unit.nvml_box import environment


def run_module(
    name: str, box: Path | None, *options: str, succeeds: bool = True, arguments: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Run a module of this collection on a host with these GPUs and return its result.

    The host's Python is the one of this test. The controller is the ``ansible`` beside it or, where a Python is only
    a host's, the first on PATH.
    """
    collections = [path for path in sys.path if (Path(path) / "ansible_collections").is_dir()]
    env = environment(box) | {
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(collections),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    del env["PYTHONPATH"]  # two Pythons at once; each has its own packages
    ansible = shutil.which("ansible", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert ansible, "no ansible on PATH"
    command = [ansible, "localhost", "-i", "localhost,", "-c", "local"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", *options]
    command += ["-m", f"llmops.inference.{name}", "-a", json.dumps(arguments) if arguments else ""]
    answer = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
    assert (answer.returncode == 0) == succeeds, answer.stdout + answer.stderr
    result: dict[str, Any] = json.loads(answer.stdout.partition(" => ")[2])
    return result
