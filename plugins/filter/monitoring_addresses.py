# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses by which hosts let others in."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: monitoring_addresses
short_description: List the addresses that hosts connect from, or that their engines listen on
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - For hosts, returns C(vllm_monitoring_address) of each host, else its C(ansible_host), else its name. A host lets
    others in by address, so that a name is an error.
  - For engines, reads the layout that each host deploys. Loopback, unix sockets and every-address are left out.
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
    description: Which addresses of these hosts to list.
    type: str
    choices: [hosts, engines]
    default: hosts
"""

EXAMPLES = r"""
- name: Show who may read metrics
  ansible.builtin.debug:
    msg: "{{ groups.vllm_monitoring | llmops.inference.monitoring_addresses(hostvars) }}"

- name: Show the addresses on which the engines of this host listen
  ansible.builtin.debug:
    msg: "{{ [inventory_hostname] | llmops.inference.monitoring_addresses(hostvars, 'engines') }}"
"""

RETURN = r"""
_value:
  description: The IP addresses, each once.
  type: list
  elements: str
"""

monitoring_addresses = lazy("_fleet.monitoring", "addresses_of")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"monitoring_addresses": monitoring_addresses}
