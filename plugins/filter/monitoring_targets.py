# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as Prometheus scrapes them."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: monitoring_targets
short_description: List engine hosts or gateways as Prometheus scrapes them
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Every engine host has one port for all of its metrics, that of its relay.
  - For gateways, reads the variables of the role P(llmops.inference.vllm_gateway#role) of each host, or their defaults.
options:
  _input:
    description: The names of the hosts in the inventory.
    type: list
    elements: str
    required: true
  variables:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
  kind:
    description: Which targets of these hosts to list.
    type: str
    choices: [engines, gateways]
    default: engines
"""

EXAMPLES = r"""
- name: Show the targets of Prometheus
  ansible.builtin.debug:
    msg:
      - "{{ groups.vllm | llmops.inference.monitoring_targets(hostvars) }}"
      - "{{ groups.vllm_gateway | llmops.inference.monitoring_targets(hostvars, 'gateways') }}"
"""

RETURN = r"""
_value:
  description:
    - One entry per host, with C(host) and C(target), the address and port of its metrics.
    - The entry of a gateway also has C(health), the URL that says whether the gateway serves.
  type: list
  elements: dict
"""

monitoring_targets = lazy("_fleet.monitoring", "targets_of")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"monitoring_targets": monitoring_targets}
