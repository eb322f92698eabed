# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a transaction from the controller: its commands for a host run here, on the files of real jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.llmops.inference.plugins.action.vllm_deployment import ActionModule
from ansible_collections.llmops.inference.plugins.module_utils._host import job as job_module
from ansible_collections.llmops.inference.plugins.module_utils._host import lock
from ansible_collections.llmops.inference.plugins.plugin_utils._action import follow


class Follower(ActionModule):
    """The action plugin, connected to this machine; ``away`` times first there is no answer."""

    def __init__(self, away: int = 0) -> None:
        self.away = away

    def _low_level_execute_command(self, command: str, *arguments: Any, **keys: Any) -> dict[str, Any]:
        self.away -= 1
        if self.away >= 0:
            return {"rc": 125, "stdout": "", "stderr": "no such container"}
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        return {"rc": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (job_module, lock):
        monkeypatch.setattr(module, "RUN_DIRECTORY", tmp_path / "jobs")
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.05)


def working(report: job_module.OnStep) -> dict[str, Any]:
    report("mini", "loading weights")
    time.sleep(1)
    return {"changed": True, "generation": 7}


def nothing(report: job_module.OnStep) -> dict[str, Any]:
    return {}


def test_a_transaction_is_followed_to_its_result_and_its_steps_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    job = job_module.detach(lock.Lock.take(), working, nothing)
    assert Follower()._follow(job["directory"], "box") == {"changed": True, "generation": 7}
    assert "box  mini" in capsys.readouterr().out


def test_a_step_that_takes_long_says_that_it_still_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "SILENT_SECONDS", 0.3)
    job = job_module.detach(lock.Lock.take(), working, nothing)
    Follower()._follow(job["directory"], "box")
    said = [line.split()[-3:] for line in capsys.readouterr().out.splitlines() if "weights" in line]
    assert said[0] == ["s", "loading", "weights"]
    assert len(said) >= 3
    assert all(words == ["still", "loading", "weights"] for words in said[1:])
    assert follow._still("mini\tstill waiting\t40", 10.4) == "mini\tstill waiting\t50"


def test_a_host_that_does_not_answer_for_a_while_is_waited_for() -> None:
    job = job_module.detach(lock.Lock.take(), working, nothing)
    assert Follower(away=3)._follow(job["directory"], "box")["generation"] == 7


def test_a_host_that_does_not_come_back_is_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "RECONNECT_SECONDS", 0.2)
    with pytest.raises(AnsibleConnectionFailure, match="no such container"):
        Follower(away=1000)._follow("/run/nowhere", "box")


def test_of_a_host_that_forgot_the_transaction_the_end_is_told() -> None:
    ended = Follower()._follow("/run/nowhere", "box")
    assert ended["failed"]
    assert "on box ended without a result" in ended["msg"]


def test_while_the_way_back_is_gone_the_transaction_is_not_over() -> None:
    def long(report: job_module.OnStep) -> dict[str, Any]:
        time.sleep(30)
        return {}

    def back(report: job_module.OnStep) -> dict[str, Any]:
        time.sleep(1)
        return {"rolled_back_to": 6}

    job = job_module.detach(lock.Lock.take(), long, back)
    worker = int((Path(job["directory"]) / "pids").read_text().split()[1])
    os.kill(worker, signal.SIGKILL)
    ended = Follower()._follow(job["directory"], "box")
    assert (ended["failed"], ended["rolled_back_to"]) == (True, 6)
    assert "generation 6 serves again" in ended["msg"]


def test_whoever_asks_is_named_with_the_play() -> None:
    assert follow._requester({"ansible_play_name": "Serve"}).endswith(" (play 'Serve')")
    assert "@" in follow._requester({})
