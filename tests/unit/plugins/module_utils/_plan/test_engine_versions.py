# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one table of what changed between engine versions, and what plans make of it."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._plan.engine_versions import (
    CEILING,
    CHANGES,
    FLOOR,
    behaviour,
    outside_range,
)
from ansible_collections.llmops.inference.plugins.module_utils._versions import parse_version
from ansible_collections.llmops.inference.tests.unit.scene import QWEN3_8B, YARN, box, planned, service


def test_every_change_has_a_source_and_lies_in_the_range_in_order() -> None:
    assert all(change.source for change in CHANGES)
    for key in {change.key for change in CHANGES}:
        since = [parse_version(change.since) for change in CHANGES if change.key == key]
        assert since == sorted(set(since))
        assert since[0] == parse_version(FLOOR)
        assert since[-1] <= parse_version(CEILING)


@pytest.mark.parametrize(
    ("version", "key", "value"),
    [
        ("0.11.0", "rope_flag", "rope-scaling"),
        ("0.11.0rc2", "rope_flag", "rope-scaling"),
        ("0.11.1", "rope_flag", "hf-overrides"),
        ("0.22.0", "device_uuids", False),
        ("0.24.0", "device_uuids", True),
        ("0.17.1", "shutdown_timeout", False),
        ("0.18.0+rhaiv.7", "shutdown_timeout", True),
        ("0.16.0", "sampler", "sorts"),
        ("0.18.0", "sampler", "in_place"),
        ("0.19.0", "graphs", "outside"),
        ("0.21.0", "graphs", "runner 1"),
        ("0.32.0", "graphs", "inside"),
        ("0.19.0", "default_share", 0.9),
        ("0.20.0", "default_share", 0.92),
    ],
)
def test_a_version_does_what_the_last_change_up_to_it_says(version: str, key: str, value: object) -> None:
    assert getattr(behaviour(version), key) == value


def test_without_a_version_the_newest_is_meant() -> None:
    assert behaviour(None) == behaviour(CEILING)


@pytest.mark.parametrize("version", [None, "0.11.0", "0.32.0+cpu", "0.33.7"])
def test_versions_in_the_range_are_planned_without_a_word(version: str | None) -> None:
    assert outside_range(version) is None


@pytest.mark.parametrize(
    ("version", "said"), [("0.10.2", "older than 0.11.0"), ("0.11.0rc2", "older"), ("0.34.0", "newer than 0.33")]
)
def test_an_engine_outside_the_range_is_said_in_one_sentence(version: str, said: str) -> None:
    plan = planned([service("mini", QWEN3_8B, gpus=[0])], box(80), engine_version=version)
    (warning,) = plan.warnings
    assert said in warning
    assert plan.fits


@pytest.mark.parametrize(("version", "flag"), [("0.11.0", "rope-scaling"), ("0.11.1", "hf-overrides")])
def test_a_plan_writes_the_rope_as_the_version_reads_it(version: str, flag: str) -> None:
    plan = planned([service("mini", QWEN3_8B, gpus=[0], rope=YARN)], box(80), engine_version=version)
    assert list(plan.service("mini").rope_arguments) == [flag]


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(InferenceError, match="engine_version must be a version"):
        planned([service("mini", QWEN3_8B, gpus=[0])], box(80), engine_version="latest please")
