# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of a host, their memory and their incidents as tables for people."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: status_tables
short_description: Show the services of a host, their memory and their incidents as tables
version_added: 1.1.0
author: The llmops.inference maintainers
description:
  - Turns the result of M(llmops.inference.vllm_deployment_info) or M(llmops.inference.vllm_deployment) into lines.
options:
  _input:
    description: The result of the module.
    type: dict
    required: true
  latest:
    description: The number of incidents to show.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Show the services
  ansible.builtin.debug:
    msg: "{{ (found | llmops.inference.status_tables).endpoints }}"
"""

RETURN = r"""
_value:
  description:
    - The lines of each table, its heading first. C(endpoints) has a line per service. C(memory) has a line per service
      with predicted and actual bytes, which M(llmops.inference.vllm_deployment_info) alone returns. C(incidents) has a
      line per service, per gap of the journal, and per incident.
  type: dict
"""

status_tables = lazy("_status_tables", "status_tables")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"status_tables": status_tables}
