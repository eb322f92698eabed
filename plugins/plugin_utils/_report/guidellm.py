# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of GuideLLM as services of runs."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.guidellm_file import read_guidellm_file
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import (
    SCENARIO_NAMES,
    ServiceResult,
    plain,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError


def guidellm_services(content: object, service: str, model: str, scenario: str = "standard") -> list[dict[str, Any]]:
    """Return a service per benchmark of a file; InferenceError for another scenario or another file."""
    if scenario not in SCENARIO_NAMES:
        raise InferenceError(f"scenario is {scenario!r:.80}; one of {', '.join(SCENARIO_NAMES)} is expected.")
    return [
        plain(ServiceResult(service, model, scenario, item.duration_seconds, item.load, item.requests))
        for item in read_guidellm_file(content)
    ]
