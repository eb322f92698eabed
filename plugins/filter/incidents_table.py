# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The incidents of a host, and how often its services have them, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._table import table

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

_RATES = (
    ("SERVICE", "service", "{}"),
    ("INCIDENTS", "incidents", "{}"),
    ("IN DAYS", "days", "{:.1f}"),
    ("PER DAY", "per_day", "{:.2f}"),
    ("REQUESTS", "requests", "{}"),
    ("PER 1000", "per_1000_requests", "{:.3f}"),
)
_INCIDENTS = (
    ("TIME", "time", "{}"),
    ("SERVICE", "service", "{}"),
    ("WHAT", "kind", "{}"),
    ("AWAY", "lost_seconds", "{:.0f} s"),
    ("LINE", "line", "{:.100}"),
)


def incidents_table(found: Mapping[str, Any], latest: int = 10) -> list[str]:
    """One line per service, one per gap of the journal, and one per incident where there are any."""
    incidents: Sequence[Mapping[str, Any]] = found["incidents"]
    lines = [*table(_RATES, found["incident_rates"]), *found.get("incident_gaps", ())]
    return lines + table(_INCIDENTS, incidents[-latest:]) if incidents else lines


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"incidents_table": incidents_table}
