# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing services from a host that never had any."""

from __future__ import annotations

from ansible_collections.llmops.inference.tests.unit.ad_hoc import run_module

# A group that no role of this collection has made.
NOBODY = "no-such-group-of-vllm"


def test_what_is_not_there_is_removed_without_a_change() -> None:
    result = run_module("vllm_deployment", None, arguments={"state": "absent", "group": NOBODY})
    assert result["changed"] is False
    assert result["services"] == []


def test_to_look_without_the_group_is_no_failure_and_to_return_is_one() -> None:
    assert run_module("vllm_deployment_info", None, arguments={"group": NOBODY})["generation"] is None
    failed = run_module("vllm_deployment", None, succeeds=False, arguments={"state": "rolled_back", "group": NOBODY})
    assert f"the group '{NOBODY}' does not exist" in failed["msg"]
