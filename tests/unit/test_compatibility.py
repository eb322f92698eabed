# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that says what was run on what."""

from __future__ import annotations

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


def run_both() -> None:
    compatibility.note("controllers", "2.21.3.12", core="2.21.5", python="3.12", sanity="passed")
    compatibility.note("controllers", "2.21.3.12", units="failed")
    compatibility.note("controllers", "2.19.3.11", core="2.19.14", python="3.11")
    compatibility.note("hosts", "3.9", units="passed")
    compatibility.note("hosts", "3.10")
    compatibility.note("scenarios", "runtime", os="Debian 12", accelerator="none", result="passed")
    compatibility.note("runs", "make test", result="passed")


def test_the_page_shows_what_was_run_and_leaves_empty_what_was_not(record: Path) -> None:
    run_both()
    page = compatibility.page(compatibility.read())
    assert "| 2.21.5 | 3.12 | passed | failed |  |" in page
    assert "| 2.19.14 | 3.11 |  |  |  |" in page
    assert page.index("2.19.14") < page.index("2.21.5")
    assert page.index("| 3.9 |") < page.index("| 3.10 |"), "versions are numbers, not text"
    assert "| runtime | Debian 12 | none |  |  | passed |" in page


def test_half_a_run_does_not_replace_the_page(record: Path) -> None:
    run_both()
    assert "make test-matrix was not run" in compatibility.write_page()
    assert not compatibility.PAGE.exists()
    compatibility.note("runs", "make test-matrix", result="passed")
    assert "says what was run" in compatibility.write_page()
    assert compatibility.PAGE.exists()


def test_a_scenario_is_noted_with_its_hosts_and_its_engine(record: Path) -> None:
    (record / "molecule/two").mkdir(parents=True)
    (record / "molecule/two/inventory.yml").write_text(
        "testbed:\n  vars: {testbed_options: [--engine]}\n  hosts: {a: {testbed_release: trixie}, b: }\n"
    )
    (record / "roles/vllm_runtime/defaults").mkdir(parents=True)
    (record / "roles/vllm_runtime/defaults/main.yml").write_text("vllm_runtime_version: 1.2.3\n")
    compatibility.note_scenario("two", passed=True)
    facts = compatibility.read()["scenarios"]["two"]
    assert (facts["os"], facts["accelerator"], facts["result"]) == ("Debian 12, Debian 13", "CPU, vLLM 1.2.3", "passed")
