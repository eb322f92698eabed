# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cause of a failure, out of journals that the real engine wrote and out of ``tests/unit/failures``."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._incidents.cause import cause
from ansible_collections.llmops.inference.plugins.module_utils._incidents.lines import Written
from ansible_collections.llmops.inference.plugins.module_utils._incidents.signatures import KINDS
from hypothesis import given
from hypothesis import strategies as st

UNIT = Path(__file__).parents[3]
JOURNALS = UNIT / "journals"
FAILURES = UNIT / "failures"
HOUR = 3600.0


def published() -> list[Any]:
    cases = json.loads((FAILURES / "published.json").read_text(encoding="utf-8"))
    return [pytest.param(case["lines"], case["kind"], id=case["id"]) for case in cases]


def other_words() -> list[tuple[str, str]]:
    """Return kind and line."""
    found, kind = [], ""
    for line in (FAILURES / "in-other-words.txt").read_text(encoding="utf-8").splitlines():
        kind = line[2:] if line.startswith("# ") else kind
        if line and not line.startswith("# "):
            found.append((kind, line))
    return found


def stories() -> list[Any]:
    text = (FAILURES / "stories.txt").read_text(encoding="utf-8")
    found = []
    for kind, name, quoted, journal in re.findall(
        r"^=== (\w+): (.*)\n(?:--- (.*)\n)?((?:(?!=== ).*\n?)*)", text, re.MULTILINE
    ):
        found.append(pytest.param(journal.strip("\n").split("\n"), kind, quoted, id=name))
    return found


def healthy() -> list[str]:
    return (FAILURES / "healthy.txt").read_text(encoding="utf-8").splitlines()


WORDS = other_words()


@pytest.mark.parametrize(("lines", "kind"), published())
def test_a_published_failure_has_its_kind(lines: Sequence[str], kind: str) -> None:
    assert cause(lines).kind == kind


@pytest.mark.parametrize(("kind", "line"), WORDS)
def test_a_kind_is_known_in_other_words(kind: str, line: str) -> None:
    incident = cause(["starting", line])
    assert incident.kind == kind
    assert incident.line in line or "(" in incident.line


def test_every_kind_has_three_lines_of_other_words() -> None:
    counted = {kind: len({line for name, line in WORDS if name == kind}) for kind in KINDS}
    assert {kind: number for kind, number in counted.items() if number < 3} == {"unknown": 0}


@pytest.mark.parametrize(("journal", "kind", "quoted"), stories())
def test_a_story_has_its_cause(journal: Sequence[str], kind: str, quoted: str) -> None:
    incident = cause(journal)
    assert incident.kind == kind
    assert quoted in incident.line


def test_an_engine_that_serves_has_no_cause_at_any_moment() -> None:
    lines = healthy()
    begins, ends = (next(place for place, line in enumerate(lines) if words in line) for words in ("203]", "400 Bad"))
    for number in (*range(begins), *range(ends + 1, len(lines) + 1)):
        assert cause(lines[:number]).kind == "unknown", lines[number - 1]
    start = (JOURNALS / "cpu-start.txt").read_text(encoding="utf-8").splitlines()
    for number in range(len(start) + 1):
        assert cause(start[:number]).kind == "unknown", start[number - 1]


def test_what_a_hostile_line_costs_grows_no_more_with_its_length() -> None:
    def seconds(length: int) -> float:
        before = time.process_time()
        for words in ("tokenizer ", "no gpu ", "engine ", "a", "x: ", "(a pid=1) "):
            cause([f"RuntimeError: {length}" + words * length])
        return time.process_time() - before

    seconds(1000)  # compiles the patterns
    assert seconds(40_000) < 10 * seconds(4_000) + 0.1


# ---- properties: what stands before, after and between the lines changes nothing

