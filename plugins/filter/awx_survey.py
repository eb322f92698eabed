# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A survey as AWX is to have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DOCUMENTATION = r"""
name: awx_survey
short_description: Prepare a survey for AWX without overwriting an edited one
version_added: 1.1.0
author: The llmops.inference maintainers
description:
  - Returns the survey to hand over to AWX. One that somebody has edited there stays as it is, unless O(overwrite).
  - Offers the profiles that the inventory in AWX has.
  - For the playbook C(llmops.inference.awx).
options:
  _input:
    description: The questions.
    type: list
    elements: dict
    required: true
  current:
    description: The survey that AWX has; empty for none.
    type: dict
    default: {}
  variables:
    description: Variables of the inventory, its groups and its hosts, as AWX keeps them, each in JSON or YAML.
    type: list
    elements: str
    default: []
  overwrite:
    description: Whether an edited survey is overwritten.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show which questions were edited
  ansible.builtin.debug:
    msg: "{{ (questions | llmops.inference.awx_survey(current=survey_in_awx)).kept }}"
"""

RETURN = r"""
_value:
  description: C(spec), the survey, and C(kept), the variables of the questions that were edited and stay so.
  type: dict
"""


def awx_survey(
    questions: Sequence[Mapping[str, Any]],
    current: Mapping[str, Any] | None = None,
    variables: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Return the survey, and what of it was edited."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._awx import objects

    return objects.survey(objects.with_profiles(questions, variables), current or {}, overwrite=overwrite)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"awx_survey": awx_survey}
