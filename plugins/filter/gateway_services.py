# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of the layouts of hosts, as a gateway reaches them."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: gateway_services
short_description: List the services of hosts as a gateway reaches them
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Reads C(vllm_services_layout) of each host, or the layout of its active profile.
  - A service that listens on loopback is reached by a gateway on its own host only; on another it is an error.
  - One that listens on every address is reached at C(ansible_host).
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
  gateway:
    description: The name of the gateway's host in the inventory.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what the gateway would route
  ansible.builtin.debug:
    msg: "{{ groups.vllm | llmops.inference.gateway_services(hostvars, inventory_hostname) | map(attribute='model') }}"
"""

RETURN = r"""
_value:
  description:
    - One entry per service, with C(host), C(name), C(model), C(address), C(port), C(maxconn) and C(api_key), the
      C(VLLM_API_KEY) of its C(secret_environment).
  type: list
  elements: dict
"""

gateway_services = lazy("_fleet.gateway", "services_of")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"gateway_services": gateway_services}
