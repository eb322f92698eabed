# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module of this name: starts it, follows the transaction on the host, shows its progress."""

from __future__ import annotations

from ansible_collections.llmops.inference.plugins.plugin_utils._action.follow import FollowingAction


class ActionModule(FollowingAction):
    """Runs the module detached and returns what the transaction returned."""
