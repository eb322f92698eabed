# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of a layout whose services name their hosts, what one host runs."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: part_of_host
short_description: Take the part of one host out of a layout
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Leaves out services whose C(hosts) do not name the host, and turns C(hosts), C(executor) and C(master_port) of those
    that run on several hosts into O(llmops.inference.vllm_plan#module:services[].multi_node).
  - Hosts that are not in the inventory, that have no C(vllm_services_interconnect_address), or whose own layout says
    something else of the service are errors, all of them reported at once.
options:
  _input:
    description: The layout.
    type: list
    elements: dict
    required: true
  host:
    description: The name of the host in the inventory.
    type: str
    required: true
  variables:
    description: The variables of all hosts, which are C(hostvars).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Plan what this host runs of it
  llmops.inference.vllm_plan:
    services: "{{ vllm_services_layout | llmops.inference.part_of_host(inventory_hostname, hostvars) }}"
"""

RETURN = r"""
_value:
  description: The services, as modules take them.
  type: list
  elements: dict
"""

part_of_host = lazy("_fleet.several_hosts", "part_of")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"part_of_host": part_of_host}
