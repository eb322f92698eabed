# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objectives that no load would judge."""

from __future__ import annotations

from typing import Any

DOCUMENTATION = r"""
name: objective_problems
short_description: Find mistakes in objectives before any load
version_added: 1.1.0
author: The llmops.inference maintainers
description:
  - Says which objectives could not be judged after a measurement, and why. A metric is misspelt, a service or a
    scenario is not measured, or there are too few requests for a percentile.
  - Says which loads cannot be driven.
options:
  _input:
    description: The objectives, as P(llmops.inference.result_report#filter) takes them.
    type: list
    elements: dict
    required: true
  services:
    description: Names of the services that are measured.
    type: list
    elements: str
    required: true
  scenarios:
    description: What is asked of them.
    type: list
    elements: str
    default: [standard]
  loads:
    description:
      - By scenario, what differs from its own numbers, as O(llmops.inference.vllm_benchmark#module:load) takes it.
    type: dict
    default: {}
  quality:
    description: Whether the answers are measured, too.
    type: bool
    default: false
  sided:
    description: Whether two layouts are compared.
    type: bool
    default: false
  judgement:
    description: Settings of a comparison, as P(llmops.inference.result_report#filter) takes them.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Refuse objectives that could not be judged
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join(' ') }}"
  vars:
    problems: "{{ objectives | llmops.inference.objective_problems(services=['mini'], scenarios=['standard']) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each mistake. Empty where there is none.
  type: list
  elements: str
"""


def objective_problems(stated: object, **about: Any) -> list[str]:
    """Return a sentence for each mistake."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._report import objective_problems as found

    return found.objective_problems(stated, **{**about, "services": list(about["services"])})


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"objective_problems": objective_problems}
