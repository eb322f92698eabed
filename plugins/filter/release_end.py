# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a release ended that was not successful."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DOCUMENTATION = r"""
name: release_end
short_description: Say what became of a release that was not successful, and why
version_added: 1.1.0
author: The llmops.inference maintainers
description:
  - Reads what the jobs of a release published with M(ansible.builtin.set_stats), and says what became of the release.
  - The playbook C(llmops.inference.release_failed) publishes that, and fails.
options:
  _input:
    description:
      - What was published, each by host. C(undone) is C(vllm_undone), V(null) where no rollback ran.
        C(generations) is C(vllm_services_generations), C(failures) is C(vllm_failures) and C(validation) is
        C(vllm_validation).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say why
  ansible.builtin.debug:
    msg: "{{ {'undone': vllm_undone, 'validation': vllm_validation} | llmops.inference.release_end }}"
"""

RETURN = r"""
_value:
  description: C(outcome), C(reason) in words, and the hosts that are C(undone).
  type: dict
"""


def release_end(published: Mapping[str, Any]) -> dict[str, Any]:
    """Return the end of a release."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._awx import release

    return release.release_end(published)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"release_end": release_end}
