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
from ansible_collections.llmops.inference.plugins.module_utils import _job
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_job, "_DIRECTORY", tmp_path / "jobs")
    monkeypatch.setattr(_job, "_LOCK", tmp_path / "jobs" / "lock")
    return tmp_path / "jobs"


def outcome(job: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a job, awaited for at most ten seconds."""
    path = Path(job["directory"]) / "result"
    for _attempt in range(200):
        if path.exists():
            return dict(json.loads(path.read_text()))
        time.sleep(0.05)
    raise AssertionError(f"no result in {path.parent}")


def test_a_job_reports_its_steps_and_leaves_its_result() -> None:
    def work(report: _job.Report) -> dict[str, Any]:
        report("mini", "loading weights")
        return {"changed": True}

    job = _job.detach(_job.Lock.take(), work)
    assert outcome(job) == {"changed": True}
    assert (Path(job["directory"]) / "progress").read_text() == "mini\tloading weights\t0\n"


def test_a_refusal_and_a_crash_are_results_too() -> None:
    def refuse(report: _job.Report) -> dict[str, Any]:
        raise InferenceError("too large", service="mini")

    def crash(report: _job.Report) -> dict[str, Any]:
        raise ZeroDivisionError("by zero")

    refused = outcome(_job.detach(_job.Lock.take(), refuse))
    assert refused == {"failed": True, "msg": "too large", "service": "mini"}
    for _attempt in range(100):  # the lock goes with the process, a moment after its result
        try:
            lock = _job.Lock.take()
            break
        except InferenceError:
            time.sleep(0.05)
    crashed = outcome(_job.detach(lock, crash))
    assert crashed["failed"]
    assert crashed["msg"] == "ZeroDivisionError: by zero"
    assert "test_job.py" in crashed["exception"]


def test_a_job_that_is_told_to_end_fails_in_its_own_words() -> None:
    def work(report: _job.Report) -> dict[str, Any]:
        time.sleep(30)
        return {}

    job = _job.detach(_job.Lock.take(), work)
    pid = Path(job["directory"]) / "pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.05)
    os.kill(int(pid.read_text()), signal.SIGTERM)
    assert outcome(job) == {"failed": True, "msg": "the transaction was ended by SIGTERM"}


def test_a_second_deployment_is_refused_naming_the_first_until_it_has_ended() -> None:
    with _job.locked(), pytest.raises(InferenceError, match=r"being deployed by process \d+, since 20"):
        _job.Lock.take()
    with _job.locked():
        pass


def test_the_lock_stays_with_a_detached_job_after_its_starter_has_let_go() -> None:
    def work(report: _job.Report) -> dict[str, Any]:
        time.sleep(1)
        return {}

    lock = _job.Lock.take()
    job = _job.detach(lock, work)
    lock.release()
    with pytest.raises(InferenceError, match="being deployed by process"):
        _job.Lock.take()
    outcome(job)
