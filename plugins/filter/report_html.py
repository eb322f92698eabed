# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as a page with plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

DOCUMENTATION = r"""
name: report_html
short_description: Show a report as a page with plots
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns what P(llmops.inference.result_report#filter) returned into one HTML page, with the table of before and after,
    the distributions of latencies, tokens per second against concurrency, and memory over time.
  - The page loads nothing from anywhere and runs no script. The same report gives the same page.
requirements:
  - matplotlib on the controller, which draws the plots.
options:
  _input:
    description: The report.
    type: dict
    required: true
  history:
    description: Earlier runs on the same host, to be shown as a trend.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Write the page
  ansible.builtin.copy:
    content: "{{ judged | llmops.inference.report_html(history=earlier) }}"
    dest: report.html
    mode: "0644"
  delegate_to: localhost
  vars:
    earlier: "{{ query('llmops.inference.result_history', 'history/' ~ inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""


def report_html(report: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the page of this report."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._report.page import report_page
    from ansible_collections.llmops.inference.plugins.plugin_utils._report.report import is_report, read_results

    if not is_report(report):
        raise AnsibleFilterError("report_html takes the report that result_report returned.")
    try:
        return report_page(report, read_results(history) if history else ())
    except InferenceError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"report_html": report_html}
