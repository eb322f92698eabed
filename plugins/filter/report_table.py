# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: report_table
short_description: Show a report as tables
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns what P(llmops.inference.result_report#filter) returned into lines, objectives first, then before and after
    with the verdicts, or what was measured where nothing is compared.
options:
  _input:
    description: The report.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the report
  ansible.builtin.debug:
    msg: "{{ judged | llmops.inference.report_table }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""


def report_table(report: Mapping[str, Any]) -> list[str]:
    """Return the lines of this report."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._report.report import is_report
    from ansible_collections.llmops.inference.plugins.plugin_utils._report.table import report_lines

    if not is_report(report):
        raise AnsibleFilterError("report_table takes the report that result_report returned.")
    return report_lines(report)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"report_table": report_table}
