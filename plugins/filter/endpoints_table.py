# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of a deployment as a table for people."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: endpoints_table
short_description: Show the services of a deployment as a table
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns the C(services) that M(llmops.inference.vllm_deployment) returns into lines of a table.
options:
  _input:
    description: The list C(services) of M(llmops.inference.vllm_deployment).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is served
  ansible.builtin.debug:
    msg: "{{ deployed.services | llmops.inference.endpoints_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table, its heading first.
  type: list
  elements: str
"""

endpoints_table = lazy("_status_tables", "endpoints_lines")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"endpoints_table": endpoints_table}
