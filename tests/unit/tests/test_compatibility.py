# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that says what was run on what."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.tests.tools import compatibility


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(compatibility, "RECORD", tmp_path / "build" / "record.json")
    monkeypatch.setattr(compatibility, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(compatibility, "ROOT", tmp_path)
    monkeypatch.setattr(compatibility, "measured_gpus", lambda: ["- a card"])
    monkeypatch.setattr(compatibility, "ansible_core", lambda python: "2.21.5")
    return tmp_path


def note_some() -> None:
    compatibility.note("controllers", "2.21.3.12", core="2.21.5", python="3.12", sanity="passed")
    compatibility.note("controllers", "2.21.3.12", units="failed")
    compatibility.note("controllers", "2.19.3.11", core="2.19.14", python="3.11", remark="no such Python")
    compatibility.note("hosts", "3.9", units="passed")
    compatibility.note("hosts", "3.10")
    compatibility.note("scenarios", "one", core="2.21.5", python="3.13.0", result="passed")


def scenarios_of(checkout: Path, *names: str) -> None:
    for name in names:
        (checkout / "molecule" / name).mkdir(parents=True)
        (checkout / "molecule" / name / "molecule.yml").touch()
        (checkout / "molecule" / name / "inventory.yml").write_text(
            "testbed:\n  vars: {testbed_options: [--engine]}\n  hosts: {a: {testbed_release: trixie}, b: }\n"
        )
    (checkout / "roles/vllm_runtime/defaults").mkdir(parents=True)
    (checkout / "roles/vllm_runtime/defaults/main.yml").write_text("vllm_runtime_version: 1.2.3\n")


def test_the_page_shows_what_was_run_when_and_what_was_not(record: Path) -> None:
    scenarios_of(record, "one", "two")
    note_some()
    page = compatibility.page(compatibility.read())
    today = datetime.date.today().isoformat()
    assert f"| 2.21.5 | 3.12 | passed | failed |  | {today} |" in page
    assert f"| 2.19.14 | 3.11 |  |  | no such Python | {today} |" in page
    assert "| 2.19 | 3.12 |  |  | not run |  |" in page
    assert page.index("2.19.14") < page.index("2.21.5")
    assert page.index("| 3.9 |") < page.index("| 3.10 |"), "versions are numbers, not text"
    hosts = "Debian 12, Debian 13 | CPU, vLLM 1.2.3"
    assert f"| one | {hosts} | 2.21.5 | 3.13.0 | passed | {today} |" in page
    assert f"| two | {hosts} |  |  | not run |  |" in page


def test_half_a_run_does_not_replace_the_page_unless_it_is_asked_to(record: Path) -> None:
    scenarios_of(record, "one", "two")
    note_some()
    said = compatibility.write_page()
    assert "two (scenarios)" in said
    assert "2.20.3.12 (controllers)" in said
    assert "2.19.3.11" not in said, "nobody can run it there"
    assert not compatibility.PAGE.exists()
    assert "says what was run" in compatibility.write_page(whole=False)
    assert "not run" in compatibility.PAGE.read_text(encoding="utf-8")


def test_a_whole_run_replaces_the_page(record: Path) -> None:
    scenarios_of(record, "one")
    note_some()
    for core, pythons in compatibility.CORES.items():
        for python in pythons:
            compatibility.note("controllers", f"{core}.{python}", core=core, python=python, units="passed")
    assert "says what was run" in compatibility.write_page()
    assert "not run |" not in compatibility.PAGE.read_text(encoding="utf-8")


def test_a_scenario_is_noted_with_its_controller(record: Path) -> None:
    compatibility.note_scenario("two", passed=True)
    facts = compatibility.read()["scenarios"]["two"]
    assert (facts["core"], facts["python"], facts["result"]) == ("2.21.5", platform.python_version(), "passed")


def test_a_card_on_which_the_collection_ran_is_told_apart_from_others() -> None:
    lines = list(compatibility.measured_gpus())
    assert "- H200: vLLM 0.32.0 by itself, and as services of this collection" in lines
    assert "- H100 80GB: vLLM 0.24.0 by itself, not as a service of this collection" in lines
