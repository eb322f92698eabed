# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module of this name, with which a role begins."""

from __future__ import annotations

from ansible_collections.llmops.inference.plugins.plugin_utils._action.refusing import RefusingAction


class ActionModule(RefusingAction):
    """Fails with the problems of the role's variables, or runs the module."""
