# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as data: what is written is what is read, its published description says the same, and nonsense is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.llmops.inference.plugins.module_utils._benchmark import result
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import (
    SCENARIO_NAMES,
    STATUSES,
    RunResult,
    read_result,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._report.history import read_runs
from ansible_collections.llmops.inference.tests.unit.measured import eventful, memory, refused, run, service, turns

SCHEMAS = Path(__file__).resolve().parents[5] / "docs" / "schemas"


def schema(name: str) -> dict[str, Any]:
    """A published description, itself checked."""
    loaded: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(loaded)
    return loaded


def valid(value: Any) -> None:
    jsonschema.Draft202012Validator(schema("result")).validate(value)


def written(one: RunResult) -> Any:
    """The run as it is on disk."""
    return json.loads(json.dumps(one.to_dict(), allow_nan=False))


@pytest.mark.parametrize("one", [run(), run(refused("micro")), *eventful()[:4], *turns(1)])
def test_what_is_written_is_valid_and_is_read_as_it_was(one: RunResult) -> None:
    valid(written(one))
    assert read_result(written(one)) == one


def test_a_run_written_by_hand_needs_only_what_nobody_else_can_know() -> None:
    value = {
        "schema_version": 1,
        "started": "2026-11-23T23:06:00Z",
        "environment": {"host": "h", "engine_version": "0.32.0", "accelerator": "cpu"},
        "services": [
            {
                "service": "mini",
                "model": "mini",
                "scenario": "standard",
                "duration_seconds": 1.5,
                "load": {"driver": "by hand", "mode": "closed"},
                "requests": [{"start_seconds": 0, "status": "completed", "tokens_in": 1, "tokens_out": 2}],
            }
        ],
    }
    valid(value)
    assert read_result(value).services[0].requests[0].ttft_seconds is None


def described(kind: type, found: dict[str, Any]) -> None:
    """Hold the properties of a description against the fields of a dataclass."""
    assert set(found["properties"]) - {"schema_version"} == {field.name for field in fields(kind)}, kind
    assert found["additionalProperties"] is False


def test_the_published_description_has_the_fields_of_the_data() -> None:
    top = schema("result")
    service_part, places = top["$defs"]["service"], top["properties"]
    kinds = {
        "RunResult": top,
        "Environment": places["environment"],
        "Memory": places["memory"]["items"],
        "RunIncident": places["incidents"]["items"],
        "ServiceResult": service_part,
        "Request": top["$defs"]["request"],
        "LoadShape": service_part["properties"]["load"],
        "EngineCounters": service_part["properties"]["engine"],
        "Quality": service_part["properties"]["quality"],
        "NotStarted": service_part["properties"]["not_started"],
    }
    for name, found in kinds.items():
        described(getattr(result, name), found)
    all_of_them = {name for name, kind in vars(result).items() if is_dataclass(kind)}
    assert all_of_them == set(kinds)
    assert tuple(service_part["properties"]["scenario"]["enum"]) == SCENARIO_NAMES
    assert tuple(top["$defs"]["request"]["properties"]["status"]["enum"]) == STATUSES


WRONG = [
    ("schema_version", 2, r"result is of schema version 2, and this collection reads 1"),
    ("started", "yesterday", r"result.started is 'yesterday'; a time in UTC such as"),
    ("side", "left", r"result.side is 'left'; one of before, after is expected"),
    ("services.0.scenario", "bursts", r"services\[0\].scenario is 'bursts'; one of standard, .* is expected"),
    ("services.0.requests.3.ttft_seconds", -1.0, r"requests\[3\].ttft_seconds is -1.0; a number of at least 0"),
    ("services.0.requests.3.tokens_out", 1.5, r"requests\[3\].tokens_out is 1.5; a whole number"),
    ("services.0.load", None, r"services\[0\] must have either load or not_started"),
    ("memory.0.samples", [[1]], r"memory\[0\].samples is \[\[1\]\]; a list of pairs of numbers"),
    ("environment.hosts", "h", r"unknown key 'hosts'; did you mean host\?"),
    ("energy_joules", float("nan"), r"energy_joules is nan; a number of at least 0 is expected"),
]


@pytest.mark.parametrize(("where", "wrong", "said"), WRONG, ids=[case[0] for case in WRONG])
def test_a_wrong_value_is_refused_with_its_place(where: str, wrong: Any, said: str) -> None:
    value = copy.deepcopy(run().to_dict())
    *path, last = where.split(".")
    place: Any = value
    for step in path:
        place = place[int(step)] if step.isdigit() else place[step]
    place[last] = wrong
    with pytest.raises(InferenceError, match=said):
        read_result(value)
    assert not jsonschema.Draft202012Validator(schema("result")).is_valid(value) or where in {
        "services.0.load",
        "energy_joules",
    }


def test_missing_bytes_are_what_was_needed_beyond_what_was_there() -> None:
    assert refused("a", needed_bytes=10, available_bytes=4).not_started.missing_bytes == 6  # type: ignore[union-attr]
    assert refused("a", needed_bytes=10).not_started.missing_bytes is None  # type: ignore[union-attr]
    assert memory().peak_bytes == 70 << 30


def test_the_history_of_a_host_is_read_from_the_oldest_to_the_newest(tmp_path: Path) -> None:
    for number in (3, 1, 2):
        (tmp_path / f"{9 - number}.json").write_text(json.dumps(run(number=number).to_dict()))
    (tmp_path / "notes.txt").write_text("not a run")
    times = [one["started"][14:16] for one in read_runs([str(tmp_path)])]
    assert times == ["01", "02", "03"]
    assert [one["started"][14:16] for one in read_runs([str(tmp_path)], newest=1)] == ["03"]
    assert read_runs([str(tmp_path / "none")]) == []


def test_a_file_that_is_no_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InferenceError, match=r"a.json is no run of a benchmark .*move it elsewhere"):
        read_runs([str(tmp_path)])
    (tmp_path / "a.json").write_text(json.dumps({**run(service()).to_dict(), "started": "now"}))
    with pytest.raises(InferenceError, match=r"a.json.started is 'now'; .*Correct the file, or move"):
        read_runs([str(tmp_path)])
