# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From journal and kernel log to incidents; systemd's messages are in the order in which systemd 252 wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._engine.finished_requests import HOUR, Tally
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._incidents import history
from ansible_collections.llmops.inference.plugins.module_utils._incidents.episodes import Episode, find_incidents, lives
from ansible_collections.llmops.inference.plugins.module_utils._incidents.journal import Entry, Journal

MESSAGES = {
    "Starting": "7d4958e842da4a758f6c1cdc7b36dcc5",
    "Started": "39f53479d3a045ac8e11786248231fbf",
    "Stopping": "de5b426a63be47a7b6ac3eaac82e2f6f",
    "Stopped": "9d1aaa27d60140bd96365438aad20286",
    "exited": "98e322203f7a4ed290d09fe03c09fe15",
    "Failed": "d9b373ed55a64feb8242e02dbe79a49c",
    "Deactivated": "7ad2d189f7e94e70a38c781354912448",
    "Scheduled": "5eb03494b6584870a536b337290809b3",
    "Consumed": "ae8f7b866b0347b9af31fe1c80b127c0",
    "killed by the OOM killer": "fe6faa94e7774663a0da52717891d8ef",
}
EXITED = "vllm@mini.service: Main process exited, code=killed, status=9/KILL"
DIED = "RuntimeError: Engine core process EngineCore died unexpectedly."
OFF_THE_BUS = "NVRM: Xid (PCI:0000:3b:00): 79, pid=4242, name=VLLM::EngineCor, GPU has fallen off the bus."
OOM = (
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/system-vllm"
    ".slice/vllm@mini.service,task_memcg=/system.slice/system-vllm.slice/vllm@mini.service,task=VLLM::EngineCor,pid=7"
)


def told(*lines: tuple[float, str, str], service: str = "mini") -> list[Entry]:
    """What systemd wrote: (time, invocation, message)."""
    unit = f"vllm@{service}.service"
    return [
        Entry(time, text, unit, invocation, 1, next((key for word, key in MESSAGES.items() if word in text), ""))
        for time, invocation, text in lines
    ]


def start(time: float, invocation: str, serving: float | None = None) -> list[tuple[float, str, str]]:
    lines = [(time, invocation, "Starting vllm@mini.service - vLLM model endpoint mini...")]
    return (
        [*lines, (serving, invocation, "Started vllm@mini.service - vLLM model endpoint mini.")] if serving else lines
    )


def crash(time: float, invocation: str, exited: str = EXITED, again: bool = True) -> list[tuple[float, str, str]]:
    lines = [(time, invocation, exited), (time, invocation, "vllm@mini.service: Failed with result 'signal'.")]
    lines += [(time, invocation, "vllm@mini.service: Consumed 1min CPU time.")]
    if again:
        lines += [(time + 5, invocation, "vllm@mini.service: Scheduled restart job, restart counter is at 1.")]
        lines += [(time + 5, invocation, "Stopped vllm@mini.service - vLLM model endpoint mini.")]
    return lines


def wrote(time: float, *texts: str, pid: int = 4242) -> list[Entry]:
    return [Entry(time, text, "vllm@mini.service", "a", pid) for text in texts]


def found(
    entries: Sequence[Entry],
    written: Mapping[str, Sequence[Entry]] | None = None,
    kernel: Sequence[Entry] = (),
    gpus: Mapping[str, Sequence[str]] | None = None,
) -> list[Episode]:
    return find_incidents(lives(entries), kernel, written or {}, gpus or {})


def test_a_crash_is_one_incident_with_its_line_and_the_time_it_cost() -> None:
    entries = told(*start(0, "a", 40), *crash(100, "a", again=True), *start(105, "b", 141))
    lines = {"a": wrote(99, "serving", DIED, "EngineDeadError: see above", "EngineDeadError: see above")}
    (incident,) = found(entries, lines)
    assert (incident.kind, incident.line) == ("engine_dead", DIED)
    assert (incident.service, incident.invocation, incident.time) == ("mini", "a", 100)
    assert (incident.serving, incident.restarts, incident.lost_seconds) == (True, 1, 41)


def test_a_process_that_was_killed_says_nothing_itself() -> None:
    (incident,) = found(told(*start(0, "a", 40), *crash(100, "a"), *start(105, "b")), {"a": wrote(99, "serving")})
    assert (incident.kind, incident.line, incident.lost_seconds) == ("killed", EXITED, None)


