# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways as Prometheus scrapes and probes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

DOCUMENTATION = r"""
name: monitoring_gateways
short_description: List gateways as Prometheus scrapes and probes them
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Reads the variables of the role P(llmops.inference.vllm_gateway#role) of each host, or their defaults.
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
- name: Show what Prometheus would probe
  ansible.builtin.debug:
    msg: "{{ groups.vllm_gateway | llmops.inference.monitoring_gateways(hostvars) }}"
"""

RETURN = r"""
_value:
  description:
    - One entry per host, with C(host), C(target), the address and port of HAProxy's metrics, and C(health), the
      URL that says whether it serves.
  type: list
  elements: dict
"""


def monitoring_gateways(hosts: Sequence[str], variables: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the gateways."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.monitoring import gateways_of

    try:
        return gateways_of(hosts, variables)
    except InferenceError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"monitoring_gateways": monitoring_gateways}
