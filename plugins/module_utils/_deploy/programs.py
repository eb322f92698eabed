# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that units run, around the engine and at boot, as files of a generation.

The host keeps the code that the module ran with, so that a generation brings its own guard along when it is activated
again.
"""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType

from .._closure import PACKAGE, closure
from .._guard import guard, launch
from . import recover

_ROOT = __name__.rpartition("._deploy.")[0]

# A program states the directory of its generation, so that no module counts directories above its own file.
_LAUNCHER = f'''"""{{purpose}}"""
import sys
from pathlib import Path

from {PACKAGE}.{{module}} import main

sys.exit(main(Path(__file__).resolve().parents[1], sys.argv[1:]))
'''
_PROGRAMS = {
    "vllm_guard": (guard, "The unit's steps around the engine: vllm_guard admit|ready|release|look|group NAME."),
    "vllm_launch": (launch, "The first program of a container: vllm_launch NAME COMMAND..."),
    "vllm_recover": (recover, "Roll back at boot: vllm_recover CONFIG_ROOT UNIT_DIRECTORY GROUP."),
}


def sources() -> dict[str, str]:
    """Return the text of every file of these programs, by its path below the generation's ``lib/``."""
    programs = {
        name: _LAUNCHER.format(purpose=purpose, module=_below_root(module))
        for name, (module, purpose) in _PROGRAMS.items()
    }
    modules = closure("".join(programs.values()), _source)
    return {**programs, **{f"{PACKAGE}/{path}": text for path, text in modules.items()}}


def _below_root(module: ModuleType) -> str:
    return module.__name__[len(_ROOT) + 1 :]


def _source(name: str) -> str | None:
    """Return the text of a module; None for a package, and for a name that is a definition of a module."""
    try:
        module = importlib.import_module(f"{_ROOT}.{name}")
    except ModuleNotFoundError:
        return None
    return None if hasattr(module, "__path__") else inspect.getsource(module)
