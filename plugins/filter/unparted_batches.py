# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches of a rolling change that part no hosts which run a service together."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: unparted_batches
short_description: Size batches so that hosts of one service are in one
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns what C(serial) of a play takes, a number, a percentage or a list of them, into a list of numbers of hosts,
    each as large as was asked for and as much larger as it takes to have all hosts of a service in one batch.
  - Where no service runs on several hosts it gives back what it got.
options:
  _input:
    description: What C(serial) would be.
    type: raw
    required: true
  hosts:
    description: The hosts of the play, in their order.
    type: list
    elements: str
    required: true
  variables:
    description: The variables of all hosts, which are C(hostvars).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Serve
  hosts: vllm
  serial: "{{ 1 | llmops.inference.unparted_batches(groups['vllm'], hostvars) }}"
  roles:
    - llmops.inference.vllm_services
"""

RETURN = r"""
_value:
  description: What C(serial) shall be.
  type: raw
"""

unparted_batches = lazy("_fleet.several_hosts", "unparted")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"unparted_batches": unparted_batches}
