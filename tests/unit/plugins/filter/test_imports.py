# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a play imports for one filter: Ansible imports the files of all of them, and a run that changes nothing pays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.llmops.inference.plugins.filter import plan_table

FILTERS = Path(plan_table.__file__).parent
INFERENCE = "ansible_collections.llmops.inference.plugins"
LIGHT = {"module_utils._errors", "module_utils._values", "plugin_utils._filter", "plugin_utils._table"}


def test_the_files_of_all_filters_import_little() -> None:
    script = f"""
import importlib, json, sys
for name in {sorted(file.stem for file in FILTERS.glob("[!_]*.py"))!r}:
    importlib.import_module("{INFERENCE}.filter." + name)
print(json.dumps([name for name in sys.modules if name.startswith("{INFERENCE}.") and "._" in name]))
"""
    path = os.pathsep.join(filter(None, sys.path))
    said = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env={"PYTHONPATH": path}
    )
    assert {name.removeprefix(f"{INFERENCE}.") for name in json.loads(said.stdout)} == LIGHT
