# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A profile overrides the variables of a host, a trial overrides the profile, and changes apply to the layout."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.filter.host_settings import host_settings

MINI, MICRO = {"name": "mini", "port": 1}, {"name": "micro", "port": 2}
HOST: dict[str, Any] = {
    "vllm_services_layout": [MINI, MICRO],
    "vllm_services_gpu_memory_budget": 0.99,
    "vllm_services_profiles": {
        "after": {},
        "before": {"gpu_memory_budget": 0.9999, "changes": {"mini": {"max_num_seqs": 16}}},
        "small": {"layout": [MICRO]},
    },
}


def test_a_host_without_variables_has_an_empty_layout() -> None:
    assert host_settings({})["layout"] == []


def test_the_default_profile_changes_nothing() -> None:
    settings = host_settings(HOST)
    assert (settings["layout"], settings["gpu_memory_budget"]) == ([MINI, MICRO], 0.99)


def test_a_profile_overrides_the_variables() -> None:
    settings = host_settings({**HOST, "vllm_services_profile": "before"})
    assert settings["layout"] == [{**MINI, "max_num_seqs": 16}, MICRO]
    assert settings["gpu_memory_budget"] == 0.9999


def test_a_profile_may_state_a_layout_of_its_own() -> None:
    assert host_settings({**HOST, "vllm_services_profile": "small"})["layout"] == [MICRO]


def test_a_trial_overrides_the_profile_and_its_changes_come_last() -> None:
    trial = {"profile": "before", "gpu_memory_budget": 0.5, "changes": {"mini": {"max_num_seqs": 4}}}
    settings = host_settings({**HOST, "vllm_services_profile": "small"}, trial)
    assert settings["layout"] == [{**MINI, "max_num_seqs": 4}, MICRO]
    assert settings["gpu_memory_budget"] == 0.5


def test_changes_of_an_unknown_service_are_refused_with_the_known_names() -> None:
    with pytest.raises(AnsibleFilterError, match="called mirco; it has mini, micro"):
        host_settings({**HOST, "vllm_services_changes": {"mirco": {}}})
