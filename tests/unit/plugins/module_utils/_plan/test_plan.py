# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as data: JSON, and the digest of what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    box,
    models,
    parsed,
    planned,
    reference_layout,
)

# The plan as data


def test_a_plan_survives_json() -> None:
    for plan in (
        planned(reference_layout(), box(80, 80, 80)),
        planned(reference_layout(max_model_len=131072), box(24, 24, 24)),
    ):
        assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def digest(layout: Sequence[Mapping[str, Any]], topology: Topology, **settings: Any) -> str:
    return planned(layout, topology, **settings).inputs_digest


def test_a_digest_follows_what_is_stated_and_not_what_fluctuates() -> None:
    layout, topology = reference_layout(), box(80, 80, 80)
    same = digest(layout, topology)
    assert planned(layout, topology, {"GPU-00000000": 9 * GIB}).inputs_digest == same
    assert digest(layout, box(80, 80, 80, memory_used_bytes=GIB)) == same
    different = [
        digest(layout[:2], topology),
        digest(layout, box(80, 80, 81)),
        digest(layout, topology, gpu_memory_budget=0.9),
        digest(layout, topology, engine_version="0.33.0"),
        digest(reference_layout(engine_args={"seed": 1}), topology),
        digest([{**item, "geometry": {**item["geometry"], "rope_theta": 5}} for item in layout], topology),
    ]
    assert len({same, *different}) == len(different) + 1


def test_no_secret_can_be_guessed_from_a_digest() -> None:
    with_secret = reference_layout(secret_environment={"VLLM_API_KEY": "a"})
    assert digest(with_secret, box(80, 80, 80)) == digest(reference_layout(), box(80, 80, 80))


def test_every_service_of_the_layout_has_a_model() -> None:
    services = parsed(reference_layout())
    assert set(models(services)) == {"medium", "mini", "micro"}
