# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that were kept in a directory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: result_history
short_description: Read the runs of a benchmark that were kept
version_added: 1.0.0
author: The llmops.inference maintainers (@llmops)
description:
  - Reads every run in some directories of the controller, the oldest first. A directory that does not exist has none.
  - A directory holds one file per run, C(NAME.json), as C(docs/schemas/result.schema.json) describes it.
options:
  _terms:
    description: The directories, usually one per host.
    type: list
    elements: path
    required: true
  newest:
    description: How many of the newest runs to return; 0 returns all.
    type: int
    default: 50
"""

EXAMPLES = r"""
- name: Show how many runs of this host were kept
  ansible.builtin.debug:
    msg: "{{ query('llmops.inference.result_history', 'history/' ~ inventory_hostname) | length }}"
"""

RETURN = r"""
_raw:
  description: The runs.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._report.history import read_runs


class LookupModule(LookupBase):
    """The lookup of this file."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return the runs below the directories."""
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return read_runs(terms, self.get_option("newest"))
        except InferenceError as error:
            raise AnsibleLookupError(str(error)) from error
