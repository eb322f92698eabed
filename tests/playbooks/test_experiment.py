# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role vllm_experiment from task to task, on a host that is a file: its order, results, and the rollback."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.inference.tests.playbooks.command import ansible
from ansible_collections.llmops.inference.tests.tools.environments import ROOT
from ansible_collections.llmops.inference.tests.unit import measured

MODULE = ROOT / "tests" / "playbooks" / "experiment" / "module.py"
REPLACED = ("vllm_deployment_info", "vllm_candidates", "vllm_deployment", "vllm_benchmark")


class Box:
    """A checkout in which the modules that need a host are replaced, and the host that these write."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.reports = root / "reports"
        collection = root / "ansible_collections" / "llmops" / "inference"
        _link(ROOT, collection, but="plugins")
        _link(ROOT / "plugins", collection / "plugins", but="modules")
        _link(ROOT / "plugins" / "modules", collection / "plugins" / "modules", but=None)
        for name in REPLACED:
            file = collection / "plugins" / "modules" / f"{name}.py"
            file.unlink()
            file.write_text(f"#!{sys.executable}\n" + MODULE.read_text().replace('NAME = "module"', f'NAME = "{name}"'))
        for name, slower in (("fast", 1.0), ("slow", 4.0)):
            run = measured.run(measured.service("mini", slower=slower)).to_dict()
            (root / f"{name}.json").write_text(json.dumps({**run, "side": None, "round": None}))

    def experiment(
        self,
        entry: str,
        *,
        generation: int | None = 1,
        status: int = 0,
        options: tuple[str, ...] = (),
        **variables: Any,
    ) -> tuple[str, list[str]]:
        """Return what the play prints, and the steps that were done on the host."""
        layouts = {} if generation is None else {str(generation): 16}
        host = self._root / "host.json"
        host.write_text(json.dumps({"generation": generation, "layouts": layouts, "done": []}))
        variables |= {"entry": entry, "vllm_experiment_directory": str(self.reports)}
        variables["ansible_python_interpreter"] = sys.executable
        command = ["ansible-playbook", "-i", "box,", "-c", "local", "-e", json.dumps(variables), *options]
        environment = {"ANSIBLE_COLLECTIONS_PATH": str(self._root), "EXPERIMENT_HOST": str(self._root)}
        environment |= {"ANSIBLE_SHOW_CUSTOM_STATS": "1", "ANSIBLE_PIPELINING": "0"}
        printed = ansible(*command, "tests/playbooks/experiment/play.yml", environment=environment, status=status)
        return printed, json.loads(host.read_text())["done"]

    def report(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.reports / name).read_text()))


def _link(source: Path, target: Path, *, but: str | None) -> None:
    target.mkdir(parents=True)
    for file in source.iterdir():
        if file.name != but and not file.name.startswith("."):
            (target / file.name).symlink_to(file)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_two_sides_are_deployed_once_measured_in_turns_and_reported(box: Box) -> None:
    printed, done = box.experiment("main", vllm_experiment_rounds=2, vllm_experiment_seed=1)
    turns = [step.partition(",")[0] for step in done if step.startswith("measure")]
    assert sorted(turns[:2]) == ["measure 1", "measure 16"]
    assert turns[2:] == turns[1::-1]
    assert sorted(step for step in done if step.startswith("deploy")) == ["deploy 1", "deploy 16"]
    assert done[-1] == "return to 1"
    report = box.report("compare-box.json")
    assert [run["side"] for run in report["runs"]].count("before") == 2
    assert (box.reports / "compare-box.html").exists()
    assert "vllm_comparison" in printed


def test_a_side_that_does_not_start_is_reported_and_the_other_is_measured(box: Box) -> None:
    _printed, done = box.experiment("main", vllm_experiment_rounds=2, vllm_experiment_before="refused")
    assert done.count("deploy 999") == 1
    assert len([step for step in done if step.startswith("measure 16")]) == 2
    refused = [run for run in box.report("compare-box.json")["runs"] if run["side"] == "before"]
    assert [run["services"][0]["not_started"]["kind"] for run in refused] == ["memory_share_too_large"]


def test_the_host_rolls_back_after_a_measurement_that_fails(box: Box) -> None:
    printed, done = box.experiment("main", vllm_experiment_services=["nobody"], status=2)
    assert "no service is called nobody" in printed
    assert len(done) == 2
    assert done[-1] == "return to 1"


def test_a_mistake_in_a_layout_ends_the_experiment_with_its_message_and_the_host_rolls_back(box: Box) -> None:
    printed, done = box.experiment(
        "main", vllm_experiment_before="mistaken", vllm_experiment_after="mistaken", status=2
    )
    assert "service 'mini': max_num_seqs is -1" in printed
    assert done == ["deploy -1", "return to 1"]


def test_a_host_without_services_has_none_after_the_experiment(box: Box) -> None:
    _printed, done = box.experiment("main", generation=None, vllm_experiment_rounds=1)
    assert done[-1] == "remove"


def test_check_mode_is_refused_before_anything_is_deployed(box: Box) -> None:
    printed, done = box.experiment("main", options=("--check",), status=2)
    assert "check mode does neither" in printed
    assert done == []


def test_a_search_writes_the_best_layout_for_review_and_rolls_back(box: Box) -> None:
    space = {"mini": {"max_num_seqs": [1, 8]}}
    printed, done = box.experiment("tune", vllm_experiment_space=space)
    report = box.report("tune-box.json")
    assert report["winner"] == 0, "of equals the layout as it stands wins"
    assert [len(one["scores"]) for one in report["candidates"]] == [3, 1, 3]
    assert yaml.safe_load((box.reports / "tune-box.yml").read_text()) == {"vllm_services_changes": {}}
    assert [done.count(f"deploy {seqs}") for seqs in (16, 1, 8)] == [1, 1, 1]
    assert done[-1] == "return to 1"
    assert "vllm_tuning" in printed
    assert "3 layouts to try" in printed


def test_candidates_that_do_not_start_end_no_search(box: Box) -> None:
    space = {"mini": {"max_num_seqs": [999]}}
    box.experiment("tune", vllm_experiment_space=space)
    assert [one["problem"] for one in box.report("tune-box.json")["candidates"]] == [None, "The layout does not fit."]
