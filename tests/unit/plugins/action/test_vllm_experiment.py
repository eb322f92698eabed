# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Experiments on a host that is an object: the order of attempts, results, and the rollback."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.action.vllm_experiment import answer
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.tests.unit import measured

SEEN = {"generation": 3, "generations": [{"number": 2, "problem": None}, {"number": 3, "problem": None}]}
SEEN = {**SEEN, "transaction": None}
REFUSED = {
    "failed": True,
    "msg": "The layout does not fit.",
    "plan": {
        "refusals": [{"service": "mini", "reason": "GPU 0 has no room for it", "gate": 1}],
        "services": [],
        "devices": [],
    },
}


class Host:
    """A host that deploys and measures in no time; ``clock`` is told how many seconds each takes.

    ``starts`` says which layouts start, ``speed`` by how much each answers slower than the others.
    """

    def __init__(self, *, starts: Callable[[str], bool] = lambda name: True, **slower: float) -> None:
        self.starts = starts
        self.slower = slower
        self.now = 1000.0
        self.done: list[str] = []
        self.generation = 3

    def deploy(self, attempt: dict[str, Any]) -> dict[str, Any]:
        self.now += 30
        self.done.append(f"{'return to' if attempt['generation'] else 'deploy'} {attempt['name']}")
        if not self.starts(attempt["name"]):
            return REFUSED
        self.generation = attempt["generation"] or self.generation + 1
        return {"generation": self.generation}

    def measure(self, name: str, measurement: dict[str, Any]) -> list[dict[str, Any]]:
        self.now += 10
        self.done.append(f"measure {name} {measurement['scenario']} {measurement['repeat']}")
        service = measured.service("mini", slower=self.slower.get(name.replace(" ", "_"), 1.0))
        side = {"side": measurement["side"], "round": measurement["repeat"]} if measurement["side"] else {}
        return [measured.run(service, **side).to_dict()]

    def restore(self, rollback: dict[str, Any]) -> None:
        self.done.append(f"{rollback['tasks_from']} {rollback['generation']}")
        self.generation = rollback["generation"]


def through_json(value: dict[str, Any]) -> dict[str, Any]:
    """Return a result as Ansible keeps it from task to task."""
    return dict(json.loads(json.dumps(value)))


def conduct(host: Host, experiment: dict[str, Any], **seen: Any) -> dict[str, Any]:
    """Carry out an experiment as the tasks of the role do, and return the answer at the end."""
    found = {**SEEN, **seen}
    begun = through_json(answer({"event": "begin", "found": found, "candidates": 2}, "box", host.now))
    step: dict[str, Any] = {"attempts": []}

    def told(event: str, **result: Any) -> dict[str, Any]:
        stated = {**experiment, "began": begun["began"], "attempts": step["attempts"]}
        return through_json(answer({"event": event, "experiment": stated, **result}, "box", host.now))

    most = told("plan")["most"]
    for _number in range(most):
        step = told("next")
        if step["attempt"] is None:
            break
        deployed = host.deploy(step["attempt"])
        event = {"failure": deployed} if deployed.get("failed") else {"generation": deployed["generation"]}
        step = told("failed" if "failure" in event else "deployed", **event)
        for measurement in step["attempt"]["measurements"]:
            step = told("measured", runs=host.measure(step["attempt"]["name"], measurement))
    assert told("next")["attempt"] is None, "the role would end too early"
    host.restore(begun["rollback"])
    return told("end")


def comparison(*, rounds: int = 2, scenarios: Sequence[str] = ("standard",)) -> dict[str, Any]:
    profiles = {"before": "small", "after": "large"}
    stated = {"rounds": rounds, "seed": 7, "scenarios": list(scenarios), "profiles": profiles, "quality": True}
    return {"comparison": stated}


CANDIDATES = [
    {
        "changes": {"mini": {"max_num_seqs": seqs}} if seqs > 1 else {},
        "services": [{"name": "mini", "max_num_seqs": seqs}],
    }
    for seqs in (1, 8, 32)
]


def search(*, seconds: float = 3600, repeats: int = 1, scenarios: Sequence[str] = ("standard",)) -> dict[str, Any]:
    found = {"candidates": CANDIDATES, "start_fits": True, "combinations": 3, "drawn": 3, "refused": 0}
    return {
        "search": {
            "found": {**found, "refusal": None},
            "scenarios": list(scenarios),
            "within": {},
            "seconds": seconds,
            "keep": 0.5,
            "repeats": repeats,
            "seed": 0,
        }
    }


# A comparison


def test_both_sides_are_measured_in_turns_and_deployed_once() -> None:
    host = Host()
    runs = conduct(host, comparison(rounds=4))["runs"]
    assert [run["round"] for run in runs] == [1, 1, 2, 2, 3, 3, 4, 4]
    sides = [run["side"] for run in runs]
    assert sides[:4] == sides[:4][::-1], "ABBA or BAAB"
    deployed = [step for step in host.done if step.startswith(("deploy", "return"))]
    assert sorted(deployed[:2]) == ["deploy after", "deploy before"]
    assert all(step.startswith("return to") for step in deployed[2:]), "a side is the same to the byte in every round"


def test_the_host_serves_at_the_end_what_it_served_before() -> None:
    host = Host()
    conduct(host, comparison())
    assert host.done[-1] == "rolled_back 3"
    assert host.generation == 3


