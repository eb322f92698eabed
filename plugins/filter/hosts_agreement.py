# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the hosts of a service can change together."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: hosts_agreement
short_description: Compare the plans of hosts that run services together
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Says why the hosts of a service cannot change together. One of them failed or is not in the batch, their engines or
    model files differ, what fits on them differs, or fewer hosts work at a time than wait for each other.
  - Says which services must start again on all of their hosts because one of them does.
options:
  _input:
    description: The hosts of each service, by its name.
    type: dict
    required: true
  parts:
    description: What M(llmops.inference.vllm_deployment) returned in check mode, by host.
    type: dict
    required: true
  forks:
    description: How many hosts work at a time.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Refuse hosts that do not agree
  ansible.builtin.assert:
    that: (groups_of_services | llmops.inference.hosts_agreement(parts, ansible_forks)).problems | length == 0
"""

RETURN = r"""
_value:
  description: C(problems), a list of sentences, and C(restart), a list of names.
  type: dict
"""

hosts_agreement = lazy("_fleet.several_hosts", "group_conflicts")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"hosts_agreement": hosts_agreement}
