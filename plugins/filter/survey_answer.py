# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was written into a survey of AWX as text."""

from __future__ import annotations

from typing import Any

import yaml
from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: survey_answer
short_description: Read the answer to a question of a survey that is JSON or YAML
version_added: 1.1.0
author: The llmops.inference maintainers
description:
  - Reads text as plain data. Jinja in it stays text, and is never a template.
  - Where it is not YAML, the message has the line and the column of the mistake, and nothing of the text, which may
    hold secrets.
options:
  _input:
    description: The answer.
    type: str
    required: true
  question:
    description: The question's variable, for the message.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Take an answer
  ansible.builtin.set_fact:
    objectives: "{{ answer | llmops.inference.survey_answer(question='survey_objectives') }}"
  vars:
    answer: '[{"service": "mini", "metric": "ttft_p95_seconds", "max": 0.5}]'
"""

RETURN = r"""
_value:
  description: The list, dictionary or text.
  type: raw
"""


def survey_answer(answer: object, question: str) -> Any:
    """Return what an answer holds; AnsibleFilterError names the place of a mistake."""
    if not isinstance(answer, str):
        return answer  # given otherwise than by a survey
    try:
        return yaml.safe_load(str(answer))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "its end"
        raise AnsibleFilterError(
            f"The answer to {question} is neither JSON nor YAML: at {place}, {error.problem or error.context}."
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise AnsibleFilterError(f"The answer to {question} cannot be read: {type(error).__name__}.") from None


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"survey_answer": survey_answer}
