# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the modules that a role begins with: what is wrong with its variables is said before all else."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class RefusingAction(ActionBase):
    """Runs the module of its name, unless its option ``problems`` has any."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result, or the problems as a failure."""
        super().run(tmp, task_vars)
        problems = self._task.args.get("problems") or []
        if problems:
            return {"failed": True, "msg": " ".join(problems)}
        return dict(self._execute_module(task_vars=task_vars))
