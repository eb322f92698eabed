# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan is right about the engine that is installed here: what starts, what does not and why, and the KV tokens."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.inference.tests.bench.against_engine.combinations import SAMPLE
from ansible_collections.llmops.inference.tests.bench.against_engine.replay import GATE_1, GATE_2, STARTS, Trials
from ansible_collections.llmops.inference.tests.bench.against_engine.report import complaints
from testinfra.host import Host

testinfra_hosts = ["podman://plan"]


@pytest.fixture(name="trials", scope="module")
def _trials(host: Host) -> Trials:
    return Trials(host.file("/var/tmp/trials.jsonl").content_string.splitlines())


def test_every_combination_was_tried_and_every_verdict_met(trials: Trials) -> None:
    assert {row["name"] for row in trials.rows} == set(SAMPLE)
    assert {row["starts"][-1]["verdict"] for row in trials.rows} == {STARTS, GATE_1, GATE_2}


def test_the_plan_said_what_the_engine_did(trials: Trials) -> None:
    assert not complaints(trials)


def test_what_shares_a_device_restarted_beside_the_others(trials: Trials) -> None:
    row = next(row for row in trials.rows if row["name"] == "two-both-fit-backwards")
    assert [start["beside_all"] for start in row["starts"]] == [False, False, True]
    assert [start["service"] for start in row["starts"]] == ["mini", "medium", "mini"], "against the plan's order"
