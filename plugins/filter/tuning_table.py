# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence of a search for a better layout, in the lines of a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: tuning_table
version_added: 1.0.0
author: The llmops.inference maintainers
short_description: Show what a search for a better layout measured
description:
  - Returns a line per candidate and service, the best first.
options:
  _input:
    description: The report that P(llmops.inference.tuning_report#filter) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Look at it
  ansible.builtin.debug:
    msg: "{{ found | llmops.inference.tuning_table }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""


def tuning_table(report: Mapping[str, Any]) -> list[str]:
    """Return it for this report."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._tuning.search import tuning_lines

    if not isinstance(report, Mapping) or "trials" not in report:
        raise AnsibleFilterError("tuning_table takes the report that tuning_report returned.")
    return tuning_lines(report)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"tuning_table": tuning_table}
