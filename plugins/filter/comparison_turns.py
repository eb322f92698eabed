# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The turns in which two sides are measured."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: comparison_turns
version_added: 1.0.0
author: The llmops.inference maintainers
short_description: Draw the order in which two sides are measured
description:
  - Every two rounds are ABBA or BAAB, as a lot says, so that what the machine drifts by meanwhile cancels.
options:
  _input:
    description: The number of rounds.
    type: int
    required: true
  seed:
    description: Seed of the lot.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Show what is measured when
  ansible.builtin.debug:
    msg: "{{ 6 | llmops.inference.comparison_turns }}"
"""

RETURN = r"""
_value:
  description: For each turn its C(round), from 1, and its C(side), V(before) or V(after).
  type: list
  elements: dict
"""


def comparison_turns(rounds: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return the turns of so many rounds."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._report.statistics import schedule

    if rounds < 1:
        raise AnsibleFilterError(f"There are {rounds} rounds; at least 1 is expected.")
    return [{"round": number, "side": side} for number, sides in enumerate(schedule(rounds, seed), 1) for side in sides]


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"comparison_turns": comparison_turns}
