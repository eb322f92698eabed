# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses that monitoring hosts connect from."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: monitoring_addresses
short_description: List the addresses that hosts connect from
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Returns C(vllm_monitoring_address) of each host, else its C(ansible_host), else its name.
  - Whom a host lets in is decided by address, so that anything but an IP address is an error.
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
"""

EXAMPLES = r"""
- name: Show who may read metrics
  ansible.builtin.debug:
    msg: "{{ groups.vllm_monitoring | llmops.inference.monitoring_addresses(hostvars) }}"
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
