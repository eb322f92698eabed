# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objectives of a report for CI systems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: report_junit
short_description: Show the objectives of a report as JUnit XML
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns what P(llmops.inference.result_report#filter) returned into JUnit XML, with a suite per service and a test
    case per objective. One that was missed is a failure, one that was not measured an error.
options:
  _input:
    description: The report.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Write the objectives for CI
  ansible.builtin.copy:
    content: "{{ judged | llmops.inference.report_junit }}"
    dest: objectives.xml
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The XML.
  type: str
"""


def report_junit(report: Mapping[str, Any]) -> str:
    """Return the XML of this report's objectives."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._report.junit import junit
    from ansible_collections.llmops.inference.plugins.plugin_utils._report.report import is_report

    if not is_report(report):
        raise AnsibleFilterError("report_junit takes the report that result_report returned.")
    return junit(report["host"], report["objectives"])


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"report_junit": report_junit}
