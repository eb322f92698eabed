# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes in layouts and settings, before any host is contacted."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stated_problems
short_description: Find mistakes in the layouts of hosts before any host is contacted
version_added: 1.1.0
author: The llmops.inference maintainers (@llmops)
description:
  - Checks the variables of the role P(llmops.inference.vllm_services#role) of all hosts, and every service of their
    layouts. Each mistake names the host, the service, the key, the value, and the values that are allowed.
  - The playbooks of this collection begin with it.
options:
  _terms:
    description: The names of hosts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Check every layout
  ansible.builtin.assert:
    that: query('llmops.inference.stated_problems', *groups['vllm']) | length == 0
"""

RETURN = r"""
_raw:
  description: A sentence for each mistake.
  type: list
  elements: str
"""

from collections.abc import Mapping
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.stated import stated_problems


class LookupModule(LookupBase):
    """The lookup of this file."""

    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the mistakes of all hosts."""
        self.set_options(var_options=variables, direct=kwargs)
        return stated_problems(terms, (variables or {})["hostvars"])
