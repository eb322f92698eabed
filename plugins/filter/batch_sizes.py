# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches of hosts that keep every model at its floor."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: batch_sizes
short_description: Size the batches of a rolling change by what must serve meanwhile
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Reads C(vllm_services_layout) of each host, or the layout of its active profile, and counts the replicas of each
    model, by the name that clients ask for.
  - Returns the sizes of the fewest consecutive batches of the hosts in which no model has fewer replicas in service
    than its floor; a value for C(serial) of a play of these hosts in this order.
  - A model of which no host could be taken is an error, which says how many replicas there are.
options:
  _input:
    description: The hosts to be changed, in the order of the play.
    type: list
    elements: str
    required: true
  variables:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
  floor:
    description:
      - How many replicas of a model must serve, as a number or a percentage of those there are, C(75%), rounded up.
      - A dictionary states it by model; C(default) is for the others, and 0 without it.
    type: raw
    required: true
  fleet:
    description: All hosts that serve, also those that are not to be changed. The default is the hosts themselves.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Change hosts while at least three quarters of each model's replicas serve
  hosts: vllm
  serial: "{{ groups.vllm | llmops.inference.batch_sizes(hostvars, '75%') }}"
  roles:
    - role: llmops.inference.vllm_services
"""

RETURN = r"""
_value:
  description: The number of hosts of each batch. Together they are all hosts.
  type: list
  elements: int
"""

batch_sizes = lazy("_fleet.batches", "fleet_batches")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"batch_sizes": batch_sizes}
