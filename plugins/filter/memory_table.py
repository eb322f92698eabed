# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What services were expected to use of their devices against what they use, as a table for people."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: memory_table
short_description: Show predicted against actual memory of services as a table
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns the C(services) that M(llmops.inference.vllm_deployment_info) returns into lines of a table, what the plan
    expected before what the engine used, and how far the KV cache is off.
options:
  _input:
    description: The list C(services) of M(llmops.inference.vllm_deployment_info).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show how good the plan was
  ansible.builtin.debug:
    msg: "{{ found.services | llmops.inference.memory_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table, its heading first.
  type: list
  elements: str
"""

memory_table = lazy("_status_tables", "memory_lines")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"memory_table": memory_table}
