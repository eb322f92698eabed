# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of a deployment as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._table import table

DOCUMENTATION = r"""
name: endpoints_table
short_description: Show the services of a deployment as a table
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns the C(services) that M(llmops.inference.vllm_deployment) returns into lines of a table.
options:
  _input:
    description: The list C(services) of M(llmops.inference.vllm_deployment).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is served
  ansible.builtin.debug:
    msg: "{{ deployed.services | llmops.inference.endpoints_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table, its heading first.
  type: list
  elements: str
"""

_COLUMNS = (
    ("SERVICE", "name", "{}"),
    ("ADDRESS", "address", "{}"),
    ("DEVICES", "device_indices", "{}"),
    ("SHARE", "gpu_memory_utilization", "{:.4f}"),
    ("CONTEXT", "max_model_len", "{} tokens"),
    ("FIRST TOKEN", "first_token_seconds", "{:.3f} s"),
    ("TOKENS/S", "tokens_per_second", "{:.1f}"),
    ("STATE", "state", "{}"),
)


def endpoints_table(services: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per service."""
    return table(_COLUMNS, services)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"endpoints_table": endpoints_table}