def test_an_engine_that_crashes_with_exit_status_0_is_found_all_the_same() -> None:
    ended = [
        (100.0, "a", "vllm@mini.service: Deactivated successfully."),
        (105.0, "a", "vllm@mini.service: Scheduled restart job, restart counter is at 1."),
        (105.0, "a", "Stopped vllm@mini.service - vLLM model endpoint mini."),
    ]
    (incident,) = found(told(*start(0, "a", 40), *ended), {"a": wrote(99, DIED)})
    assert incident.kind == "engine_dead"


@pytest.mark.parametrize("job", ["stop", "restart"])
def test_what_was_asked_for_is_no_incident(job: str) -> None:
    ended = [
        (100.0, "a", "Stopping vllm@mini.service - vLLM model endpoint mini..."),
        (101.0, "a", "vllm@mini.service: Deactivated successfully."),
        (101.0, "a", "Stopped vllm@mini.service - vLLM model endpoint mini."),
    ]
    assert found(told(*start(0, "a", 40), *ended, *(start(102, "b", 140) if job == "restart" else []))) == []


def test_a_start_that_was_broken_off_is_no_incident() -> None:
    ended = [
        (2.0, "a", "vllm@mini.service: Control process exited, code=killed, status=15/TERM"),
        (2.0, "a", "vllm@mini.service: Failed with result 'signal'."),
        (2.0, "a", "Stopped vllm@mini.service - vLLM model endpoint mini."),
    ]
    assert found(told(*start(0, "a"), *ended)) == []


def test_a_crash_stays_one_when_somebody_stops_the_service_before_it_is_started_again() -> None:
    stopped = (103.0, "a", "Stopped vllm@mini.service - vLLM model endpoint mini.")
    (incident,) = found(told(*start(0, "a", 40), *crash(100, "a", again=False), stopped, *start(110, "b", 150)))
    assert (incident.kind, incident.restarts, incident.lost_seconds) == ("killed", 0, 50)


def test_a_window_that_begins_between_a_crash_and_its_restart_invents_nothing() -> None:
    entries = told(*crash(100, "a")[-1:], *start(105, "b", 141), *crash(200, "b"))
    assert [episode.time for episode in found(entries)] == [200]


def test_starts_that_fail_the_same_way_are_one_incident_until_the_service_serves() -> None:
    port = "vllm-guard: service 'mini' cannot listen on 127.0.0.1:8002 (Address already in use); stop the process"
    exited = "vllm@mini.service: Control process exited, code=exited, status=1/FAILURE"
    entries = told(
        *start(0, "a", 40),
        *crash(100, "a"),
        *start(105, "b"),
        *crash(106, "b", exited),
        *start(111, "c"),
        *crash(112, "c", exited),
        *start(117, "d", 150),
        *crash(200, "d"),
    )
    lines = {"b": wrote(106, port), "c": wrote(112, port)}
    killed, taken, killed_again = found(entries, lines)
    assert [episode.kind for episode in (killed, taken, killed_again)] == ["killed", "port_taken", "killed"]
    assert (taken.serving, taken.restarts, taken.lost_seconds) == (False, 2, 44)
    assert killed.lost_seconds == 50
    assert killed_again.time == 200


def test_a_wedged_engine_is_named_by_the_watchdog_and_not_by_the_signal() -> None:
    said = "vllm-watchdog: wedged: no token in 2 looks, generated nothing; killing process 554 for a restart"
    entries = told(*start(0, "a", 40), *crash(100, "a"), *start(105, "b", 141))
    entries.insert(2, Entry(99, said, "vllm-watchdog@mini.service", "w", 900))
    (incident,) = found(entries, {"a": wrote(98, "serving")})
    assert (incident.kind, incident.line) == ("wedged", said)


def test_a_life_that_began_before_the_window_is_known_by_its_end() -> None:
    (incident,) = found(told(*crash(100, "a"), *start(105, "b", 141)))
    assert (incident.kind, incident.serving, incident.lost_seconds) == ("killed", True, 41)


def test_a_watchdogs_word_just_before_the_end_of_a_life_that_began_before_the_window_is_not_lost() -> None:
    said = "vllm-watchdog: wedged: no token in 2 looks, killed process 554 for a restart: generated nothing"
    words = [Entry(99.9, said, "vllm-watchdog@mini.service", "w", 900)]
    (incident,) = found([*words, *told(*crash(100, "a"), *start(105, "b", 141))])
    assert (incident.kind, incident.line) == ("wedged", said)
    (later,) = found([*words, *told(*start(105, "b", 141), *crash(200, "b"))])
    assert later.kind == "killed", "it was said of the life before"