ENGINES = ("EngineCore pid=7", "EngineCore_DP0 pid=68", "Worker_TP0 pid=20", "VllmWorker-1 pid=1159")
DRESSES = (
    "{}",
    "({process}) {}",
    "({process}) ERROR 11-28 10:00:00 [core.py:123] {}",
    "({process}) ERROR 11-28 10:00:00 [v1/engine/core.py:1330] {}",
    "ERROR 11-28 10:00:00 core.py:123] {}",
    "ERROR 11-28 10:00:00.123 [core.py:123] {}",
    "\x1b[1;36m({process})\x1b[0;0m ERROR 11-28 10:00:00 [core.py:123] {}",
    "[rank0]: {}",
    "(RayWorkerWrapper pid=7106, ip=10.0.0.2) {}",
    "Nov 28 10:00:00 box vllm[123]: {}",
    "Nov 28 10:00:00 box vllm[123]: ({process}) ERROR 11-28 10:00:00 [core.py:123] {}",
    "2026-11-28T10:00:00+0000 box vllm[123]: {}",
    "2026-11-28T10:00:00.123456+00:00 box python3[9]: ({process}) {}",
    "2026-11-28 10:00:00,123 - vllm.engine - ERROR - {}",
    "vllm-1  | ERROR 11-28 10:00:00 [core.py:123] {}",
)
ECHOES = (
    "(EngineCore pid=7) ERROR 11-28 10:00:01 [core.py:9] EngineCore encountered a fatal error.",
    "(EngineCore pid=7) ERROR 11-28 10:00:01 [core.py:9] RuntimeError: Worker failed with error 'x', please check the "
    "stack trace above for the root cause",
    "(APIServer pid=1) ERROR 11-28 10:00:01 [async_llm.py:480] vllm.v1.engine.exceptions.EngineDeadError: EngineCore "
    "encountered an issue. See stack trace (above) for the root cause.",
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
    '(APIServer pid=1) INFO:     127.0.0.1:1 - "POST /v1/completions HTTP/1.1" 500 Internal Server Error',
    "(APIServer pid=1) INFO:     Shutting down",
    "vllm@mini.service: Failed with result 'exit-code'.",
    "vllm@mini.service: Consumed 39.179s CPU time.",
)
# Kinds that are themselves an echo, or less than one, and ends that only systemd reports.
ECHO_KINDS = {"engine_dead", "worker_died", "killed", "crashed", "bus_error", "illegal_instruction", "start_timeout"}
HARMLESS = [line for line in healthy()[:24] if line and not line.startswith(" ")]
NAMED = [(kind, line) for kind, line in WORDS if kind not in ECHO_KINDS]


def bare(line: str) -> bool:
    """Whether a line has no header of its own, which another dress would hide."""
    return re.match(r"(\(|\[|ERROR|node1|vllm@|vllm-|NVRM|\w+@|\s)", line) is None


@given(st.sampled_from([case for case in NAMED if bare(case[1])]), st.sampled_from(DRESSES), st.sampled_from(ENGINES))
def test_the_prefix_of_a_line_changes_nothing(case: tuple[str, str], dress: str, process: str) -> None:
    kind, line = case
    incident = cause(["starting", dress.format(line, process=process)])
    assert (incident.kind, incident.line) == (kind, cause([line]).line)


@given(
    st.sampled_from(NAMED),
    st.lists(st.sampled_from(HARMLESS)),
    st.lists(st.sampled_from(HARMLESS)),
    st.lists(st.sampled_from(ECHOES), unique=True),
)
def test_neither_warnings_around_nor_consequences_after_a_cause_change_it(
    case: tuple[str, str], before: list[str], between: list[str], echoes: list[str]
) -> None:
    kind, line = case
    assert cause([*before, line, *between, *echoes]).kind == kind


@given(st.data())
def test_how_processes_interleave_changes_nothing(data: st.DataObject) -> None:
    kind, line = data.draw(st.sampled_from([case for case in NAMED if bare(case[1])]))
    failing = [
        "Traceback (most recent call last):",
        '  File "x.py", line 3, in f',
        "    raise Failure(",
        line,
    ]
    worker = [f"(Worker_TP0 pid=20) ERROR 11-28 10:00:00 [worker.py:5] {text}" for text in failing]
    others = [
        [f"(Worker_TP1 pid=21) INFO 11-28 10:00:00 [worker.py:5] step {step}" for step in range(3)],
        [f'(APIServer pid=1) INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK {step}' for step in range(3)],
    ]
    merged: list[str] = []
    queues = [worker, *others]
    while any(queues):
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        merged.append(queue.pop(0))
    assert cause([*merged, *ECHOES]).kind == kind


@given(st.sampled_from(NAMED), st.floats(min_value=1, max_value=48))
def test_an_error_of_the_server_hours_before_does_not_hide_who_killed_it(case: tuple[str, str], hours: float) -> None:
    kind, line = case
    if kind in {
        "host_oom_kill",
        "device_lost",
        "xid",
        "gpu_unfit",
        "not_admitted",
        "wedged",
        "no_container",
        "unit_setup",
    }:
        return  # the word of those who end services is about this end
    killed = "vllm@mini.service: Main process exited, code=killed, status=9/KILL"
    journal = [Written(line, 0.0, 4242), Written(killed, hours * HOUR, 1)]
    assert cause(journal).kind == "killed"


