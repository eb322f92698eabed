# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code that units run around the engine, as files of a generation.

The host keeps the very code that the module ran with, so that a rolled back generation brings its own guard along.
"""

from __future__ import annotations

import inspect

from . import (
    _errors,
    _gpu_health,
    _gpu_links,
    _guard,
    _health,
    _metrics,
    _numa,
    _nvml,
    _ports,
    _records,
    _requests,
    _ticket,
    _topology,
    _watchdog,
    _wedged,
)

_MODULES = (
    _errors,
    _gpu_health,
    _gpu_links,
    _guard,
    _health,
    _metrics,
    _numa,
    _nvml,
    _ports,
    _records,
    _requests,
    _ticket,
    _topology,
    _watchdog,
    _wedged,
)
_PACKAGE = "llmops_inference"

_LAUNCHER = f'''"""What the units run around the engine: vllm_guard admit|ready|release|look NAME."""
import sys

from {_PACKAGE}._guard import main

sys.exit(main(sys.argv[1:]))
'''


def sources() -> dict[str, str]:
    """Every file of the guard by its path below the generation's ``lib/``."""
    files = {"vllm_guard": _LAUNCHER}
    for module in _MODULES:
        files[f"{_PACKAGE}/{module.__name__.rpartition('.')[2]}.py"] = inspect.getsource(module)
    return files
