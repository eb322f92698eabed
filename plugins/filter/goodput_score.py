# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One number for how a layout answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

DOCUMENTATION = r"""
name: goodput_score
version_added: 1.0.0
author: The llmops.inference maintainers
short_description: Count the requests per second that were answered in time
description:
  - Returns the geometric mean, over all services of some runs, of the requests per second that kept limits.
options:
  _input:
    description: The runs of one measurement, as C(docs/schemas/result.schema.json) describes them.
    type: list
    elements: dict
    required: true
  within:
    description: Limits of a good request, C(ttft_seconds), C(inter_token_seconds) and C(end_to_end_seconds).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Score what was measured
  ansible.builtin.set_fact:
    score: "{{ measured.results | llmops.inference.goodput_score({'ttft_seconds': 1}) }}"
"""

RETURN = r"""
_value:
  description: The number; 0 where a service answered none in time.
  type: float
"""


def goodput_score(runs: Sequence[Mapping[str, Any]], within: Mapping[str, Any] | None = None) -> float:
    """Return the score of these runs."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._report.report import read_results
    from ansible_collections.llmops.inference.plugins.plugin_utils._tuning.search import goodput_score as scored
    from ansible_collections.llmops.inference.plugins.plugin_utils._tuning.search import read_within

    try:
        return scored(read_results(runs), read_within(within or {}))
    except InferenceError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"goodput_score": goodput_score}
