# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of a deployment as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    """One line per service under a heading, columns as wide as their longest cell."""
    rows = [[heading for heading, _, _ in _COLUMNS]]
    for service in services:
        rows.append([_cell(service.get(key), form) for _, key, form in _COLUMNS])
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _cell(value: Any, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return form.format(value)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Their names."""
        return {"endpoints_table": endpoints_table}
