# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a search for a better layout tries next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

DOCUMENTATION = r"""
name: tuning_next
version_added: 1.0.0
author: The llmops.inference maintainers
short_description: Choose what a search for a better layout tries next
description:
  - Decides by successive halving. All candidates are measured a little, a part of them goes on and is measured more,
    until two are left. The first candidate, the layout as it stands, stays to the end.
options:
  _input:
    description:
      - What was tried so far, each a dictionary with C(candidate), C(rung), C(scores), C(deploy_seconds),
        C(measure_seconds) and C(problem). No scores mean that it did not start.
    type: list
    elements: dict
    required: true
  candidates:
    description: How many candidates there are.
    type: int
    required: true
  settings:
    description:
      - C(keep), the part that goes on; C(repeats), the measurements of a candidate in the first rung; C(seed); and
        C(seconds_left), in which a trial and the way back have to fit.
      - Without C(seconds_left) the result has C(most) alone, how many trials a search takes at most.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: What is next?
  ansible.builtin.set_fact:
    step: "{{ trials | llmops.inference.tuning_next(8, {'keep': 0.5, 'repeats': 1, 'seed': 0, 'seconds_left': 900}) }}"
"""

RETURN = r"""
_value:
  description: The C(candidate), its C(rung) of C(rungs), C(repeats) and the C(seconds) it may take; empty at the end.
  type: dict
"""


def tuning_next(trials: Sequence[Mapping[str, Any]], candidates: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the next step."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._tuning.search import most_trials, next_step

    try:
        if "seconds_left" not in settings:
            return {"most": most_trials(candidates, settings)}
        return next_step(trials, candidates, settings)
    except InferenceError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"tuning_next": tuning_next}
