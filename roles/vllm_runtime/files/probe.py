# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what an installation needs to know of the host, as JSON; fails when the interpreter cannot make a venv.

Argument: the directory to install in, which need not exist yet.
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

directory = os.path.abspath(sys.argv[1])
while not os.path.exists(directory):
    directory = os.path.dirname(directory)
print(json.dumps({"free_bytes": shutil.disk_usage(directory).free}))