def test_an_error_that_the_service_outlived_by_hours_does_not_explain_its_end() -> None:
    refused = "ValueError: something that a client asked for"
    entries = told(*start(0, "a", 40), *crash(30_000, "a"), *start(30_005, "b", 30_041))
    (incident,) = found(entries, {"a": [*wrote(100, refused), *wrote(29_990, "serving")]})
    assert (incident.kind, incident.line) == ("killed", EXITED)
    (incident,) = found(entries, {"a": wrote(29_999, refused)})
    assert (incident.kind, incident.line) == ("engine_error", refused), "moments before the end it may be the cause"


def test_each_service_has_its_own_incidents() -> None:
    mini = told(*start(0, "a", 40), *crash(100, "a"))
    micro = told(*start(1, "m", 41), service="micro")
    assert [episode.service for episode in found(sorted(mini + micro, key=lambda entry: entry.time))] == ["mini"]


def test_an_xid_error_explains_the_end_of_the_process_that_it_names() -> None:
    entries = told(*start(0, "a", 40), *crash(100, "a"), *start(105, "b", 141))
    lines = {"a": wrote(99, DIED, pid=4242)}
    (incident,) = found(entries, lines, [Entry(98, OFF_THE_BUS)])
    assert (incident.kind, incident.line, incident.gpu) == ("device_lost", OFF_THE_BUS, "0000:3b:00")


def test_an_xid_error_explains_the_end_of_the_service_on_its_gpu() -> None:
    nobody = OFF_THE_BUS.replace("pid=4242", "pid='<unknown>'")
    entries = told(*start(0, "a", 40), *crash(100, "a"))
    (incident,) = found(entries, {"a": wrote(99, DIED)}, [Entry(98, nobody)], {"mini": ["0000:3b:00"]})
    assert incident.kind == "device_lost"


def test_an_xid_error_that_ended_nothing_is_an_incident_of_its_gpu_once() -> None:
    row = "NVRM: Xid (PCI:0000:af:00): 63, pid=1896, Row Remapper: New row marked for remapping, reset gpu to activate."
    fault = "NVRM: Xid (PCI:0000:af:00): 31, pid=1896, name=python3, Ch 00000008, MMU Fault"
    log = [Entry(10, row), Entry(20, row), Entry(30, fault), Entry(3000, row)]
    once, later = found([], kernel=log, gpus={"mini": ["0000:af:00"]})
    assert (once.kind, once.service, once.gpu, once.time, later.time) == ("xid", "mini", "0000:af:00", 10, 3000)
    shared = found([], kernel=log[:1], gpus={"mini": ["0000:af:00"], "micro": ["0000:af:00"]})
    assert [episode.service for episode in shared] == [None]


def test_the_kernels_own_line_proves_that_it_killed_for_memory() -> None:
    ended = [
        (100.0, "a", "vllm@mini.service: A process of this unit has been killed by the OOM killer."),
        *crash(101, "a"),
    ]
    (incident,) = found(told(*start(0, "a", 40), *ended), {"a": wrote(99, "serving")}, [Entry(100, OOM)])
    assert (incident.kind, incident.line) == ("host_oom_kill", OOM)
    (without,) = found(told(*start(0, "a", 40), *ended), {"a": wrote(99, "serving")})
    assert without.kind == "host_oom_kill", "systemd says it, too, where the kernel's log cannot be read"


def test_a_killing_of_a_stranger_is_none_of_ours() -> None:
    stranger = OOM.replace("vllm@mini.service", "postgresql@main.service")
    assert found(told(*start(0, "a", 40)), kernel=[Entry(50, stranger)]) == []


# ---- rates


def test_rates_are_per_day_and_per_thousand_requests_of_the_window() -> None:
    tally = Tally(hours={"0": 500, "30": 1500})
    rated = history.incident_rate("mini", 3, tally, (24 * HOUR, 72 * HOUR))
    assert (rated["days"], rated["per_day"], rated["requests"], rated["per_1000_requests"]) == (2, 1.5, 1500, 2)


def test_a_rate_over_next_to_nothing_is_none() -> None:
    rated = history.incident_rate("mini", 1, Tally(hours={"0": 99}), (0, HOUR - 1))
    assert (rated["per_day"], rated["requests"], rated["per_1000_requests"]) == (None, 99, None)
    assert history.incident_rate("mini", 1, None, (0, HOUR))["requests"] is None


