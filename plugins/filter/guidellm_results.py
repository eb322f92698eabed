# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A result file of GuideLLM as services of a run."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._filter import lazy

DOCUMENTATION = r"""
name: guidellm_results
short_description: Read a result file of GuideLLM
version_added: 1.0.0
author: The llmops.inference maintainers
description:
  - Turns the content of the C(benchmarks.json) that GuideLLM 0.5 to 0.8 writes into services of runs, one per benchmark
    of the file, that is per rate or concurrency that was tried.
  - What was under way when a measurement began is left out. What GuideLLM itself ended is C(cancelled).
options:
  _input:
    description: The content of the file, as P(ansible.builtin.from_json#filter) reads it.
    type: dict
    required: true
  service:
    description: Name of the service that was measured.
    type: str
    required: true
  model:
    description: The name under which it serves its model.
    type: str
    required: true
  scenario:
    description: What it was measured under.
    type: str
    choices: [standard, long_context, burst, soak, mixed]
    default: standard
"""

EXAMPLES = r"""
- name: Judge what GuideLLM measured
  ansible.builtin.set_fact:
    judged: "{{ [run] | llmops.inference.result_report }}"
  vars:
    content: "{{ lookup('ansible.builtin.file', 'benchmarks.json') | from_json }}"
    run:
      schema_version: 1
      started: "2026-11-23T23:06:00Z"
      environment: {host: "{{ inventory_hostname }}", engine_version: 0.32.0, accelerator: cuda}
      services: "{{ (content | llmops.inference.guidellm_results('mini', 'mini'))[:1] }}"
"""

RETURN = r"""
_value:
  description: For each benchmark of the file a service, as C(docs/schemas/result.schema.json) describes it.
  type: list
  elements: dict
"""

guidellm_results = lazy("_report.guidellm", "guidellm_services")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"guidellm_results": guidellm_results}
