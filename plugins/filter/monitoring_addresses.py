# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses that monitoring hosts connect from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

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


def monitoring_addresses(hosts: Sequence[str], variables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the addresses; a host without an IP address is refused."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.monitoring import addresses_of

    try:
        return addresses_of(hosts, variables)
    except InferenceError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"monitoring_addresses": monitoring_addresses}
