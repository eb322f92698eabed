# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients' keys as a gateway keeps them: hashed."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: gateway_keys
short_description: Hash the API keys of clients
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Replaces each key by its SHA-256. Keys shorter than 32 characters are refused, because a hash protects only what
    cannot be guessed.
  - No message shows a key or a hash.
options:
  _input:
    description:
      - The keys, each with C(name) and with C(key) or C(sha256).
      - A key with limits of its own has C(requests_per_minute) or C(sequences_per_minute).
    type: list
    elements: dict
    required: true
  requests_per_minute:
    description: The requests of those that state none.
    type: int
    required: true
  sequences_per_minute:
    description: The sequences of those that state none.
    type: int
    default: 60000
"""

EXAMPLES = r"""
- name: Make what may be stored of a key
  ansible.builtin.set_fact:
    stored: "{{ [{'name': 'alice', 'key': vault_key_of_alice}] | llmops.inference.gateway_keys(600) }}"
  no_log: true
"""

RETURN = r"""
_value:
  description: One entry per key, with C(name), C(sha256), C(requests_per_minute) and C(sequences_per_minute).
  type: list
  elements: dict
"""

gateway_keys = lazy("_fleet.gateway", "keys_of")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"gateway_keys": gateway_keys}
