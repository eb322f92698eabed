# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment decides to do, and the links by which systemd finds the active generation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._deploy.changes import Observed, decide
from ansible_collections.llmops.inference.plugins.module_utils._engine.api import Completion
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File, api_key
from ansible_collections.llmops.inference.plugins.module_utils._generation.unit_links import UnitLinks
from ansible_collections.llmops.inference.plugins.module_utils._host.systemd import UnitState
from ansible_collections.llmops.inference.plugins.module_utils._places import Paths


def observed(active: str = "active", digest: str | None = "d", problem: str | None = None) -> Observed:
    state = UnitState(active, "running", "success", 0, 1, False)
    return Observed(state, digest, problem)


ORDER = ["mini", "micro"]
WANTED = {"mini": "d", "micro": "d"}


def test_nothing_changes_where_everything_runs_as_wanted() -> None:
    changes = decide(ORDER, WANTED, {"mini": observed(), "micro": observed()})
    assert not changes.any


def test_what_is_not_there_or_has_failed_is_started_in_the_order_of_the_plan() -> None:
    changes = decide(ORDER, WANTED, {"micro": observed("failed")})
    assert list(changes.start) == ORDER
    assert not changes.restart


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (observed(digest="other"), "its configuration changed"),
        (observed(digest=None), "its configuration changed"),
        (observed("activating"), "it is activating (running)"),
        (observed(problem="generated nothing within 5 s"), "generated nothing within 5 s"),
    ],
)
def test_only_what_is_not_as_wanted_is_restarted_and_the_reason_is_said(now: Observed, why: str) -> None:
    changes = decide(ORDER, WANTED, {"mini": observed(), "micro": now})
    assert changes.restart == {"micro": why}
    assert changes.touched == ["micro"]


def test_what_a_service_that_stays_has_generated_is_kept_and_of_another_nothing() -> None:
    brought = Completion(tokens=1, first_token_seconds=0.1, total_seconds=0.1)
    answered = replace(observed(), brought=brought)
    changes = decide(ORDER, WANTED, {"mini": answered, "micro": replace(answered, digest="other")})
    assert changes.answers == {"mini": brought}


def test_what_left_the_layout_is_removed() -> None:
    changes = decide(["mini"], {"mini": "d"}, {"mini": observed(), "old": observed()})
    assert (list(changes.remove), changes.touched) == (["old"], [])


def test_a_changed_file_alone_is_a_change_without_a_restart() -> None:
    changes = decide(ORDER, WANTED, {"mini": observed(), "micro": observed()}, ["lib/vllm_guard"])
    assert changes.any
    assert changes.touched == []


def test_the_key_of_a_service_is_read_back_from_its_secrets() -> None:
    files = {"services/mini/secrets": File('OTHER="x"\nVLLM_API_KEY="a \\"b\\" \\\\c"\n', secret=True)}
    assert api_key(files, "mini") == 'a "b" \\c'
    assert api_key(files, "micro") is None


@pytest.fixture
def links(tmp_path: Path) -> UnitLinks:
    units = tmp_path / "systemd"
    units.mkdir()
    (units / "sshd.service").symlink_to("/lib/systemd/system/ssh.service")
    (units / "vllm@.service.d").mkdir()
    directories = {"unit_directory": str(units), "quadlet_directory": str(tmp_path / "quadlets")}
    return UnitLinks(Paths(config_root=str(tmp_path / "vllm"), **directories))


MINI = [
    "plan.json",
    "services/mini/engine.yaml",
    "systemd/vllm.target",
    "systemd/vllm-recover.service",
    "systemd/vllm@.service",
    "systemd/vllm@mini.service.d/10-plan.conf",
]
BOTH = [*MINI, "systemd/vllm@micro.service.d/10-plan.conf", "systemd/vllm-watchdog@micro.timer"]
CONTAINER = [*MINI[:4], "containers/vllm@mini.container"]


def test_links_are_complete_when_exactly_those_of_the_generation_are_there(links: UnitLinks) -> None:
    assert links.differences(BOTH)
    links.add(BOTH)
    assert links.differences(BOTH) == {}
    one_too_many = links.differences(MINI)
    left_over = [("vllm-watchdog@micro.timer", None), ("vllm@micro.service.d", None)]
    assert [(Path(link).name, to) for link, (_now, to) in one_too_many.items()] == left_over
    links.remove_except(MINI)
    assert links.differences(MINI) == {}


def test_a_quadlet_is_linked_where_podman_looks_for_it(links: UnitLinks, tmp_path: Path) -> None:
    links.add(MINI)
    (tmp_path / "quadlets").mkdir()
    links.add(CONTAINER)
    links.remove_except(CONTAINER)
    assert links.differences(CONTAINER) == {}
    (quadlet,) = (tmp_path / "quadlets").iterdir()
    assert str(quadlet.readlink()) == str(tmp_path / "vllm/current/containers/vllm@mini.container")
    assert not (tmp_path / "systemd/vllm@.service").is_symlink()
    links.remove_all()
    assert list((tmp_path / "quadlets").iterdir()) == []


def test_a_link_that_a_hand_pointed_elsewhere_is_put_back(links: UnitLinks, tmp_path: Path) -> None:
    links.add(BOTH)
    target = tmp_path / "systemd/multi-user.target.wants/vllm.target"
    target.unlink()
    target.symlink_to("/dev/null")
    wanted = str(tmp_path / "vllm/current/systemd/vllm.target")
    assert links.differences(BOTH) == {str(target): ("/dev/null", wanted)}
    links.add(BOTH)
    assert links.differences(BOTH) == {}


def test_a_directory_in_the_place_of_a_link_is_left_to_its_owner(links: UnitLinks, tmp_path: Path) -> None:
    (tmp_path / "systemd/vllm@mini.service.d").mkdir()
    with pytest.raises(InferenceError, match="move away what is in its place"):
        links.add(BOTH)


def test_removing_all_links_leaves_those_of_others(links: UnitLinks, tmp_path: Path) -> None:
    links.add(BOTH)
    links.remove_all()
    assert links.present() == set()
    assert sorted(path.name for path in (tmp_path / "systemd").iterdir()) == [
        "multi-user.target.wants",
        "sshd.service",
        "vllm@.service.d",
    ]