def test_a_window_is_a_span_or_a_moment() -> None:
    assert history.window("@1764000000") == 1764000000
    assert abs(history.window("2h") - (history.window("1h") - HOUR)) < 5
    for wrong in ("", "7", "d", "0d", "-1d", "7 days", "yesterday"):
        with pytest.raises(InferenceError, match="a number and one of m, h, d and w"):
            history.window(wrong)


# ---- reading


class Recorded:
    """Answers journalctl with these entries, and remembers what was asked."""

    def __init__(self, *entries: Mapping[str, object]) -> None:
        self.out = "\n".join(json.dumps(entry) for entry in entries)
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> tuple[int, str, str]:
        self.commands.append(list(command))
        return 0, self.out, ""


@pytest.fixture(autouse=True)
def journalctl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")


def test_lines_of_systemd_are_about_a_unit_and_those_of_a_unit_are_its_own() -> None:
    run = Recorded(
        {"__REALTIME_TIMESTAMP": "2000000", "_PID": "1", "UNIT": "vllm@mini.service", "INVOCATION_ID": "a"},
        {"__REALTIME_TIMESTAMP": "1000000", "_PID": "7", "_SYSTEMD_UNIT": "vllm-watchdog@mini.service", "MESSAGE": "x"},
    )
    first, second = Journal(run).lives(["mini"], since=0.5)
    assert (first.time, first.unit, first.text) == (1, "vllm-watchdog@mini.service", "x")
    assert (second.time, second.unit, second.invocation) == (2, "vllm@mini.service", "a")
    (command,) = run.commands
    assert command[:2] == ["timeout", "30"]
    assert {"_PID=1", "UNIT=vllm@mini.service", "+", "_SYSTEMD_UNIT=vllm-watchdog@mini.service"} <= set(command)
    assert any(word.startswith("--lines=") for word in command)


def test_a_line_that_was_cut_off_by_the_limit_is_left_out() -> None:
    run = Recorded({"__REALTIME_TIMESTAMP": "1000000", "_PID": "7", "MESSAGE": "x"})
    run.out += '\n{"__REALTIME_TIMESTAMP": "20'
    assert [entry.text for entry in Journal(run).invocation("a", 10)] == ["x"]


def test_what_the_journal_cannot_tell_is_said_with_the_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "is_volatile", lambda self: False)
    run = Recorded(
        {"__REALTIME_TIMESTAMP": "90000000000", "_PID": "7", "MESSAGE": "Suppressed 3 messages from vllm@mini.service"}
    )
    told = history.history(Journal(run), ["mini"], {}, since=0)
    begins, dropped = told["incident_gaps"]
    assert begins == "the journal begins at 1970-01-02T01:00:00Z: counts are a lower bound"
    assert "dropped 3 lines of vllm@mini.service" in dropped
    asked = [command[-1] for command in run.commands]
    assert "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e" in asked


def test_a_cause_that_requests_pushed_out_of_the_last_lines_is_read_all_the_same() -> None:
    request = '(APIServer pid=1) INFO:     127.0.0.1:1 - "POST /v1/completions HTTP/1.1" 500 Internal Server Error'
    run = Recorded(*({"__REALTIME_TIMESTAMP": f"{70_000_000 + n}", "_PID": "7", "MESSAGE": request} for n in range(50)))
    of_requests = run.out
    error = {"__REALTIME_TIMESTAMP": "1000000", "_PID": "7", "MESSAGE": "RuntimeError: the cause"}

    def answer(command: Sequence[str]) -> tuple[int, str, str]:
        run.out = json.dumps(error) if any(word.startswith("--grep=") for word in command) else of_requests
        return run(command)

    found = Journal(answer).invocation("a", 50)
    assert [entry.text for entry in found] == ["RuntimeError: the cause", *[request] * 50]
    assert "--since=@-530" in run.commands[-1], "bounded, for journald has no index of words"
    assert len(Journal(answer).invocation("a", 51)) == 50, "all that the start wrote"
    assert len(run.commands) == 3


def test_a_host_without_a_journal_has_no_incidents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    told_nothing = history.history(Journal(Recorded()), ["mini"], {}, since=0)
    assert told_nothing["incidents"] == []
    assert told_nothing["incident_gaps"] == ["there is no journal: incidents are not counted"]
    assert [row["service"] for row in told_nothing["incident_rates"]] == ["mini"]
