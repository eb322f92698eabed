# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engines of a host listen, beside loopback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DOCUMENTATION = r"""
name: monitoring_engine_addresses
short_description: List the addresses that the engines of a host listen on
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Reads C(vllm_services_layout) of a host, or the layout of its profile in force.
  - Loopback is left out, and so are unix sockets and every-address.
options:
  _input:
    description: The variables of the host, C(hostvars[inventory_hostname]).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show where engines listen
  ansible.builtin.debug:
    msg: "{{ hostvars[inventory_hostname] | llmops.inference.monitoring_engine_addresses }}"
"""

RETURN = r"""
_value:
  description: The IP addresses, each once.
  type: list
  elements: str
"""


def monitoring_engine_addresses(variables: Mapping[str, Any]) -> list[str]:
    """Return the addresses."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.monitoring import engine_addresses_of

    return engine_addresses_of(variables)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"monitoring_engine_addresses": monitoring_engine_addresses}
