# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of the host at hand that look like a role's and are not."""

from __future__ import annotations

DOCUMENTATION = r"""
name: misnamed_variables
short_description: Find variables that look like those of a role and are not
version_added: 1.0.0
author: The llmops.inference maintainers (@llmops)
description:
  - Compares the names of the variables of the host with the argument specification of a role of this collection. A name
    that begins with the role's name and an underscore is meant for it; so is one that starts with C(vllm_) and differs
    from one of them by a slip.
  - Every role of this collection begins with it, so that a misspelt variable is an error and not a default.
options:
  _terms:
    description: The name of the role, without the collection's.
    type: list
    elements: str
    required: true
  results:
    description: Names of variables that the role itself sets.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what a role would not read
  ansible.builtin.debug:
    msg: "{{ query('llmops.inference.misnamed_variables', 'vllm_services') }}"
"""

RETURN = r"""
_raw:
  description: A sentence for each, with the name that was probably meant. Empty where there is none.
  type: list
  elements: str
"""

from collections.abc import Mapping
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.llmops.inference.plugins.plugin_utils._role_variables import misnamed


class LookupModule(LookupBase):
    """The lookup of this file."""

    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the sentences of all roles."""
        self.set_options(var_options=variables, direct=kwargs)
        return [line for role in terms for line in misnamed(role, variables or {}, self.get_option("results"))]
