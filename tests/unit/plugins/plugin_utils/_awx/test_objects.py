# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Surveys that were edited in AWX, profiles that an inventory adds, and secrets that were rotated."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.filter.awx_credential import awx_credential
from ansible_collections.llmops.inference.plugins.filter.awx_survey import awx_survey

PROFILE: dict[str, Any] = {
    "question_name": "Profile",
    "variable": "vllm_services_profile",
    "type": "multiplechoice",
    "required": True,
    "choices": ["after", "before"],
    "default": "after",
}
VERSION: dict[str, Any] = {
    "question_name": "Version",
    "variable": "vllm_runtime_version",
    "type": "text",
    "default": "1",
}
QUESTIONS = [PROFILE, VERSION]


def written(questions: Sequence[dict[str, Any]] = tuple(QUESTIONS), **about: Any) -> dict[str, Any]:
    """The survey as a first run hands it over."""
    spec: dict[str, Any] = awx_survey(list(questions), **about)["spec"]
    return copy.deepcopy(spec)


def test_a_survey_that_nobody_touched_is_handed_over_as_it_is_there() -> None:
    there = written()
    assert awx_survey(QUESTIONS, there) == {"spec": there, "kept": []}


def test_a_new_question_reaches_a_survey_that_nobody_touched() -> None:
    there = written([PROFILE])
    found = awx_survey(QUESTIONS, there)
    assert (found["spec"]["spec"], found["kept"]) == (QUESTIONS, [])


@pytest.mark.parametrize("description", [None, ""], ids=["as it was", "emptied by the form"])
def test_an_edited_survey_stays_and_the_question_is_named(description: str | None) -> None:
    there = written()
    there["spec"][1]["default"] = "2"
    there["description"] = there["description"] if description is None else description
    assert awx_survey(QUESTIONS, there) == {"spec": there, "kept": ["vllm_runtime_version"]}
    assert awx_survey(QUESTIONS, there, overwrite=True) == {"spec": written(), "kept": []}


def test_questions_that_were_added_removed_or_moved_are_edits() -> None:
    extra = {**VERSION, "variable": "mine"}
    for spec, kept in (
        ([*QUESTIONS, extra], ["mine"]),
        ([PROFILE], ["vllm_runtime_version"]),
        ([VERSION, PROFILE], ["their order"]),
    ):
        assert awx_survey(QUESTIONS, {**written(), "spec": spec})["kept"] == kept


def test_fields_that_awx_adds_to_a_question_are_no_edit() -> None:
    there = written()
    there["spec"] = [{**question, "new_question": True, "min": None} for question in there["spec"]]
    assert awx_survey(QUESTIONS, there)["kept"] == []


def test_a_survey_of_an_older_version_that_is_the_same_takes_the_digest() -> None:
    assert awx_survey(QUESTIONS, {"name": "", "description": "", "spec": QUESTIONS}) == {"spec": written(), "kept": []}


def variables(default: str | None = None, *names: str) -> str:
    return json.dumps({"vllm_services_profiles": {name: {} for name in names}, "vllm_services_profile": default})


@pytest.mark.parametrize(
    ("texts", "choices", "default"),
    [
        ([], ["after", "before"], "after"),
        ([variables("b", "a", "b")], ["a", "b"], "b"),
        ([variables(None, "a", "after")], ["a", "after"], "after"),
        ([variables(None, "a"), "vllm_services_profiles: {z: {}}"], ["a", "z"], "a"),
        (["", "{{ broken", "- a list", "vllm_services_profiles: text", "a: [1"], ["after", "before"], "after"),
        ([variables("{{ chosen }}", "a")], ["a"], "a"),
    ],
)
def test_profiles_of_the_inventory_can_be_chosen(texts: list[str], choices: list[str], default: str) -> None:
    profile, version = written(variables=texts)["spec"]
    assert (profile["choices"], profile["default"]) == (choices, default)
    assert version == VERSION


def test_a_secret_is_handed_over_once_and_again_where_it_differs() -> None:
    first = awx_credential("Our key.", {}, "canary")
    assert first["differs"] is True
    assert "canary" not in first["description"]
    there = {"description": first["description"]}
    assert awx_credential("Our key.", there, "canary") == {"description": first["description"], "differs": False}
    assert awx_credential("Our key.", there, "rotated")["differs"] is True


def test_without_a_secret_a_credential_stays_as_it_is() -> None:
    assert awx_credential("Our key.") == {"description": "Our key.", "differs": False}
    assert awx_credential("Our key.", {"description": "x"}) == {"description": "x", "differs": False}


def test_the_same_secret_of_two_credentials_does_not_show() -> None:
    one, other = (awx_credential(name, {}, "canary")["description"].removeprefix(name) for name in ("One.", "Other."))
    assert one != other
