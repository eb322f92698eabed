# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The best layout of a search, as a file to review."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: tuning_file
version_added: 1.0.0
author: The llmops.inference maintainers
short_description: Write the best layout of a search as a file to review
description:
  - Returns YAML with C(vllm_services_changes), the keys that differ from the layout as it stands, below the evidence.
options:
  _input:
    description: The report that P(llmops.inference.tuning_report#filter) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Look at it
  ansible.builtin.debug:
    msg: "{{ found | llmops.inference.tuning_file }}"
"""

RETURN = r"""
_value:
  description: The text of the file.
  type: str
"""


def tuning_file(report: Mapping[str, Any]) -> str:
    """Return it for this report."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._tuning.search import review_file

    if not isinstance(report, Mapping) or "trials" not in report:
        raise AnsibleFilterError("tuning_file takes the report that tuning_report returned.")
    return review_file(report)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"tuning_file": tuning_file}