def test_the_root_cause_is_found_below_the_wrapper_and_beside_a_warning_that_names_an_error() -> None:
    lines = (JOURNALS / "shared-memory-too-small.txt").read_text().splitlines()
    assert any("Engine core initialization failed" in line for line in lines)
    assert any("OSError: [Errno 24]" in line for line in lines)
    incident = cause(lines)
    assert incident.kind == "no_shared_memory"
    assert incident.line.startswith("RuntimeError: Insufficient space in /dev/shm")


def test_an_engine_that_was_told_to_end_was_killed_whatever_its_parts_throw() -> None:
    lines = (JOURNALS / "terminated.txt").read_text(encoding="utf-8").splitlines()
    assert any("EngineDeadError" in line for line in lines)
    incident = cause(lines)
    assert (incident.kind, incident.line) == (
        "killed",
        "[shutdown] EngineCore: trigger received signal=SIGTERM",
    )
    by_systemd = "vllm@mini.service: Main process exited, code=killed, status=9/KILL"
    assert cause([*lines, by_systemd]).line == by_systemd
    begin = next(place for place, line in enumerate(lines) if "[shutdown]" in line)
    crashed = "(EngineCore pid=9) ERROR 11-28 18:40:53 [core.py:1] IndexError: list index out of bounds"
    assert cause([*lines[:begin], crashed, *lines[begin:]]).line == "IndexError: list index out of bounds", (
        "the server then ends the rest"
    )


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (
            "ValueError: Free memory on device cuda:0 (70.1/79.2 GiB) on startup is less than desired",
            "memory_share_too_large",
        ),
        ("ValueError: Available memory on node 0 (3.1/23.5 GiB) on startup is less than", "memory_share_too_large"),
        ("ValueError: Available memory on node 0 (3/23 GiB) on kv cache allocation is less", "no_room_for_kv_cache"),
        ("ValueError: No available memory for the cache blocks. Try increasing", "no_room_for_kv_cache"),
        ("ValueError: To serve at least one request with the model's max seq len (131072)", "no_room_for_kv_cache"),
        ("AssertionError: Error in memory profiling. Initial free memory", "memory_profiling"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "out_of_device_memory"),
        ("vllm-guard: service 'mini' cannot listen on 127.0.0.1:8002 (Address already in use)", "port_taken"),
        ("vllm-guard: service 'mini' was not admitted within 300 s: numa:0 has 1 GiB free", "not_admitted"),
        ("vllm: error: unrecognized arguments: --no-such-flag", "bad_configuration"),
        ("safetensors_rust.SafetensorError: Error while deserializing header", "corrupt_weights"),
        ("PermissionError: [Errno 13] Permission denied: '/srv/m/model.safetensors'", "file_access"),
        ("RuntimeError: Worker proc VllmWorker-0 died unexpectedly", "worker_died"),
        ("Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=GPU-a1f3c0de", "no_container"),
        ("Error: statfs /srv/models/mini: no such file or directory", "no_container"),
        ("vllm@mini.service: Main process exited, code=killed, status=9/KILL", "killed"),
        ("vllm@mini.service: Main process exited, code=exited, status=137/n/a", "killed"),
    ],
)
def test_a_known_line_has_its_kind_even_when_wrappers_follow(line: str, kind: str) -> None:
    prefix = "(EngineCore pid=7) ERROR 11-23 10:00:00 [core.py:1] "
    wrapper = "RuntimeError: Engine core initialization failed. See root cause above."
    incident = cause(["starting", prefix + line, prefix + wrapper, wrapper])
    assert (incident.kind, incident.line) == (kind, line)
    assert incident.remedy


def test_of_two_causes_the_one_nearer_to_the_root_is_named() -> None:
    lines = ["RuntimeError: Worker proc VllmWorker-0 died unexpectedly", "torch.OutOfMemoryError: CUDA out of memory."]
    assert cause(lines).kind == "out_of_device_memory"


def test_a_service_that_wrote_nothing_is_said_to_have_written_nothing() -> None:
    assert cause([]).line == "the service wrote nothing"
    assert cause(["", "Killed"]).line == "Killed"
