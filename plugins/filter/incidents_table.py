# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The incidents of a host, and how often its services have them, as a table for people."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: incidents_table
short_description: Show the incidents of a host as a table
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns the result of M(llmops.inference.vllm_deployment_info) into lines, how often each service had incidents
    before the latest of them.
options:
  _input:
    description: What M(llmops.inference.vllm_deployment_info) returns.
    type: dict
    required: true
  latest:
    description: How many incidents to show.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Show what went wrong
  ansible.builtin.debug:
    msg: "{{ found | llmops.inference.incidents_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table, its heading first.
  type: list
  elements: str
"""

incidents_table = lazy("_status_tables", "incidents_lines")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"incidents_table": incidents_table}
