# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine hosts as Prometheus scrapes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

DOCUMENTATION = r"""
name: monitoring_targets
short_description: List engine hosts as Prometheus scrapes them
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Every engine host has one port for all of its metrics, that of its relay.
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
- name: Show what Prometheus would scrape
  ansible.builtin.debug:
    msg: "{{ groups.vllm | llmops.inference.monitoring_targets(hostvars) }}"
"""

RETURN = r"""
_value:
  description: One entry per host, with C(host) and C(target), the address and port of its relay.
  type: list
  elements: dict
"""


def monitoring_targets(hosts: Sequence[str], variables: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the targets."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.monitoring import targets_of

    try:
        return targets_of(hosts, variables)
    except InferenceError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"monitoring_targets": monitoring_targets}
