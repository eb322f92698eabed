# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway's probe makes of an engine's counters, and that it runs by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.lookup.program_archive import archive
from ansible_collections.llmops.inference.plugins.module_utils._engine.metrics import Metrics, parse_metrics
from ansible_collections.llmops.inference.plugins.module_utils._gateway.probe import Verdict, watches_of

ROLE = Path(__file__).resolve().parents[5] / "roles/vllm_gateway"
# As an engine says it, with a second engine of the same process.
METRICS = """\
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="mini"} 120.0
vllm:generation_tokens_total{engine="1",model_name="mini"} 30.0
vllm:generation_tokens_created{engine="0",model_name="mini"} 1.795e+09
vllm:prompt_tokens_total{engine="0",model_name="mini"} 1.2e+03
vllm:kv_cache_usage_perc{engine="0",model_name="mini"} 0.25
"""


def test_counters_are_read_over_all_engines_of_a_service() -> None:
    assert parse_metrics(METRICS) == Metrics(requests=0.0, finished=0, progress=(1200.0, 150.0, 0.25))
    assert parse_metrics("up 1\n") is None


def counted(tokens: float, usage: float) -> Metrics:
    return Metrics(requests=1, finished=0, progress=(tokens - 1, 1, usage))


@pytest.mark.parametrize(
    ("before", "after", "worked"),
    [
        (None, counted(10, 0.1), False),
        (counted(10, 0.1), counted(10, 0.1), False),
        (counted(10, 0.1), counted(11, 0.1), True),
        (counted(10, 0.1), counted(10, 0.2), True),  # reading a long prompt
        (counted(10, 0.1), counted(10, 0.0), False),  # a client went away
        (counted(10, 0.0), counted(1, 0.1), False),  # it was restarted
    ],
)
def test_an_engine_works_when_its_counters_say_so(before: Metrics | None, after: Metrics, worked: bool) -> None:
    assert after.worked_since(before) is worked


def test_one_miss_is_none_and_one_token_is_enough() -> None:
    verdict = Verdict(most_misses=2)
    assert verdict.word() == "\n", "nothing is known yet"
    verdict.take("no token")
    assert verdict.word() == "\n"
    verdict.take(None)
    assert verdict.word() == "up\n"
    verdict.take("no token")
    assert verdict.word() == "up\n"
    verdict.take("no token within 3 s")
    assert verdict.word() == "down #no token within 3 s\n"
    verdict.take(None)
    assert verdict.word() == "up\n"


def test_its_settings_name_every_server() -> None:
    target = {"server": "model-mini/a:mini", "host": "10.0.0.1", "port": 8002, "model": "mini", "api_key": ""}
    watches = watches_of({"interval": 5, "deadline": 30, "misses": 2, "targets": [target]})
    assert watches["model-mini/a:mini"].endpoint.api_key is None
    assert watches["model-mini/a:mini"].deadline == 30


def test_the_program_of_the_role_runs_without_ansible(tmp_path: Path) -> None:
    (tmp_path / "vllm_gateway").write_bytes(archive(ROLE / "files" / "vllm_gateway"))
    # Without a gateway there is nothing to save; getting there imports all that was installed.
    command = [sys.executable, "-B", str(tmp_path / "vllm_gateway"), "save-state"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={}, cwd=tmp_path)
    assert ran.stderr.rstrip().endswith("FileNotFoundError: [Errno 2] No such file or directory")