def test_a_host_that_served_nothing_serves_nothing_at_the_end() -> None:
    host = Host()
    conduct(host, comparison(), generation=None, generations=[])
    assert host.done[-1] == "absent 0"


def test_a_side_that_does_not_start_is_a_run_and_is_not_tried_again() -> None:
    host = Host(starts=lambda name: name == "after")
    runs = conduct(host, comparison(rounds=3))["runs"]
    assert host.done.count("deploy before") == 1
    assert "return to before" not in host.done
    refused = [run for run in runs if run["side"] == "before"]
    assert len(refused) == 1
    assert refused[0]["services"][0]["not_started"]["cause"] == "refused by the plan: GPU 0 has no room for it"
    assert refused[0]["environment"]["profile"] == "small"
    assert len(runs) == 1 + 3


def test_a_mistake_in_a_layout_is_no_result() -> None:
    host = Host()
    host.deploy = lambda attempt: {"failed": True, "msg": "service 'mini': unknown key tokens"}  # type: ignore[method-assign]
    with pytest.raises(InferenceError, match=r"^service 'mini': unknown key tokens$"):
        conduct(host, comparison())


def test_the_quality_of_answers_is_measured_once_on_each_side() -> None:
    host, asked = Host(), []

    def measure(name: str, measurement: dict[str, Any]) -> list[dict[str, Any]]:
        asked.append((name, measurement["scenario"], measurement["quality"]))
        return Host.measure(host, name, measurement)

    host.measure = measure  # type: ignore[method-assign]
    conduct(host, comparison(scenarios=("standard", "burst")))
    assert [one[:2] for one in asked if one[2]] == [
        (name, "standard") for name in dict.fromkeys(name for name, *_others in asked)
    ]
    assert len(asked) == 8


def test_a_comparison_without_a_round_is_refused() -> None:
    with pytest.raises(InferenceError, match="0 rounds; state at least 1"):
        conduct(Host(), comparison(rounds=0))


# A search


def test_a_search_measures_the_best_and_the_start_more_often_and_names_the_winner() -> None:
    host = Host(candidate_0=4.0, candidate_2=2.0)
    found = conduct(host, search())
    report = found["report"]
    assert report["winner"] == 1
    assert report["improvement"] > 1
    assert [len(one["scores"]) for one in report["candidates"]] == [3, 3, 1]
    assert host.done.count("deploy candidate 1") == 1
    assert host.done[-1] == "rolled_back 3"
    assert "max_num_seqs: 8" in found["file"]
    assert found["lines"][1].startswith("*")
    assert report["trials"][0]["deploy_seconds"] == 30
    assert report["trials"][-1]["measure_seconds"] == 20


def test_no_candidate_is_asked_the_same_prompts_twice() -> None:
    host = Host()
    conduct(host, search(repeats=2, scenarios=("standard", "burst")))
    asked = [step for step in host.done if step.startswith("measure")]
    assert len(asked) == len(set(asked)) == 2 * (3 * 2 + 2 * 4)


def test_a_search_ends_when_the_next_attempt_may_take_longer_than_the_time_left() -> None:
    host = Host()
    report = conduct(host, search(seconds=150))["report"]
    assert len(report["trials"]) == 3, "40 s each, and 80 s for another one with its two measurements and the rollback"
    assert report["seconds_used"] == 120
    assert host.done[-1] == "rolled_back 3"


def test_a_candidate_that_does_not_start_has_no_score_and_does_not_go_on() -> None:
    host = Host(starts=lambda name: name != "candidate 2")
    report = conduct(host, search())["report"]
    assert report["candidates"][2]["problem"] == "The layout does not fit."
    assert report["candidates"][2]["score"] is None
    assert host.done.count("deploy candidate 2") == 1


def test_where_nothing_fits_the_refusal_is_told_and_nothing_is_deployed() -> None:
    stated = search()
    stated["search"]["found"] |= {"candidates": [], "refusal": "mini: GPU 0 has no room for it"}
    host = Host()
    with pytest.raises(InferenceError, match="No layout of the space fits box: mini: GPU 0 has no room for it"):
        conduct(host, stated)
    assert host.done == []


def test_limits_that_are_misspelt_are_refused_before_anything_is_deployed() -> None:
    stated = search()
    stated["search"]["within"] = {"ttft": 1}
    host = Host()
    with pytest.raises(InferenceError, match="unknown key"):
        conduct(host, stated)
    assert host.done == []


# Before both


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        ({"transaction": {"id": 4}}, "a deployment is under way or was interrupted"),
        ({"generations": [{"number": 3, "problem": "generation 3 lacks its manifest"}]}, "generation 3 lacks its"),
    ],
)
def test_a_host_that_could_not_roll_back_is_refused(seen: dict[str, Any], text: str) -> None:
    host = Host()
    with pytest.raises(InferenceError, match=f"box could not roll back to what it serves now: {text}"):
        conduct(host, comparison(), **seen)
    assert host.done == []


def test_every_generation_of_the_experiment_is_kept_until_the_host_is_restored() -> None:
    begun = answer({"event": "begin", "found": SEEN, "candidates": 8}, "box", 0.0)
    assert begun["rollback"]["keep_generations"] == 2 + 2 + 8


def test_an_event_that_there_is_not_is_refused_with_those_there_are() -> None:
    stated = {**comparison(), "began": 0.0, "attempts": []}
    with pytest.raises(InferenceError, match="event is 'rest'; begin, plan, next,"):
        answer({"event": "rest", "experiment": stated}, "box", 0.0)
