# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look of the watchdog, at servers that are no engines: real ones are looked at, and hang, in the scenario watch."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._engine import finished_requests
from ansible_collections.llmops.inference.plugins.module_utils._guard import watchdog
from ansible_collections.llmops.inference.plugins.module_utils._guard.watchdog import Running
from ansible_collections.llmops.inference.plugins.module_utils._service.ticket import Ticket
from ansible_collections.llmops.inference.plugins.module_utils._service.watchdog import Watchdog

NOBODY = 9  # a port on which nothing listens


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """What stands for the main process of the unit."""
    with subprocess.Popen(["sleep", "600"]) as running:
        yield running
        running.kill()


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of one service, whose state is in a directory of the test."""
    for directory in ("run/mini", "watchdog/mini"):
        (tmp_path / directory).mkdir(parents=True)
    monkeypatch.setattr(watchdog, "RUNTIME_DIRECTORY", tmp_path / "run")
    monkeypatch.setattr(watchdog, "Ledger", lambda service: finished_requests.Ledger(service, tmp_path / "watchdog"))
    return tmp_path


def serving(monkeypatch: pytest.MonkeyPatch, *answers: Running | None) -> None:
    """Let systemd answer this, one after the other, and the last for ever."""
    queue = list(answers)
    monkeypatch.setattr(watchdog, "find_running", lambda service: queue.pop(0) if len(queue) > 1 else queue[0])


def ticket(misses: int = 2, container: bool = False) -> Ticket:
    watched = Watchdog(interval=5, deadline=1, misses=misses)
    return Ticket("mini", "mini", "127.0.0.1", NOBODY, {}, 60, 0, "digest", watchdog=watched, container=container)


def test_a_service_that_gives_no_token_is_killed_after_so_many_looks_with_the_evidence(
    monkeypatch: pytest.MonkeyPatch, process: subprocess.Popen[bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    serving(monkeypatch, Running(process.pid, "first"))
    watchdog.probe_service(ticket())
    assert process.poll() is None
    assert "no token, miss 1 of 2: http://127.0.0.1:9/v1 generated nothing" in capfd.readouterr().out
    watchdog.probe_service(ticket())
    assert process.wait(timeout=5) == -9
    said = capfd.readouterr().out
    assert said.startswith("<5>vllm-watchdog: wedged: no token in 2 looks, http://127.0.0.1:9/v1 generated nothing")
    assert "/health does not answer 200, /metrics does not answer" in said
    assert f"killing process {process.pid} for a restart" in said


def test_of_a_container_the_engine_is_killed_and_not_the_monitor_in_front_of_it(
    monkeypatch: pytest.MonkeyPatch, process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    payload = tmp_path / "cgroup/system.slice/vllm@mini.service/libpod-payload-4f1e"
    payload.mkdir(parents=True)
    (payload / "cgroup.procs").write_text(f"{process.pid}\n")
    monkeypatch.setattr(watchdog, "_CONTROL_GROUPS", tmp_path / "cgroup")
    with subprocess.Popen(["sleep", "600"]) as monitor:
        serving(monkeypatch, Running(monitor.pid, "first", "/system.slice/vllm@mini.service"))
        watchdog.probe_service(ticket(misses=1, container=True))
        assert process.wait(timeout=5) == -9
        assert monitor.poll() is None
        monitor.kill()


def test_what_starts_or_stops_is_left_alone(monkeypatch: pytest.MonkeyPatch, host: Path) -> None:
    serving(monkeypatch, None)
    watchdog.probe_service(ticket(misses=1))
    assert not (host / "run/mini/watchdog.json").exists()


def test_an_engine_that_was_replaced_while_it_was_looked_at_is_not_killed(
    monkeypatch: pytest.MonkeyPatch, process: subprocess.Popen[bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    serving(monkeypatch, Running(process.pid, "first"), Running(process.pid, "second"))
    watchdog.probe_service(ticket(misses=1))
    assert process.poll() is None
    assert "wedged" not in capfd.readouterr().out


def test_a_drain_that_began_during_the_look_is_not_cut_short(
    monkeypatch: pytest.MonkeyPatch, process: subprocess.Popen[bytes]
) -> None:
    serving(monkeypatch, Running(process.pid, "first"), None)
    watchdog.probe_service(ticket(misses=1))
    assert process.poll() is None


def test_the_misses_of_an_earlier_start_do_not_count(
    monkeypatch: pytest.MonkeyPatch, process: subprocess.Popen[bytes], host: Path
) -> None:
    serving(monkeypatch, Running(process.pid, "first"))
    watchdog.probe_service(ticket())
    serving(monkeypatch, Running(process.pid, "second"))
    watchdog.probe_service(ticket())
    assert process.poll() is None
    assert json.loads((host / "run/mini/watchdog.json").read_text())["misses"] == 1


@pytest.mark.parametrize("text", ["", "[1", '{"invocation": "first", "nonsense": 1}'])
def test_a_state_that_nobody_can_read_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, process: subprocess.Popen[bytes], host: Path, text: str
) -> None:
    (host / "run/mini/watchdog.json").write_text(text)
    serving(monkeypatch, Running(process.pid, "first"))
    watchdog.probe_service(ticket())
    assert json.loads((host / "run/mini/watchdog.json").read_text())["misses"] == 1


@pytest.mark.parametrize(
    ("shown", "running"),
    [
        ("ActiveState=active\nSubState=running\nMainPID=7\nInvocationID=a\nControlGroup=/g\n", Running(7, "a", "/g")),
        ("ActiveState=active\nSubState=running\nMainPID=7\nInvocationID=a\nJob=12\n", None),
        ("ActiveState=activating\nSubState=start-post\nMainPID=7\nInvocationID=a\n", None),
        ("ActiveState=deactivating\nSubState=stop-sigterm\nMainPID=7\nInvocationID=a\n", None),
        ("ActiveState=active\nSubState=running\nMainPID=0\nInvocationID=a\n", None),
        ("", None),
    ],
)
def test_only_a_unit_that_serves_and_has_no_job_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, shown: str, running: Running | None
) -> None:
    answer = subprocess.CompletedProcess([], 0, stdout=shown)
    monkeypatch.setattr(subprocess, "run", lambda *_arguments, **_keys: answer)
    assert watchdog.find_running("mini") == running
