# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mistake in a layout is told in one sentence: which service, which key, which value, and the way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.stated import stated_problems

MINI: dict[str, Any] = {"name": "mini", "model": "/srv/models/mini", "port": 8002}
# A mistake added here needs its sentence in the file: a contributor writes no code.
MISTAKES = json.loads((Path(__file__).parent / "mistakes.json").read_text(encoding="utf-8"))


def problems(variables: dict[str, Any]) -> list[str]:
    return stated_problems(["box"], {"box": variables})


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: str(mistake["mistake"]))
def test_a_mistake_has_its_sentence(mistake: dict[str, Any]) -> None:
    if "service" in mistake:
        found = problems({"vllm_services_layout": [{**MINI, **mistake["service"]}]})
    else:
        found = problems(mistake["variables"])
    assert found == mistake["says"]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: str(mistake["mistake"]))
def test_every_sentence_names_its_place_and_fits_on_few_lines(mistake: dict[str, Any]) -> None:
    for text in mistake["says"]:
        assert text.startswith("box: ")
        assert len(text) <= 600
        assert "<class" not in text
        assert "_Ansible" not in text
        if "service" in mistake:
            assert f"service {mistake['service'].get('name', 'mini')!r}" in text or "service 1" in text
            assert any(key in text for key in mistake["service"])


def test_a_correct_layout_has_no_problem() -> None:
    assert problems({"vllm_services_layout": [MINI], "vllm_services_gpu_memory_budget": "0.99"}) == []


def test_hosts_without_variables_have_no_problem() -> None:
    assert problems({}) == []


def test_one_mistake_of_many_hosts_is_told_once() -> None:
    hosts = [f"box-{number}" for number in range(5)]
    (text,) = stated_problems(hosts, {host: {"vllm_services_gpu_memory_budget": "99%"} for host in hosts})
    assert text.startswith("box-0, box-1, box-2 and 2 more hosts: vllm_services_gpu_memory_budget is '99%'")


def test_a_secret_is_in_no_sentence() -> None:
    layout = [{**MINI, "secret_environment": "canary-5b1d", "port": "eight"}]
    assert "canary" not in " ".join(problems({"vllm_services_layout": layout}))
    assert "canary" not in " ".join(problems({"vllm_services_layout": layout[0]}))
