# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of modules that a role begins with."""

from __future__ import annotations


class ModuleDocFragment:
    """Documented for ``plugin_utils/_action/refusing.py``, which reads it."""

    DOCUMENTATION = r"""
options:
  problems:
    description:
      - What a role found wrong with its variables, in sentences. Where there is any the task fails with them, and the
        host is not asked for anything.
      - So a role's first task checks its variables, too, and a run without changes has a task less on every host.
    type: list
    elements: str
    default: []
"""
