# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what an installation needs to know of the host, as JSON; fails when the interpreter cannot make a venv.

Arguments: the directory to install in, which need not exist yet; a directory of wheels, or nothing; and of which
distributions it must have a wheel, each as ``NAME`` or ``NAME-VERSION``.
"""

from __future__ import annotations

import ensurepip
import json
import os
import shutil
import sys
import venv

for module in (ensurepip, venv):  # Debian ships both apart from the interpreter
    assert module.__file__

directory, wheel_dir, *distributions = sys.argv[1:]
directory = os.path.abspath(directory)
while not os.path.exists(directory):
    directory = os.path.dirname(directory)

missing = []
if wheel_dir:
    wheels = os.listdir(wheel_dir) if os.path.isdir(wheel_dir) else []
    missing = [
        name
        for name in distributions
        if not any(wheel.startswith(name + "-") and wheel.endswith(".whl") for wheel in wheels)
    ]
print(json.dumps({"free_bytes": shutil.disk_usage(directory).free, "missing_wheels": missing}))
