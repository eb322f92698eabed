# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A layout whose services have some of their keys changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

DOCUMENTATION = r"""
name: with_changes
short_description: Change keys of a layout's services
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Sets keys of services in a layout, and leaves everything else as it is.
  - A name that no service has is an error.
options:
  _input:
    description: The layout.
    type: list
    elements: dict
    required: true
  changes:
    description: Keys to set, by name of the service.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Plan with fewer requests at a time
  llmops.inference.vllm_plan:
    services: "{{ layout | llmops.inference.with_changes({'mini': {'max_num_seqs': 16}}) }}"
"""

RETURN = r"""
_value:
  description: The layout.
  type: list
  elements: dict
"""


def with_changes(layout: Sequence[Mapping[str, Any]], changes: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the layout with these keys."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.layout import changed_layout

    try:
        return changed_layout(layout, changes)
    except InferenceError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"with_changes": with_changes}
