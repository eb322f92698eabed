# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is approved is what is deployed, and a plan shows the active one where that stays."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._deploy.active_plan import plan_of_this_host
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File
from ansible_collections.llmops.inference.plugins.module_utils._generation.store import GenerationStore
from ansible_collections.llmops.inference.plugins.module_utils._generation.transaction import (
    Transaction,
    TransactionRecord,
)
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._places import PLAN_FILE, Paths
from ansible_collections.llmops.inference.plugins.module_utils._plan.approval import approval, refuse_unapproved
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan, Settings
from ansible_collections.llmops.inference.plugins.module_utils._plan.planner import plan
from ansible_collections.llmops.inference.tests.unit import scene

BOX = scene.box(80, 80, 80)


def approved(
    topology: Topology = BOX,
    others: Mapping[str, int] | None = None,
    fingerprint: str = "as fetched",
    settings: Settings | None = None,
    **keys: Any,
) -> str:
    """What stands for the plan of the reference layout in an approval."""
    services = scene.parsed(scene.reference_layout(**keys))
    models = {name: replace(model, fingerprint=fingerprint) for name, model in scene.models(services).items()}
    chosen = settings or Settings()
    made = plan(services, topology, models, chosen, others)
    assert made.fits, made.refusals
    return approval(made, services, topology, models, chosen)


def moved(now: str) -> list[str]:
    """What a deployment says has moved since the plain layout was approved."""
    with pytest.raises(InferenceError, match="what was approved is not what would be deployed") as refused:
        refuse_unapproved(approved(), now)
    parts = refused.value.details["moved"]
    assert isinstance(parts, list)
    return parts


def test_what_was_approved_is_deployed() -> None:
    refuse_unapproved(approved(), approved())


def test_a_rotated_secret_is_no_other_layout_and_no_secret_is_told() -> None:
    first = approved(secret_environment={"VLLM_API_KEY": "canary"})
    refuse_unapproved(first, approved(secret_environment={"VLLM_API_KEY": "rotated"}))


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"max_num_seqs": 17}, "layout"),
        ({"watchdog": False}, "layout"),
        ({"engine_args": {"enforce-eager": True}}, "layout"),
        ({"settings": Settings(engine_version="0.33.0")}, "layout"),
        ({"fingerprint": "fetched again"}, "weights"),
        ({"topology": scene.box(80, 80, 94)}, "hardware"),
    ],
)
def test_what_moved_since_the_approval_is_refused_by_its_name(changed: dict[str, Any], part: str) -> None:
    assert part in moved(approved(**changed))


def test_a_plan_that_came_out_otherwise_for_other_processes_is_refused_too() -> None:
    now = approved(others={"GPU-00000002": 20 * scene.GIB})
    assert moved(now) == ["plan"]
    with pytest.raises(InferenceError, match="the memory that other processes have"):
        refuse_unapproved(approved(), now)


@pytest.mark.parametrize("nothing", ["none of this host", "0" * 16, "{{ lookup('env', 'HOME') }}"])
def test_what_is_no_approval_is_refused(nothing: str) -> None:
    with pytest.raises(InferenceError, match="no plan has one like that"):
        refuse_unapproved(nothing, approved())


@pytest.fixture
def host(tmp_path: Path) -> tuple[GenerationStore, Paths, Plan]:
    """A host on which the plain layout is deployed."""
    made = scene.planned(scene.reference_layout(), BOX)
    paths = Paths(config_root=str(tmp_path / "vllm"))
    store = GenerationStore(paths.config_root, os.getgid())
    store.write({PLAN_FILE: File(json.dumps(made.to_dict()))}, 1, None)
    store.switch(1)
    return store, paths, made


def test_the_active_plan_stays_while_its_inputs_are_the_same(host: tuple[GenerationStore, Paths, Plan]) -> None:
    _store, paths, made = host
    assert plan_of_this_host(made.inputs_digest, paths) == made
    assert plan_of_this_host("another", paths) is None


def test_a_plan_that_a_hand_has_changed_does_not_stay(host: tuple[GenerationStore, Paths, Plan]) -> None:
    store, paths, made = host
    (store.path(1) / PLAN_FILE).write_text(json.dumps({**made.to_dict(), "gpu_memory_budget": 0.5}))
    assert plan_of_this_host(made.inputs_digest, paths) is None


def test_during_an_interrupted_deployment_the_plan_before_it_is_the_active_one(
    host: tuple[GenerationStore, Paths, Plan],
) -> None:
    store, paths, made = host
    other = replace(made, inputs_digest="of the one that did not come to its end")
    store.write({PLAN_FILE: File(json.dumps(other.to_dict()))}, 2, 1)
    store.switch(2)
    TransactionRecord(paths.transaction).open(Transaction(1, 2, True, "now", "somebody"))
    assert plan_of_this_host(made.inputs_digest, paths) == made
    assert plan_of_this_host(other.inputs_digest, paths) is None


def test_where_nothing_is_deployed_there_is_no_active_plan(tmp_path: Path) -> None:
    assert plan_of_this_host("any", Paths(config_root=str(tmp_path / "none"))) is None
