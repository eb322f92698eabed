# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a benchmark as one report."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: result_report
short_description: Judge runs of a benchmark
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns runs that were measured on one host into a report, with the typical value of every metric over the runs, an
    interval for it, and whether objectives are kept.
  - Runs that have a C(side) and a C(round) are compared, pair by pair, with a verdict where the data carry one.
  - C(docs/schemas/result.schema.json) describes a run, C(docs/schemas/report.schema.json) the report.
requirements:
  - scipy on the controller, which computes the intervals.
options:
  _input:
    description: The runs, of which there must be one at least.
    type: list
    elements: dict
    required: true
  objectives:
    description: What the services have to keep.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: Name of the service.
        type: str
        required: true
      scenario:
        description: Under which scenario.
        type: str
        choices: [standard, long_context, burst, soak, mixed]
        default: standard
      metric:
        description:
          - Name of a metric, such as V(ttft_p95_seconds), V(end_to_end_p50_seconds), V(output_tokens_per_second),
            V(failed_share), V(incidents_per_1000_requests) or V(memory_peak_share_of_budget).
          - V(goodput_share) and V(goodput_requests_per_second) count the requests that keep the limits in C(within).
        type: str
        required: true
      max:
        description: The most that is allowed, for metrics of which lower is better.
        type: float
      min:
        description: The least that is allowed, for metrics of which higher is better.
        type: float
      within:
        description: Limits of a good request, C(ttft_seconds), C(inter_token_seconds) and C(end_to_end_seconds).
        type: dict
  confidence:
    description: With what probability the intervals hold what they are about.
    type: float
    default: 0.95
  smallest_relevant:
    description: The part by which a metric has to differ for anybody to care.
    type: float
    default: 0.02
  least_rounds:
    description: Pairs of runs below which a comparison says nothing.
    type: int
    default: 5
  judged:
    description: Metrics of a comparison that get a verdict. The more there are, the more each of them has to show.
    type: list
    elements: str
    default: [end_to_end_p50_seconds, output_tokens_per_second]
  shown:
    description: Further metrics of a comparison, without a verdict.
    type: list
    elements: str
    default:
      - ttft_p50_seconds
      - ttft_p95_seconds
      - inter_token_p50_seconds
      - end_to_end_p95_seconds
      - failed_share
      - out_of_memory_per_1000_requests
      - memory_peak_share_of_budget
"""

EXAMPLES = r"""
- name: Judge what was measured
  ansible.builtin.set_fact:
    judged: "{{ measured.results | llmops.inference.result_report(objectives=objectives) }}"
  vars:
    objectives:
      - {service: mini, metric: ttft_p95_seconds, max: 0.5}
      - {service: mini, metric: goodput_share, min: 0.99, within: {ttft_seconds: 1, inter_token_seconds: 0.05}}
"""

RETURN = r"""
_value:
  description: The report. Its C(passed) is whether all objectives are kept.
  type: dict
"""

result_report = lazy("_report.report", "judged")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"result_report": result_report}
