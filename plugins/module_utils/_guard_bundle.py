# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code that units run, around the engine and at boot, as files of a generation.

The host keeps the very code that the module ran with, so that a rolled back generation brings its own guard along.
"""

from __future__ import annotations

import inspect

from . import (
    _changes,
    _deployment,
    _durable,
    _environment_file,
    _errors,
    _generation,
    _gpu_health,
    _gpu_links,
    _group,
    _group_member,
    _guard,
    _health,
    _job,
    _launch,
    _manifest,
    _metrics,
    _numa,
    _nvml,
    _places,
    _ports,
    _progress,
    _records,
    _recover,
    _requests,
    _systemd,
    _ticket,
    _topology,
    _transaction,
    _unit_links,
    _watchdog,
    _wedged,
)
from ._incidents import (
    cause,
    lines,
    signature,
    signatures,
    signatures_gpu,
    signatures_host,
    signatures_model,
    statements,
    survival,
)

_MODULES = (
    _changes,
    _deployment,
    _durable,
    _environment_file,
    _errors,
    _generation,
    _gpu_health,
    _gpu_links,
    _group,
    _group_member,
    _guard,
    _health,
    cause,
    lines,
    signature,
    signatures,
    signatures_gpu,
    signatures_host,
    signatures_model,
    statements,
    survival,
    _job,
    _launch,
    _manifest,
    _metrics,
    _numa,
    _nvml,
    _places,
    _ports,
    _progress,
    _records,
    _recover,
    _requests,
    _systemd,
    _ticket,
    _topology,
    _transaction,
    _unit_links,
    _watchdog,
    _wedged,
)
_PACKAGE = "llmops_inference"

_LAUNCHER = f'''"""%s"""
import sys

from {_PACKAGE}.%s import main

sys.exit(main(sys.argv[1:]))
'''
_PROGRAMS = {
    "vllm_guard": ("_guard", "What the units run around the engine: vllm_guard admit|ready|release|look|group NAME."),
    "vllm_launch": ("_launch", "What a container runs before the engine: vllm_launch NAME COMMAND..."),
    "vllm_recover": ("_recover", "The way back at boot: vllm_recover CONFIG_ROOT UNIT_DIRECTORY GROUP."),
}


def sources() -> dict[str, str]:
    """Every file of that code by its path below the generation's ``lib/``."""
    files = {program: _LAUNCHER % (what, module) for program, (module, what) in _PROGRAMS.items()}
    root = len(__name__.rpartition(".")[0]) + 1
    for module in _MODULES:
        files[f"{_PACKAGE}/{module.__name__[root:].replace('.', '/')}.py"] = inspect.getsource(module)
    return files
