# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout and the settings that a host deploys."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: host_settings
short_description: Find out which layout and settings a host deploys
version_added: 1.1.0
author: The llmops.inference maintainers
description:
  - Takes variables of the role P(llmops.inference.vllm_services#role), lets the chosen profile override them, and a
    trial override the profile, and applies the changes that these state to the layout.
  - A change of a service that the layout does not have is an error.
options:
  _input:
    description: Variables of a host, among them those whose names begin with C(vllm_services_).
    type: dict
    required: true
  trial:
    description: Settings that a measurement tries for a while, by their names without C(vllm_services_).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the services of a host
  ansible.builtin.debug:
    msg: "{{ (hostvars['box-1'] | llmops.inference.host_settings).layout }}"
"""

RETURN = r"""
_value:
  description: >-
    C(layout), with its changes applied, C(gpu_memory_budget), C(on_overcommit), C(engine_version) and C(image), and
    other keys of profile and trial.
  type: dict
"""

host_settings = lazy("_fleet.layout", "host_settings")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"host_settings": host_settings}
