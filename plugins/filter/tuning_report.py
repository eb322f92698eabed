# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence of a search for a better layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

DOCUMENTATION = r"""
name: tuning_report
version_added: 1.0.0
author: The llmops.inference maintainers
short_description: Report what a search for a better layout measured
description:
  - Returns every candidate with its plan, its scores and the typical value of everything that was measured, and which
    one is the best among those that were measured alike.
options:
  _input:
    description:
      - What was tried so far, each a dictionary with C(candidate), C(rung), C(scores), C(deploy_seconds),
        C(measure_seconds) and C(problem). No scores mean that it did not start.
    type: list
    elements: dict
    required: true
  candidates:
    description: The candidates, as M(llmops.inference.vllm_candidates) returned them.
    type: list
    elements: dict
    required: true
  settings:
    description: How it was searched, with C(host), C(scenario), C(within), C(seed), C(keep), C(repeats), C(start_fits),
      C(considered), C(seconds) and C(seconds_used).
    type: dict
    required: true
  runs:
    description: The runs of each candidate, by its number.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Report
  ansible.builtin.set_fact:
    found: "{{ trials | llmops.inference.tuning_report(candidates, settings, runs) }}"
"""

RETURN = r"""
_value:
  description: The report. Its C(winner) is the number of a candidate, C(changes) its keys by service.
  type: dict
"""


def tuning_report(
    trials: Sequence[Mapping[str, Any]],
    candidates: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """Return the report."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._report.report import read_results
    from ansible_collections.llmops.inference.plugins.plugin_utils._tuning.search import tuning_report as reported

    try:
        read = {number: read_results(found) for number, found in runs.items() if found}
        return reported(candidates, trials, settings, read)
    except InferenceError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"tuning_report": tuning_report}
