# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans as a page with pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: plan_html
short_description: Show plans as a page with pictures
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns what M(llmops.inference.vllm_plan) returned for some hosts into one HTML page, with a bar for the memory of
    each device and a picture of each host's topology.
  - The page loads nothing from anywhere, and the same plans give the same page.
options:
  _input:
    description:
      - What the module returned, by name of the host. Of each the C(plan) is needed, and C(topology) where there is to
        be a picture of it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Write the plan of this host as a page
  ansible.builtin.copy:
    content: "{{ {inventory_hostname: planned} | llmops.inference.plan_html }}"
    dest: plan.html
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""


def plan_html(hosts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page of these hosts' plans."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._plan_page.page import page

    if not isinstance(hosts, Mapping) or not all(
        isinstance(host, Mapping) and "plan" in host for host in hosts.values()
    ):
        raise AnsibleFilterError("plan_html takes a dictionary of hosts, each with the plan that vllm_plan returned.")
    return page(hosts)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"plan_html": plan_html}
