# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a search leaves: a better layout to review, and what speaks for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml
from testinfra.host import Host

testinfra_hosts = ["podman://tune"]

FOUND = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "tuning"


def evidence() -> dict[str, Any]:
    return dict(json.loads((FOUND / "tune-tune.json").read_text(encoding="utf-8")))


def test_the_search_beats_a_start_that_lets_in_one_request_at_a_time() -> None:
    found = evidence()
    assert found["start"] == 0
    assert found["winner"] != 0
    assert found["improvement"] > 1.2
    assert found["changes"]["mini"]["max_num_seqs"] == 8


def test_the_winner_and_the_start_were_measured_alike() -> None:
    found = evidence()
    scores = [found["candidates"][number]["scores"] for number in (found["start"], found["winner"])]
    assert len(scores[0]) == len(scores[1]) > 0


def test_what_the_plan_refuses_was_never_tried() -> None:
    found = evidence()
    assert found["considered"]["refused"] > 0
    assert "1000000" in found["considered"]["refusal"]
    assert all(
        service["max_model_len"] == 4096 for candidate in found["candidates"] for service in candidate["services"]
    )


def test_the_file_to_review_has_the_changes_and_says_why(host: Host) -> None:
    text = (FOUND / "tune-tune.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == {"vllm_services_changes": evidence()["changes"]}
    assert "times what the layout as it stands does" in text
    # The scenario deployed it in the end.
    assert "max-num-seqs: 8" in host.file("/etc/vllm/current/services/mini/engine.yaml").content_string
