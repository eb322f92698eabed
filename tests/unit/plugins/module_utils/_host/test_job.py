# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions that outlive their module: real processes, one lock."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._host import job as job_module
from ansible_collections.llmops.inference.plugins.module_utils._host import lock as locks


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (job_module, locks):
        monkeypatch.setattr(module, "RUN_DIRECTORY", tmp_path / "jobs")
    return tmp_path / "jobs"


def outcome(job: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a job, awaited for at most ten seconds."""
    path = Path(job["directory"]) / "result"
    for _attempt in range(200):
        if path.exists():
            return dict(json.loads(path.read_text()))
        time.sleep(0.05)
    raise AssertionError(f"no result in {path.parent}")


def nothing(report: job_module.OnStep) -> dict[str, Any]:
    """The rollback where nothing was left open."""
    return {}


def pids(job: Mapping[str, Any]) -> tuple[int, int]:
    """The processes of a job: the one that watches, and the one that works."""
    path = Path(job["directory"]) / "pids"
    while not path.exists():
        time.sleep(0.05)
    supervisor, worker = path.read_text().split()
    return int(supervisor), int(worker)


def test_work_of_another_kind_says_in_its_own_words_that_it_was_killed() -> None:
    def work(report: job_module.OnStep) -> dict[str, Any]:
        time.sleep(30)
        return {}

    def killed(how: str, told: Mapping[str, Any]) -> str:
        return f"the measurement {how}; {told['left']} is left of it"

    job = job_module.detach(locks.Lock.take(), work, lambda report: {"left": "nothing"}, killed)
    os.kill(pids(job)[1], signal.SIGKILL)
    assert outcome(job)["msg"] == "the measurement was killed by signal 9; nothing is left of it"


def test_a_job_reports_its_steps_and_leaves_its_result() -> None:
    def work(report: job_module.OnStep) -> dict[str, Any]:
        report("mini", "loading weights")
        return {"changed": True}

    job = job_module.detach(locks.Lock.take(), work, nothing)
    assert outcome(job) == {"changed": True}
    assert (Path(job["directory"]) / "progress").read_text() == "mini\tloading weights\t0\n"


def test_a_refusal_and_a_crash_are_results_too() -> None:
    def refuse(report: job_module.OnStep) -> dict[str, Any]:
        raise InferenceError("too large", service="mini")

    def crash(report: job_module.OnStep) -> dict[str, Any]:
        raise ZeroDivisionError("by zero")

    refused = outcome(job_module.detach(locks.Lock.take(), refuse, nothing))
    assert refused == {"failed": True, "msg": "too large", "service": "mini"}
    crashed = outcome(job_module.detach(locks.Lock.take(), crash, nothing))
    assert crashed["failed"]
    assert crashed["msg"] == "ZeroDivisionError: by zero"
    assert "test_job.py" in crashed["exception"]


@pytest.mark.parametrize("process", [0, 1], ids=["watching", "working"])
def test_a_job_that_is_told_to_end_fails_in_its_own_words(process: int) -> None:
    def work(report: job_module.OnStep) -> dict[str, Any]:
        time.sleep(30)
        return {}

    job = job_module.detach(locks.Lock.take(), work, nothing)
    os.kill(pids(job)[process], signal.SIGTERM)
    assert outcome(job) == {"failed": True, "msg": "the run was ended by SIGTERM"}


@pytest.mark.parametrize(
    ("back", "said"),
    [
        ({}, " when it had changed all or nothing; run again to converge"),
        ({"rolled_back_to": 6}, "; generation 6 serves again: run again to converge"),
        ({"rolled_back_to": None}, "; nothing is deployed, as before: run again to converge"),
    ],
)
def test_of_a_job_that_is_killed_the_parent_goes_the_way_back_and_says_so(back: dict[str, Any], said: str) -> None:
    def work(report: job_module.OnStep) -> dict[str, Any]:
        time.sleep(30)
        return {}

    job = job_module.detach(locks.Lock.take(), work, lambda report: back)
    os.kill(pids(job)[1], signal.SIGKILL)
    assert outcome(job) == {"failed": True, "msg": f"the transaction was killed by signal 9{said}", **back}


def test_the_lock_is_held_until_the_way_back_has_ended() -> None:
    def work(report: job_module.OnStep) -> dict[str, Any]:
        time.sleep(30)
        return {}

    def back(report: job_module.OnStep) -> dict[str, Any]:
        time.sleep(4)
        return {"rolled_back_to": 6}

    lock = locks.Lock.take()
    job = job_module.detach(lock, work, back)
    lock.release()
    supervisor, worker = pids(job)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(InferenceError, match=f"being deployed or measured by process {supervisor}, since"):
        locks.Lock.take()
    assert outcome(job)["rolled_back_to"] == 6
    assert locks.holder() is None or supervisor_ends(supervisor)


def supervisor_ends(pid: int) -> bool:
    for _attempt in range(100):
        if not Path(f"/proc/{pid}").exists():
            return locks.holder() is None
        time.sleep(0.05)
    return False


def test_a_second_deployment_is_refused_naming_the_first_until_it_has_ended() -> None:
    named = r"being deployed or measured by alice@controller \(play 'Serve'\), process \d+, since 20"
    with locks.locked("alice@controller (play 'Serve')"), pytest.raises(InferenceError, match=named) as refused:
        locks.Lock.take("bob@controller")
    assert str(refused.value.details["holder"]).startswith("alice@controller")
    with locks.locked():
        pass


def test_the_lock_stays_with_a_detached_job_after_its_starter_has_let_go() -> None:
    def work(report: job_module.OnStep) -> dict[str, Any]:
        time.sleep(4)
        return {}

    lock = locks.Lock.take()
    job = job_module.detach(lock, work, nothing)
    lock.release()
    with pytest.raises(InferenceError, match="being deployed or measured by process"):
        locks.Lock.take()
    outcome(job)
