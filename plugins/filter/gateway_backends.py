# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services by the model that they serve."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: gateway_backends
short_description: Group services by the model that they serve
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Makes one backend per model name, with a server for every service that serves it.
  - Names that HAProxy's configuration, a URL or JSON would have to quote are refused, and so are engines of one model
    with different keys.
options:
  _input:
    description: Services as P(llmops.inference.gateway_services#filter) lists them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show how many engines serve each model
  ansible.builtin.debug:
    msg: "{{ item.model }} {{ item.servers | length }}"
  loop: "{{ vllm_gateway_services | llmops.inference.gateway_backends }}"
  no_log: true  # the engines' own keys are in it
"""

RETURN = r"""
_value:
  description:
    - One entry per model, sorted by it, with C(name), C(model), C(paths), C(api_key) and C(servers), each with C(name),
      C(address), C(port) and C(maxconn).
  type: list
  elements: dict
"""

gateway_backends = lazy("_fleet.gateway", "backends_of")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"gateway_backends": gateway_backends}
