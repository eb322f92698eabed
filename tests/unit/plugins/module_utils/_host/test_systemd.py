# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading systemctl and journalctl: their output as systemd 252 printed it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._host import systemd
from ansible_collections.llmops.inference.plugins.module_utils._host.systemd import JournalLine, Systemd

SHOWN = """\
NRestarts=0
Result=success
MainPID=84
Id=vllm@medium.service
ActiveState=activating
SubState=start-post
InvocationID=0f3d
Job=211

NRestarts=1
Result=success
MainPID=0
Id=vllm@mini.service
ActiveState=activating
SubState=auto-restart
InvocationID=9a1c
"""


class Recorded:
    """Answers every command with one recorded output, and remembers what was asked."""

    def __init__(self, out: str, status: int = 0, error: str = "") -> None:
        self.answer = (status, out, error)
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> tuple[int, str, str]:
        self.commands.append(list(command))
        return self.answer


def test_the_states_of_all_services_come_in_one_call() -> None:
    run = Recorded(SHOWN)
    states = Systemd(run).states(["medium", "mini"])
    assert len(run.commands) == 1
    assert not states["medium"].has_failed_to_start
    assert (states["medium"].main_pid, states["medium"].has_job) == (84, True)
    assert states["mini"].has_failed_to_start, "a second attempt is a failed first one, though its result is 'success'"


def test_a_unit_without_state_and_without_job_has_failed_to_start() -> None:
    shown = "Id=vllm@mini.service\nActiveState=inactive\nSubState=dead\nResult=success\nNRestarts=0\nMainPID=0\n"
    assert Systemd(Recorded(shown)).states(["mini"])["mini"].has_failed_to_start
    assert not Systemd(Recorded(shown + "Job=12\n")).states(["mini"])["mini"].has_failed_to_start


def test_what_is_being_stopped_is_gone_before_it_is_started() -> None:
    run = Recorded("Id=vllm@mini.service\nActiveState=deactivating\nSubState=stop-sigterm\n")
    Systemd(run).start(["mini"])
    assert [command[1] for command in run.commands] == ["show", "stop", "reset-failed", "start"]
    run = Recorded("Id=vllm@mini.service\nActiveState=inactive\nSubState=dead\n")
    Systemd(run).start(["mini"])
    assert [command[1] for command in run.commands] == ["show", "reset-failed", "start"]


def test_of_what_starts_only_that_is_killed_which_a_stop_does_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container whose engine has ended is being removed by Podman, which a kill would leave lying."""
    monkeypatch.setattr(systemd, "_OBEDIENT_SECONDS", 0)
    loaded = "vllm@mini.service loaded activating start-post x\nvllm@micro.service loaded activating start x\n"
    shows = [
        {"mini": ("activating", "start-post"), "micro": ("activating", "start")},
        {"mini": ("deactivating", "stop-sigterm"), "micro": ("deactivating", "stop-post")},
    ]
    commands = []

    def run(command: Sequence[str]) -> tuple[int, str, str]:
        commands.append(list(command[1:]))
        if command[1] == "list-units":
            return 0, loaded, ""
        if command[1] == "show":
            blocks = [
                f"Id=vllm@{name}.service\nActiveState={active}\nSubState={sub}"
                for name, (active, sub) in shows.pop(0).items()
            ]
            return 0, "\n\n".join(blocks), ""
        return 0, "", ""

    Systemd(run).stop(["mini", "micro"])
    assert [command[0] for command in commands] == ["list-units", "show", "stop", "show", "kill", "stop"]
    assert commands[4] == ["kill", "--signal=SIGKILL", "vllm@mini.service"]


def test_journal_lines_carry_their_service_and_the_new_cursor() -> None:
    entries = [
        {"__CURSOR": "s=1", "_SYSTEMD_UNIT": "vllm@mini.service", "MESSAGE": "loading"},
        {"__CURSOR": "s=2", "UNIT": "vllm@mini.service", "MESSAGE": "Failed with result 'exit-code'."},
        {"__CURSOR": "s=3", "_SYSTEMD_UNIT": "vllm@mini.service", "MESSAGE": [255, 111, 107]},
    ]
    run = Recorded("\n".join(json.dumps(entry) for entry in entries))
    lines, cursor = Systemd(run).journal(["mini"], "s=0")
    assert cursor == "s=3"
    assert lines[:2] == [JournalLine("mini", "loading"), JournalLine("mini", "Failed with result 'exit-code'.")]
    assert lines[2].text.endswith("ok"), "a line that is not UTF-8 is still read"
    assert "--after-cursor=s=0" in run.commands[0]


def test_a_refusal_of_systemctl_names_the_command_and_its_words() -> None:
    with pytest.raises(InferenceError, match=r"systemctl daemon-reload failed: Access denied"):
        Systemd(Recorded("", 1, "Access denied")).reload()


def test_the_loaded_services_are_named_without_their_unit_suffix() -> None:
    listed = "vllm@mini.service loaded active running vLLM\nvllm@old.service not-found failed failed x\n"
    assert Systemd(Recorded(listed)).loaded_services() == ["mini", "old"]


def test_timers_take_what_their_files_say_now_and_those_of_unwatched_services_stop() -> None:
    run = Recorded("")
    Systemd(run).watch({"mini": True, "micro": False, "medium": True})
    assert run.commands == [
        ["systemctl", "restart", "--no-block", "vllm-watchdog@mini.timer", "vllm-watchdog@medium.timer"],
        ["systemctl", "stop", "--no-block", "vllm-watchdog@micro.timer"],
    ]
