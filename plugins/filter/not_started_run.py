# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment that failed, as a run of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

DOCUMENTATION = r"""
name: not_started_run
version_added: 1.0.0
author: The llmops.inference maintainers
short_description: Turn a deployment that did not start into a run
description:
  - Makes of what M(llmops.inference.vllm_deployment) failed with the run that it did not come to, with the cause and
    the bytes of every service.
  - A failure that is no finding, such as a mistake in the layout, is an error.
options:
  _input:
    description: What the module returned.
    type: dict
    required: true
  scenarios:
    description: Under which scenarios the services were to be measured.
    type: list
    elements: str
    required: true
  started:
    description: When, in UTC, as V(2026-11-23T23:06:00Z).
    type: str
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  side:
    description: The side of a comparison, V(before) or V(after).
    type: str
  round:
    description: The round of a comparison.
    type: int
  profile:
    description: What was to be deployed.
    type: str
"""

EXAMPLES = r"""
- name: Keep a side that does not start as a finding
  ansible.builtin.set_fact:
    runs: "{{ runs + [ansible_failed_result | llmops.inference.not_started_run(['standard'], now(utc=true).strftime(
      '%Y-%m-%dT%H:%M:%SZ'), inventory_hostname, side='before', round=1)] }}"
"""

RETURN = r"""
_value:
  description: The run, as C(docs/schemas/result.schema.json) describes it.
  type: dict
"""


def not_started_run(
    failure: Mapping[str, Any], scenarios: Sequence[str], started: str, host: str, **run: Any
) -> dict[str, Any]:
    """Return the run; ``run`` are ``side``, ``round`` and ``profile``."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._report.not_started import not_started

    try:
        return not_started(failure, scenarios, started=started, host=host, **run)
    except InferenceError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"not_started_run": not_started_run}
